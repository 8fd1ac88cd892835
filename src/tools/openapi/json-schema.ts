import type { JsonSchema } from '../../agent/definitions.ts'
import { tool } from '../../agent/tool.ts'
import { isObject, type JsonObject, type OpenapiDocument } from './document.ts'

/** Beyond these a schema says "anything": a model is helped by neither, and references can multiply without end. */
const maxDepth = 12
const maxNodes = 2_000

const numbers = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'] as const
const lengths = ['minLength', 'maxLength', 'minItems', 'maxItems'] as const
const types = new Set(['string', 'number', 'integer', 'boolean', 'object', 'array', 'null'])

/**
 * The JSON Schema of what a client sends, out of a schema of OpenAPI 3.0 or 3.1: references are resolved, a reference that
 * comes back to itself is "anything", and so is all that the schemas of tools cannot hold. What it accepts is never less
 * than what the original does: the API has the last word. Throws a `DefinitionError` where the document's tools have too many.
 */
export function toJsonSchema(schema: unknown, document: OpenapiDocument): JsonSchema {
  return takeable(convert(schema, { document, references: [], depth: 0, left: { nodes: maxNodes } }))
}

interface Place {
  document: OpenapiDocument
  /** Those that led here. */
  references: readonly string[]
  depth: number
  left: { nodes: number }
}

function convert(schema: unknown, place: Place): JsonSchema {
  const { required, ...rest } = convertPart(schema, place)
  if (!Array.isArray(required) || !isObject(rest['properties'])) return dropUndefined({ ...rest, required })
  // What only the server writes was left out, and may still be called for, also by another part of `allOf`.
  const { properties } = rest
  return { ...rest, required: required.filter((name: string) => Object.hasOwn(properties, name)) }
}

/** The same for a part of `allOf`, which may speak of what another part describes. */
function convertPart(schema: unknown, place: Place): JsonSchema {
  if (!isObject(schema) || place.depth > maxDepth || place.left.nodes-- <= 0) return {}
  place.document.countSchema()
  if (typeof schema['$ref'] === 'string') return convertReference(schema, schema['$ref'], place)
  const own = dropUndefined({
    ...typeOf(schema),
    ...valuesOf(schema),
    ...limitsOf(schema),
    ...childrenOf(schema, place),
    ...alternativesOf(schema, place),
    description: describe(schema),
  })
  const { allOf } = schema
  if (!Array.isArray(allOf)) return own
  return allOf.map((member) => convertPart(member, below(place))).reduce(merge, own)
}

function convertReference(schema: JsonObject, reference: string, place: Place): JsonSchema {
  const description = typeof schema['description'] === 'string' ? { description: schema['description'] } : {}
  if (place.references.includes(reference)) return description
  const target = place.document.find(reference)
  const references = [...place.references, reference]
  return { ...convertPart(target, { ...place, references, depth: place.depth + 1 }), ...description }
}

function below(place: Place): Place {
  return { ...place, depth: place.depth + 1 }
}

function typeOf(schema: JsonObject): JsonSchema {
  const named = [schema['type']].flat().filter((type): type is string => types.has(type as string))
  const guessed = named.length > 0 ? named : guessType(schema)
  if (guessed.length === 0) return {}
  const all = schema['nullable'] === true ? [...new Set([...guessed, 'null'])] : guessed
  return { type: all.length === 1 ? all[0] : all }
}

function guessType(schema: JsonObject): string[] {
  if (isObject(schema['properties']) || Array.isArray(schema['required'])) return ['object']
  return schema['items'] === undefined ? [] : ['array']
}

function valuesOf(schema: JsonObject): JsonSchema {
  if ('const' in schema) return { enum: [schema['const']] }
  if (!Array.isArray(schema['enum']) || schema['enum'].length === 0) return {}
  const values = schema['enum'] as unknown[]
  return { enum: schema['nullable'] === true && !values.includes(null) ? [...values, null] : values }
}

function limitsOf(schema: JsonObject): JsonSchema {
  const limits: JsonSchema = {}
  for (const key of numbers) if (Number.isFinite(schema[key])) limits[key] = schema[key]
  for (const key of lengths) if (Number.isSafeInteger(schema[key])) limits[key] = schema[key]
  // In OpenAPI 3.0 these say of the limit beside them that it is none of the values.
  if (schema['exclusiveMinimum'] === true) move(limits, 'minimum', 'exclusiveMinimum')
  if (schema['exclusiveMaximum'] === true) move(limits, 'maximum', 'exclusiveMaximum')
  if (typeof schema['pattern'] === 'string' && isPattern(schema['pattern']))
    limits['pattern'] = schema['pattern']
  return limits
}

function move(limits: JsonSchema, from: string, to: string): void {
  if (limits[from] === undefined) return
  limits[to] = limits[from]
  delete limits[from]
}

function isPattern(pattern: string): boolean {
  try {
    return new RegExp(pattern).source !== ''
  } catch {
    return false
  }
}

function childrenOf(schema: JsonObject, place: Place): JsonSchema {
  const { properties, required, additionalProperties, items } = schema
  const children: JsonSchema = {}
  if (isObject(properties)) {
    // What only the server writes is nothing a client sends.
    const sent = Object.entries(properties).filter(([, property]) => !isReadOnly(property, place.document))
    children['properties'] = Object.fromEntries(
      sent.map(([name, value]) => [name, convert(value, below(place))]),
    )
  }
  if (Array.isArray(required)) children['required'] = required.filter((name) => typeof name === 'string')
  if (additionalProperties === false) children['additionalProperties'] = false
  else if (isObject(additionalProperties)) {
    children['additionalProperties'] = convert(additionalProperties, below(place))
  }
  if (isObject(items)) children['items'] = convert(items, below(place))
  return children
}

function isReadOnly(property: unknown, document: OpenapiDocument): boolean {
  if (!isObject(property)) return false
  if (property['readOnly'] === true) return true
  const target = typeof property['$ref'] === 'string' ? document.find(property['$ref']) : undefined
  return isObject(target) && target['readOnly'] === true
}

/** `oneOf` as `anyOf`: documents use it loosely, and what fits two of its members is no fault. */
function alternativesOf(schema: JsonObject, place: Place): JsonSchema {
  const [given] = [schema['anyOf'], schema['oneOf']].filter((list) => Array.isArray(list) && list.length > 0)
  if (!Array.isArray(given)) return {}
  const members = given.map((member) => convert(member, below(place)))
  return { anyOf: schema['nullable'] === true ? [...members, { type: 'null' }] : members }
}

/**
 * What a model should know and a check should not hold against it: the format, which APIs take loosely, and the default,
 * which is the server's to fill in (an update must not set what nobody asked to set).
 */
function describe(schema: JsonObject): string | undefined {
  const { description, title, format } = schema
  const sentences = [
    typeof description === 'string' ? description.trim() : typeof title === 'string' ? title.trim() : '',
    typeof format === 'string' ? `Format: ${format}.` : '',
    schema['default'] === undefined || schema['default'] === null
      ? ''
      : `Default: ${JSON.stringify(schema['default'])}.`,
  ]
  const text = sentences.filter((sentence) => sentence !== '').join(' ')
  return text === '' ? undefined : text.slice(0, 1000)
}

/** `allOf` as one schema, as well as one can say it; of two limits on the same thing the first stands. */
function merge(into: JsonSchema, member: JsonSchema): JsonSchema {
  const { additionalProperties: _closed, ...open } = into
  const { additionalProperties: _closedToo, ...other } = member
  return dropUndefined({
    ...other,
    ...open,
    properties: mergeObjects(member['properties'], into['properties']),
    required: mergeLists(into['required'], member['required']),
  })
}

function mergeObjects(first: unknown, second: unknown): JsonObject | undefined {
  if (!isObject(first) || !isObject(second))
    return isObject(first) ? first : isObject(second) ? second : undefined
  return { ...first, ...second }
}

function mergeLists(first: unknown, second: unknown): unknown[] | undefined {
  if (!Array.isArray(first) && !Array.isArray(second)) return undefined
  return [...new Set([first, second].flatMap((list) => (Array.isArray(list) ? (list as unknown[]) : [])))]
}

/** The schema where the checks of a tool can be made of it; else without those of its parts that stand in the way. */
function takeable(schema: JsonSchema): JsonSchema {
  if (isTakeable(schema)) return schema
  const simpler = { ...schema }
  for (const key of ['items', 'additionalProperties']) {
    if (isObject(simpler[key])) simpler[key] = takeable(simpler[key])
  }
  if (isObject(simpler['properties'])) {
    const entries = Object.entries(simpler['properties'])
    simpler['properties'] = Object.fromEntries(
      entries.map(([name, value]) => [name, takeable(value as JsonSchema)]),
    )
  }
  if (Array.isArray(simpler['anyOf'])) simpler['anyOf'] = (simpler['anyOf'] as JsonSchema[]).map(takeable)
  if (isTakeable(simpler)) return simpler
  return typeof schema['description'] === 'string' ? { description: schema['description'] } : {}
}

function isTakeable(schema: JsonSchema): boolean {
  try {
    const input = { type: 'object', properties: { schema } }
    tool({ name: 'check', description: '', input, execute: () => undefined })
    return true
  } catch {
    return false
  }
}

function dropUndefined(schema: JsonSchema): JsonSchema {
  return Object.fromEntries(Object.entries(schema).filter(([, value]) => value !== undefined))
}
