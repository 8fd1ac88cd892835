import { fault, isObject, type JsonObject, type OpenapiDocument, type OperationNode } from './document.ts'

/**
 * Where an operation's requests go: to `baseURL`, else to the first server of the operation, its path or the document.
 * `isMain`: it is the origin that the document as a whole has.
 */
export function serverOf(
  { node, pathItem, place }: OperationNode,
  { document, baseURL }: { document: OpenapiDocument; baseURL?: string },
): { base: URL; isMain: boolean } {
  if (baseURL !== undefined) return { base: new URL(baseURL), isMain: true }
  const own = firstServer(node) ?? firstServer(pathItem)
  const main = firstServer(document.root)
  if (!own) return { base: toUrl(main, '#/servers/0'), isMain: true }
  const base = toUrl(own, `${place}/servers/0`)
  return { base, isMain: main !== undefined && URL.parse(fill(main))?.origin === base.origin }
}

function firstServer(holder: JsonObject): JsonObject | undefined {
  const [server] = Array.isArray(holder['servers']) ? (holder['servers'] as unknown[]) : []
  return isObject(server) ? server : undefined
}

function toUrl(server: JsonObject | undefined, place: string): URL {
  const filled = server ? fill(server) : '/'
  const url = URL.parse(filled)
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw fault(`${place}: ${JSON.stringify(filled)} is no absolute URL; give baseURL`)
  }
  if (url.username !== '' || url.password !== '')
    throw fault(`${place}: the URL holds a user name or a password`)
  return url
}

/** Its URL with the defaults of its variables. */
function fill({ url, variables }: JsonObject): string {
  if (typeof url !== 'string') return '/'
  return url.replaceAll(/\{([^{}]+)\}/g, (placeholder, name: string) => {
    const variable = isObject(variables) && Object.hasOwn(variables, name) ? variables[name] : undefined
    return isObject(variable) && typeof variable['default'] === 'string' ? variable['default'] : placeholder
  })
}
