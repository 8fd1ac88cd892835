import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

// Makes the package as it is published: `node scripts/build.ts [--out folder]`, by default into `dist`.

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const { values } = parseArgs({ options: { out: { type: 'string', default: join(root, 'dist') } } })
const out = resolve(values.out)

rmSync(out, { recursive: true, force: true })
compile()
rewriteDeclarations()
writeManifest()
for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md']) {
  if (existsSync(join(root, name))) copyFileSync(join(root, name), join(out, name))
  else throw new Error(`${name} is missing: a package is not published without it`)
}
chmodSync(join(out, 'cli', 'main.js'), 0o755)
console.log(`built ${out}`)

function compile(): void {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json', '--outDir', out], {
    cwd: root,
    stdio: 'inherit',
  })
  if (status !== 0) throw new Error(`the compiler ended with ${status}`)
}

/** The compiler rewrites `.ts` to `.js` in what runs, not in the declarations. */
function rewriteDeclarations(): void {
  for (const entry of readdirSync(out, { recursive: true, encoding: 'utf8' })) {
    if (!entry.endsWith('.d.ts')) continue
    const path = join(out, entry)
    const text = readFileSync(path, 'utf8')
    writeFileSync(path, text.replaceAll(/((?:from|import\()\s*["']\.[^"']*)\.ts(["'])/g, '$1.js$2'))
  }
}

interface Manifest {
  [key: string]: unknown
  exports: Record<string, string>
}

function writeManifest(): void {
  // It is ours.
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
  const {
    devDependencies: _tools,
    scripts: _scripts,
    allowScripts: _allowed,
    private: _private,
    ...published
  } = manifest
  const exports = Object.fromEntries(
    Object.entries(published.exports).map(([name, target]) => [name, toPublishedExport(target)]),
  )
  const text = JSON.stringify({ ...published, bin: { parley: './cli/main.js' }, exports }, null, 2)
  writeFileSync(join(out, 'package.json'), `${text}\n`)
}

function toPublishedExport(target: string): string | { types: string; default: string } {
  if (!target.endsWith('.ts')) return target
  const path = target.replace('./src/', './').replace(/\.ts$/, '')
  return { types: `${path}.d.ts`, default: `${path}.js` }
}
