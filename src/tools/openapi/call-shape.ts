import type { JsonSchema } from '../../agent/definitions.ts'
import {
  escapePointer,
  isObject,
  type JsonObject,
  type OpenapiDocument,
  type OperationNode,
} from './document.ts'
import { toJsonSchema } from './json-schema.ts'

/** A parameter, and the name the model knows it by. */
export interface Field {
  readonly key: string
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly style: string
  readonly explode: boolean
  /** Written as JSON, whatever it is. */
  readonly json: boolean
}

/** How the input of a tool becomes a request. */
export interface CallShape {
  readonly fields: readonly Field[]
  /** Absent: no body. */
  readonly bodyType: string | undefined
  readonly input: JsonSchema
}

export interface ShapeOptions {
  document: OpenapiDocument
  /** Names of headers and query parameters that the author sets, in lower case. */
  taken: { header: ReadonlySet<string>; query: ReadonlySet<string> }
}

/** The specification says of the first three that they are none of the operation's; the others are the connection's. */
const reservedHeaders = new Set([
  'accept',
  'content-type',
  'authorization',
  'connection',
  'content-length',
  'cookie',
  'expect',
  'host',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

const bodyKey = 'body'

/** The shape, or why an operation cannot be called, in words. */
export function shapeOf(node: OperationNode, options: ShapeOptions): CallShape | { unable: string } {
  const { document } = options
  const parameters = parametersOf(node, document).filter((parameter) => isOffered(parameter, options))
  const unable = parameters.map(faultOf).find((text) => text !== undefined)
  if (unable !== undefined) return { unable }
  const body = bodyOf(node, document)
  if (body && 'unable' in body) return body
  const keys = new Set(body ? [bodyKey] : [])
  const described = parameters
    .filter((parameter) => parameter['in'] !== 'cookie')
    .map((parameter) => toField(parameter, { keys, document }))
  const properties: [string, JsonSchema][] = described.map(({ field, schema }) => [field.key, schema])
  const required = described.filter(({ required }) => required).map(({ field }) => field.key)
  if (body) {
    properties.push([bodyKey, body.schema])
    if (body.required) required.push(bodyKey)
  }
  return {
    fields: described.map(({ field }) => field),
    bodyType: body?.type,
    input: {
      type: 'object',
      properties: Object.fromEntries(properties),
      ...(required.length > 0 ? { required } : {}),
      additionalProperties: false,
    },
  }
}

/** Those of the path, those of the operation instead of them, and those of the template that nobody described. */
function parametersOf(
  { node, pathItem, place, operation }: OperationNode,
  document: OpenapiDocument,
): JsonObject[] {
  const byName = new Map<string, JsonObject>()
  const pathPlace = `#/paths/${escapePointer(operation.path)}`
  const lists = [
    { list: pathItem['parameters'], at: pathPlace },
    { list: node['parameters'], at: place },
  ]
  for (const { list, at } of lists) {
    if (!Array.isArray(list)) continue
    list.forEach((value: unknown, index) => {
      const parameter = document.follow(value, `${at}/parameters/${index}`)
      byName.set(`${String(parameter['in'])} ${String(parameter['name'])}`, parameter)
    })
  }
  for (const [, name] of operation.path.matchAll(/\{([^{}]+)\}/g)) {
    if (!byName.has(`path ${name}`))
      byName.set(`path ${name}`, { name, in: 'path', schema: { type: 'string' } })
  }
  return [...byName.values()].filter(
    (parameter) =>
      typeof parameter['name'] === 'string' &&
      (parameter['in'] !== 'path' || operation.path.includes(`{${parameter['name']}}`)),
  )
}

function isOffered(parameter: JsonObject, { taken }: ShapeOptions): boolean {
  const name = String(parameter['name'])
  if (parameter['in'] === 'query') return !taken.query.has(name)
  if (parameter['in'] !== 'header') return parameter['in'] === 'path' || parameter['in'] === 'cookie'
  return !reservedHeaders.has(name.toLowerCase()) && !taken.header.has(name.toLowerCase()) && isToken(name)
}

function isToken(name: string): boolean {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(name)
}

function faultOf(parameter: JsonObject): string | undefined {
  const { name, style } = parameter
  if (parameter['in'] === 'cookie' && parameter['required'] === true)
    return `it needs the cookie ${String(name)}`
  if (parameter['in'] !== 'path' || style === undefined || style === 'simple') return undefined
  return `the style ${JSON.stringify(style)} of the path parameter ${String(name)} is not known`
}

function toField(
  parameter: JsonObject,
  { keys, document }: { keys: Set<string>; document: OpenapiDocument },
): { field: Field; schema: JsonSchema; required: boolean } {
  const name = String(parameter['name'])
  // Cookies and what is none of them were left out before.
  const place = parameter['in'] as Field['in']
  const key = uniqueKey(name, { place, keys })
  keys.add(key)
  const style =
    typeof parameter['style'] === 'string' ? parameter['style'] : place === 'query' ? 'form' : 'simple'
  const content = isObject(parameter['content']) ? Object.values(parameter['content'])[0] : undefined
  const schema = toJsonSchema(isObject(content) ? content['schema'] : parameter['schema'], document)
  const description = [parameter['description'], schema['description']].filter(
    (text) => typeof text === 'string',
  )
  return {
    field: {
      key,
      name,
      in: place,
      style,
      explode: typeof parameter['explode'] === 'boolean' ? parameter['explode'] : style === 'form',
      json: content !== undefined,
    },
    schema: {
      ...schema,
      ...(description.length > 0 ? { description: description.join(' ').slice(0, 1000) } : {}),
    },
    required: place === 'path' || parameter['required'] === true,
  }
}

/** What providers accept as the name of an argument. */
function uniqueKey(name: string, { place, keys }: { place: string; keys: ReadonlySet<string> }): string {
  const plain =
    name
      .replaceAll(/[^a-zA-Z0-9_.-]+/g, '_')
      .replace(/_+$/, '')
      .slice(0, 48) || 'value'
  const candidates = [plain, `${plain}_${place}`]
  for (let i = 2; ; i++) {
    const free = candidates.find((candidate) => !keys.has(candidate))
    if (free !== undefined) return free
    candidates.push(`${plain}_${i}`)
  }
}

type Body = { type: string; schema: JsonSchema; required: boolean }

function bodyOf(
  { node, place, operation }: OperationNode,
  document: OpenapiDocument,
): Body | { unable: string } | undefined {
  const { method } = operation
  if (node['requestBody'] === undefined || method === 'GET' || method === 'HEAD') return undefined
  const body = document.follow(node['requestBody'], `${place}/requestBody`)
  const required = body['required'] === true
  const content = isObject(body['content']) ? body['content'] : {}
  const type = Object.keys(content).find((one) =>
    /^(?:application\/(?:[^;]*\+)?json|\*\/\*|application\/\*)\s*(?:;|$)/i.test(one),
  )
  if (type === undefined) {
    return required
      ? { unable: `it takes ${Object.keys(content).join(', ') || 'no content'}, and no JSON` }
      : undefined
  }
  const media = content[type]
  const schema = toJsonSchema(isObject(media) ? media['schema'] : {}, document)
  const description =
    typeof body['description'] === 'string' ? { description: body['description'].slice(0, 1000) } : {}
  return {
    type: type.includes('*') ? 'application/json' : type,
    schema: { ...description, ...schema },
    required,
  }
}
