import { readFileSync } from 'node:fs'
import { DefinitionError } from '../../parse-definition.ts'

export type JsonObject = Record<string, unknown>

/** A parsed OpenAPI document. */
export interface OpenapiDocument {
  readonly root: JsonObject
  /** What stands at a reference within the document, such as `#/components/schemas/Pet`. Undefined: nothing does. */
  find(reference: string): unknown
  /** The object itself, or the one its `$ref` leads to. Throws a `DefinitionError` that names the place where there is none. */
  follow(value: unknown, place: string): JsonObject
  /** Counts one more schema within the schemas of all tools. Throws a `DefinitionError` where they have become too many. */
  countSchema(): void
}

export const operationMethods = ['get', 'head', 'post', 'put', 'patch', 'delete'] as const

export type OperationMethod = Uppercase<(typeof operationMethods)[number]>

/** An operation, as filters and policies see it. */
export interface OpenapiOperation {
  readonly operationId?: string
  readonly method: OperationMethod
  /** The template, such as `/pets/{petId}`. */
  readonly path: string
  readonly tags: readonly string[]
  readonly summary?: string
  readonly description?: string
  readonly deprecated: boolean
}

/** The same with what it is made of. */
export interface OperationNode {
  readonly operation: OpenapiOperation
  /** For messages: a JSON pointer. */
  readonly place: string
  readonly node: JsonObject
  readonly pathItem: JsonObject
}

/** Longest chain of references to references that is followed. */
const maxHops = 20
/** More than a model can be sent. To make tools of so many takes seconds, in which nothing else goes on; references multiply them. */
const maxSchemas = 50_000

/** Takes a parsed document, or the path or `file:` URL of one in JSON. Throws a `DefinitionError` where it is none. */
export function readDocument(given: JsonObject | string | URL): OpenapiDocument {
  const root = typeof given === 'string' || given instanceof URL ? readJsonFile(given) : given
  if (!isObject(root)) throw fault('the document is not an object')
  if (typeof root['openapi'] !== 'string' || !/^3\.[012](?:\.|$)/.test(root['openapi'])) {
    const given =
      typeof root['swagger'] === 'string' ? `Swagger ${root['swagger']}` : JSON.stringify(root['openapi'])
    throw fault(`#/openapi: must be 3.0, 3.1 or 3.2, not ${given ?? 'absent'}`)
  }
  if (!isObject(root['paths'])) throw fault('#/paths: must be an object')
  const find = (reference: string) => findIn(root, reference)
  let schemas = 0
  return {
    root,
    find,
    follow(value, place) {
      let current = value
      for (let hops = 0; hops < maxHops && isObject(current); hops++) {
        if (typeof current['$ref'] !== 'string') return current
        current = find(current['$ref'])
      }
      const reference = isObject(value) && typeof value['$ref'] === 'string' ? ` (${value['$ref']})` : ''
      throw fault(`${place}: leads to no object${reference}`)
    },
    countSchema() {
      schemas++
      if (schemas <= maxSchemas) return
      throw fault(`the arguments have more than ${maxSchemas} schemas within them: choose fewer operations`)
    },
  }
}

/** Every operation there is, in the document's order. */
export function operationsOf(document: OpenapiDocument): OperationNode[] {
  // Checked when it was read.
  return Object.entries(document.root['paths'] as JsonObject).flatMap(([path, value]) => {
    if (!path.startsWith('/')) return []
    const pathPlace = `#/paths/${escapePointer(path)}`
    const pathItem = document.follow(value, pathPlace)
    return operationMethods.flatMap((method): OperationNode[] => {
      if (pathItem[method] === undefined) return []
      const place = `${pathPlace}/${method}`
      const node = document.follow(pathItem[method], place)
      return [{ operation: toOperation(node, { method, path }), place, node, pathItem }]
    })
  })
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function fault(message: string): DefinitionError {
  return new DefinitionError(`openapiTools: ${message}`)
}

function toOperation(
  node: JsonObject,
  { method, path }: { method: (typeof operationMethods)[number]; path: string },
): OpenapiOperation {
  const { operationId, summary, description, tags, deprecated } = node
  return {
    ...(typeof operationId === 'string' && operationId !== '' ? { operationId } : {}),
    // A member of the list above, in capitals.
    method: method.toUpperCase() as OperationMethod,
    path,
    tags: Array.isArray(tags) ? tags.filter((tag) => typeof tag === 'string') : [],
    ...(typeof summary === 'string' ? { summary } : {}),
    ...(typeof description === 'string' ? { description } : {}),
    deprecated: deprecated === true,
  }
}

function readJsonFile(given: string | URL): unknown {
  const isUrl = given instanceof URL || /^[a-z][a-z\d+.-]+:\/\//i.test(given)
  const location = isUrl ? new URL(given) : given
  if (location instanceof URL && location.protocol !== 'file:') {
    throw fault(
      `the document is read from a file; fetch ${location.origin} yourself and give what it answers, parsed`,
    )
  }
  if (/\.ya?ml$/i.test(String(given))) {
    throw fault(`${String(given)}: only JSON is read; parse the YAML yourself and give the object`)
  }
  try {
    return JSON.parse(readFileSync(location, 'utf8').replace(/^\uFEFF/, '')) as unknown
  } catch (error) {
    throw fault(`${String(given)}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** RFC 6901, as the fragment of a URL. References to other documents lead nowhere. */
function findIn(root: JsonObject, reference: string): unknown {
  if (!reference.startsWith('#/')) return undefined
  let current: unknown = root
  for (const part of reference.slice(2).split('/')) {
    const key = decodeFragment(part).replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, key)) return undefined
    current = (current as JsonObject)[key]
  }
  return current
}

function decodeFragment(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    // A percent sign that stands for itself.
    return part
  }
}

export function escapePointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1')
}
