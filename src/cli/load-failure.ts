import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { inspect } from 'node:util'
import { UsageError } from './usage-error.ts'

interface Loaded {
  /** As it was given. */
  path: string
  /** The same, absolute. */
  file: string
}

/** What Parley itself says of definitions and settings: it is worded for people already. */
const ownErrors = ['UsageError', 'SettingsError', 'ListenError', 'AppError', 'DefinitionError']

/** Why an author's module could not be loaded, in words that help its author; an error of Parley's own as it is. */
export function loadFailure(error: unknown, { path, file }: Loaded): Error {
  if (!(error instanceof Error)) return new UsageError(`${path} threw ${inspect(error)}`)
  if (ownErrors.includes(error.name)) return error
  const code = 'code' in error ? error.code : undefined
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') return missing(error, { path, file })
  if (error instanceof SyntaxError) {
    const place = syntaxPlace(error.stack) ?? placeByCheck(file)
    // A module can throw one as well, as JSON.parse does: then there is a frame of its own.
    if (place !== undefined || authorFrame(error, file) === undefined)
      return notRead(error, { path, file, place })
  }
  const frame = authorFrame(error, file)
  const kind = error.name === 'Error' ? '' : `${error.name}: `
  return new UsageError(
    `${path} failed while it was loaded: ${kind}${error.message}${frame ? `\n${frame}` : ''}`,
  )
}

function missing(error: Error, { path, file }: Loaded): UsageError {
  const [, what = '', from] =
    /Cannot find (?:package|module) '([^']+)'(?: imported from (.+))?/.exec(error.message) ?? []
  const by = from && resolve(fromUrl(from)) !== file ? ` (imported from ${fromUrl(from)})` : ''
  if (what === 'parleykit' || what === 'zod') {
    const command = `npm install ${JSON.stringify(packageFolder())} zod`
    return new UsageError(
      `${path} needs the package ${what}, which is not installed beside it${by}: run \`${command}\` in the folder of the file, ${dirname(file)}`,
    )
  }
  if (what === '') return new UsageError(`${path}: ${error.message}`)
  // A file is shown as its whole path.
  const isFile = what.startsWith('file:') || resolve(what) === what || what.startsWith('.')
  const hint = isFile
    ? 'check the path; it needs the ending of the file, such as .ts'
    : `run \`npm install ${what}\` in the folder of the file, ${dirname(file)}`
  return new UsageError(`${path} imports ${what}, which is not there${by}: ${hint}`)
}

/** Not by its name alone: the folder this runs from is the version at hand. */
function packageFolder(): string {
  return dirname(createRequire(import.meta.url).resolve('parleykit/package.json'))
}

function notRead(error: Error, { path, file, place }: Loaded & { place: string | undefined }): UsageError {
  return new UsageError(`${place ?? path}: ${error.message}${syntaxHint(error, file)}`)
}

function syntaxHint(error: Error, file: string): string {
  if ('code' in error && error.code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX') {
    return '\nNode runs TypeScript by leaving the types out: no enums, namespaces with code or parameter properties (erasableSyntaxOnly in tsconfig.json finds them).'
  }
  if (!/outside a module|bodies of modules|Unexpected token 'export'/.test(error.message)) return ''
  const folder = commonjsPackage(dirname(file))
  if (folder === undefined) return ''
  return `\nThe package.json of ${folder} has "type": "commonjs": run \`npm pkg set type=module\` in that folder.`
}

/** The folder of the package that a file in `folder` belongs to, where that says its files are no ES modules. */
function commonjsPackage(folder: string): string | undefined {
  let manifest: unknown
  try {
    manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  } catch {
    // There is none, or Node has complained of it already.
    const parent = dirname(folder)
    return parent === folder ? undefined : commonjsPackage(parent)
  }
  const type = typeof manifest === 'object' && manifest !== null && 'type' in manifest ? manifest.type : ''
  return type === 'commonjs' ? folder : undefined
}

/** `file:line` where the first line of a text of Node's is one, with the lines that show the place. */
function syntaxPlace(text = ''): string | undefined {
  const first = text.split('\n', 1)[0] ?? ''
  return /^(?!\w*Error\b).*:\d+$/.test(first) ? fromUrl(first) : undefined
}

/** Of plain JavaScript an error does not say where it is. Node tells it of the file it is asked to check. */
function placeByCheck(file: string): string | undefined {
  if (!/\.[cm]?js$/.test(file)) return undefined
  const { stderr } = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8', timeout: 10_000 })
  return syntaxPlace(stderr)
}

/** The first line of the stack in the author's file, else in another one of the author's. */
function authorFrame({ stack = '' }: Error, file: string): string | undefined {
  const parley = new URL('..', import.meta.url).href
  const frames = stack.split('\n').filter((line) => /^ {4}at .*(?:file:|[\\/])/.test(line))
  const isForeign = (line: string) =>
    line.includes('node:') || line.includes('node_modules') || line.includes(parley)
  const own = frames.filter((line) => !isForeign(line))
  return own.find((line) => line.includes(pathToFileURL(file).href) || line.includes(file)) ?? own[0]
}

function fromUrl(place: string): string {
  const [, url, line = ''] = /^(file:.*?)(:\d+)?$/.exec(place) ?? []
  return url === undefined ? place : `${fileURLToPath(url)}${line}`
}
