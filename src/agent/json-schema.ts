import { z } from 'zod'
import type { JsonSchema } from './definitions.ts'

/**
 * What checks values against a JSON Schema (draft 2020-12, 7 or 4, by its `$schema`). Throws where a keyword cannot be checked:
 * `not`, `if`, references to elsewhere or in a circle… Without a `type` the keywords of a schema say which type is meant.
 */
export function toZod(schema: JsonSchema): z.ZodType {
  const checked = z.fromJSONSchema(prepare(schema))
  // A reference that leads to itself shows only when something is checked.
  checked.safeParse({})
  return checked
}

const keywordsOf = {
  object: [
    'properties',
    'required',
    'additionalProperties',
    'patternProperties',
    'propertyNames',
    'minProperties',
    'maxProperties',
  ],
  array: ['items', 'prefixItems', 'minItems', 'maxItems', 'uniqueItems', 'contains'],
  string: ['minLength', 'maxLength', 'pattern', 'format'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
} as const

const schemaMaps = ['properties', 'patternProperties', '$defs', 'definitions'] as const
const schemaLists = ['allOf', 'anyOf', 'oneOf', 'prefixItems', 'items'] as const
const schemas = ['items', 'additionalProperties', 'propertyNames', 'contains', 'not'] as const

/** The schema with what zod would pass over in silence said in a way that it checks. */
function prepare(schema: JsonSchema): JsonSchema {
  assertComparable(schema)
  const made: JsonSchema = { ...schema }
  for (const key of schemaMaps) {
    const value = made[key]
    if (value === undefined) continue
    if (!isObject(value)) throw new TypeError(`${key} must be an object`)
    made[key] = Object.fromEntries(Object.entries(value).map(([name, one]) => [name, prepareAny(one)]))
  }
  for (const key of schemaLists) {
    const value = made[key]
    if (Array.isArray(value)) made[key] = value.map(prepareAny)
    else if (key !== 'items' && value !== undefined) throw new TypeError(`${key} must be a list`)
  }
  for (const key of schemas) {
    const value = made[key]
    if (value !== undefined && !Array.isArray(value)) made[key] = prepareAny(value)
  }
  const type = made.type ?? impliedType(made)
  if (type !== undefined) made.type = type
  if (type === 'object' && Array.isArray(made.required)) made.properties = withRequired(made)
  return made as JsonSchema
}

function prepareAny(value: unknown): unknown {
  if (typeof value === 'boolean') return value
  if (!isObject(value)) throw new TypeError('a schema must be an object, or true or false')
  return prepare(value)
}

function impliedType(schema: JsonSchema): string | undefined {
  for (const [type, keywords] of Object.entries(keywordsOf)) {
    if (keywords.some((key) => schema[key] !== undefined)) return type
  }
  return undefined
}

/** Zod asks for required properties only where they are described. */
function withRequired({ properties, required, additionalProperties }: JsonSchema): JsonSchema {
  const described = { ...(properties as JsonSchema | undefined) }
  const other = typeof additionalProperties === 'boolean' ? {} : (additionalProperties ?? {})
  for (const name of required as unknown[]) {
    if (typeof name === 'string' && !Object.hasOwn(described, name)) described[name] = other
  }
  return described
}

/** Zod compares by identity: an object or a list in `const` or `enum` would fit nothing. */
function assertComparable(schema: JsonSchema): void {
  const values = [schema.const, ...(Array.isArray(schema.enum) ? schema.enum : [])]
  if (values.some((value) => typeof value === 'object' && value !== null)) {
    throw new TypeError('const and enum may hold texts, numbers, booleans and null only')
  }
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
