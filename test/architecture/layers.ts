/**
 * Which file may import which: imports point down only. A layer is a row; the files of one row may import each other, except
 * in the middle row, whose parts know each other through ports alone.
 */
const layers = [
  [
    'leaf',
    /^(?:errors|ids|clock|config|cut-bytes|headers|json-count|json-depth|logger|parse-definition|prompt-reads|secrets|version)\.ts$/,
  ],
  ['vocabulary', /^(?:events|items|run-state)\.ts$/],
  [
    'port',
    /^(?:models\/model|store\/store|store\/stored-event|live\/tail|live\/wake|identity\/principal)\.ts$/,
  ],
  ['middle', /^(?:agent|models|tools|moderation|store|live|identity)\//],
  ['runs', /^runs\//],
  ['http', /^http\//],
  ['protocols', /^protocols\//],
  ['composition root', /^(?:directory|parley|serve)\.ts$/],
  ['outermost', /^(?:cli|testing)\//],
  ['published names', /^index\.ts$/],
] as const satisfies readonly (readonly [string, RegExp])[]

/** What the parts of the middle row may have of each other. */
const middleExceptions: Record<string, readonly string[]> = {
  tools: ['agent/tool.ts', 'agent/definitions.ts'],
  moderation: ['agent/hooks.ts'],
}

/**
 * Why `importer` may not import `imported`, or undefined where it may. Both are paths from the root of the repository. Tests
 * beside the sources may import any source.
 */
export function layerFault(importer: string, imported: string): string | undefined {
  if (!importer.startsWith('src/')) return undefined
  if (!imported.startsWith('src/')) {
    return imported === 'package.json' ? undefined : 'src imports nothing from outside src'
  }
  if (importer.endsWith('.test.ts')) return undefined
  const from = importer.slice('src/'.length)
  const to = imported.slice('src/'.length)
  return orderFault(from, to) ?? siblingFault(from, to) ?? engineFault(from, to) ?? protocolFault(from, to)
}

/** The number of a file's layer, the lowest 0. Throws where it has none. */
export function layerOf(path: string): number {
  const name = path.replace(/^src\//, '')
  const layer = layers.findIndex(([, pattern]) => pattern.test(name))
  if (layer === -1)
    throw new Error(`${path} belongs to no layer: put it into one in test/architecture/layers.ts`)
  return layer
}

function orderFault(from: string, to: string): string | undefined {
  if (isPart(from, 'cli') && isPart(to, 'testing')) return 'the command line does not import testing'
  if (isPart(from, 'testing') && isPart(to, 'cli'))
    return 'testing may import anything below the command line'
  if (layerOf(to) <= layerOf(from)) return undefined
  return `imports point down only: ${layerName(from)} is below ${layerName(to)}`
}

function siblingFault(from: string, to: string): string | undefined {
  if (layerName(from) !== 'middle' || layerName(to) !== 'middle' || part(from) === part(to)) return undefined
  if (middleExceptions[part(from)]?.includes(to)) return undefined
  return `${part(from)} and ${part(to)} know each other through ports only`
}

/** A folder of `store` or `live` that holds files of one engine. Migrations are every engine's. */
function engineOf(path: string): string | undefined {
  const engine = /^((?:store|live)\/([^/]+))\//.exec(path)
  return engine?.[2] === 'migrations' ? undefined : engine?.[1]
}

function engineFault(from: string, to: string): string | undefined {
  const engine = engineOf(to)
  if (engine === undefined || engine === engineOf(from)) return undefined
  if (layerName(from) === 'composition root' || isPart(from, 'cli') || isPart(from, 'testing'))
    return undefined
  return `nothing outside ${engine} knows it, but the composition root, the command line and testing`
}

/** The folder of one protocol: `native`, `compat/kawai`. Undefined for the files they share. */
function protocolOf(path: string): string | undefined {
  return /^protocols\/(compat\/[^/]+|(?!compat\/)[^/]+)\//.exec(path)?.[1]
}

function protocolFault(from: string, to: string): string | undefined {
  const protocol = protocolOf(to)
  if (!isPart(from, 'protocols') || protocol === undefined || protocol === protocolOf(from)) return undefined
  if (/^protocols\/root[./]/.test(from)) return undefined
  return `one protocol does not import another (${protocol}); root alone may`
}

function layerName(path: string): string {
  return layers[layerOf(path)]![0]
}

function part(path: string): string {
  return path.split('/')[0]!
}

function isPart(path: string, name: string): boolean {
  return path.startsWith(`${name}/`)
}
