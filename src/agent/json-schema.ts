import { z } from 'zod'
import { sharing, TookTooLong, within } from './bounded.ts'
import type { JsonSchema } from './definitions.ts'

/** Beyond it a value does not fit: no other run goes on meanwhile. */
const maxCheckMs = 250

/**
 * What checks values against a JSON Schema (draft 2020-12, 7 or 4, by its `$schema`). Throws where a keyword cannot be checked:
 * `not`, `if`, references to elsewhere or in a circle… Without a `type` the keywords of a schema say which type is meant.
 * What a value inherits is none of its properties. A check that takes too long is a fault of the value.
 */
export function toZod(schema: JsonSchema): z.ZodType {
  const prepared = prepare(schema)
  // As zod reads it; names and keywords stand in it as they are.
  const text = JSON.stringify(prepared)
  const isLimited = slowKeywords.test(text)
  const hasInherited = inheritedNames().some((name) => text.includes(JSON.stringify(name)))
  const convert = () => {
    const converted = z.fromJSONSchema(prepared)
    // In a part of a schema it says what must not be there.
    if (converted.type === 'never') throw new TypeError('it allows no value at all')
    return hasInherited ? byOwnProperties(converted) : converted
  }
  const checked = convert()
  // A reference that leads to itself shows only when something is checked.
  const tryOut = () => checked.safeParse({})
  if (!isLimited) tryOut()
  // In a time of its own: of a schema that is read while calls are checked nothing else would be known afterwards.
  else sharing({ ms: maxCheckMs }, () => within(maxCheckMs, tryOut))
  return isLimited ? limited(checked, convert) : checked
}

/** Whose checks may need more than the length of the value: patterns, references that multiply, values that are put together. */
const slowKeywords = /"(?:pattern|patternProperties|\$ref|allOf|anyOf|oneOf)":/

/** Only for schemas that need it: it takes a hundred times as long as a small check. */
function limited(checked: z.ZodType, convert: () => z.ZodType): z.ZodType {
  let idle: z.ZodType | undefined = checked
  const check = (value: unknown) => {
    const current = idle ?? convert()
    // One that is stopped does not come back: that may be where it prepares itself.
    idle = undefined
    const result = current.safeParse(value)
    idle = current
    return result
  }
  return z.transform((value: unknown, context) => {
    try {
      return told(
        within(maxCheckMs, () => check(value)),
        context,
      )
    } catch (error) {
      if (!(error instanceof TookTooLong)) throw error
      context.addIssue({ code: 'custom', message: 'could not be checked in time', params: { tookTooLong } })
      return z.NEVER
    }
  })
}

/** Marks the fault of a value whose check was stopped. */
const tookTooLong = Symbol('took too long')

/** Whether the check of a value was stopped: the next one like it will be, too. */
export function wasStopped(issues: readonly z.core.$ZodIssue[]): boolean {
  return issues.some((issue) => issue.code === 'custom' && issue.params?.tookTooLong === tookTooLong)
}

function inheritedNames(): string[] {
  return Object.getOwnPropertyNames(Object.prototype)
}

/** Zod asks with `in`: it is shown copies that inherit nothing. */
export function byOwnProperties(checked: z.ZodType): z.ZodType {
  return z.transform((value: unknown, context) =>
    copy(told(checked.safeParse(copy(value, null)), context), Object.prototype),
  )
}

function copy(value: unknown, prototype: object | null): unknown {
  if (Array.isArray(value)) return value.map((one) => copy(one, prototype))
  if (!isObject(value)) return value
  const copied = Object.create(prototype) as JsonSchema
  for (const [name, one] of Object.entries(value)) {
    // Not by `=`: that sets the prototype where the name is __proto__.
    Object.defineProperty(copied, name, {
      value: copy(one, prototype),
      enumerable: true,
      configurable: true,
      writable: true,
    })
  }
  return copied
}

function told(result: z.ZodSafeParseResult<unknown>, context: z.RefinementCtx): unknown {
  if (result.success) return result.data
  for (const { message, path } of result.error.issues) {
    context.addIssue({ code: 'custom', message, path: [...path] })
  }
  return z.NEVER
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
const schemas = ['items', 'additionalProperties', 'propertyNames', 'contains'] as const

/** The schema with what zod would pass over in silence said in a way that it checks. */
function prepare(schema: JsonSchema): JsonSchema {
  assertComparable(schema)
  assertPositive(schema)
  assertOwn(schema)
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

/** Of all that could be forbidden only everything is, which is how a property that may not be there is written. */
function assertPositive({ not }: JsonSchema): void {
  if (not === undefined || (isObject(not) && Object.keys(not).length === 0)) return
  throw new TypeError('not is not supported')
}

/** Zod passes over the one name, and finds definitions that nobody wrote by the others. */
function assertOwn({ properties, required, $ref }: JsonSchema): void {
  const names = [
    ...(isObject(properties) ? Object.keys(properties) : []),
    ...(Array.isArray(required) ? required : []),
  ]
  if (names.includes('__proto__')) throw new TypeError('no property may be named __proto__')
  if (typeof $ref === 'string' && inheritedNames().includes($ref.split('/').at(-1) ?? '')) {
    throw new TypeError(`${$ref} cannot be referred to by this name`)
  }
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
