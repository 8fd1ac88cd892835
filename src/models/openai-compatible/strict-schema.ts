type Json = Record<string, unknown>

/**
 * Whether OpenAI takes a schema in its strict mode, in which it holds the model to it; it refuses the request where a schema leaves
 * anything open or has a keyword it does not know. By https://platform.openai.com/docs/guides/structured-outputs#supported-schemas:
 * an object whose properties are all required and no others allowed, in all its depth.
 */
export function isStrict(schema: Json): boolean {
  return schema.type === 'object' && isClosed(schema)
}

/** What stands for itself, whatever its value. */
const plain: ReadonlySet<string> = new Set(
  `$schema $id $ref title description type required additionalProperties enum const multipleOf minimum maximum
  exclusiveMinimum exclusiveMaximum minItems maxItems`.split(/\s+/),
)
const formats: ReadonlySet<unknown> = new Set(
  'date-time time date duration email hostname ipv4 ipv6 uuid'.split(' '),
)

const checks: Readonly<Record<string, (value: unknown) => boolean>> = {
  properties: areClosed,
  $defs: areClosed,
  definitions: areClosed,
  items: isClosed,
  anyOf: (value) => Array.isArray(value) && value.every(isClosed),
  format: (value) => formats.has(value),
  // It has no looking ahead or behind, which many patterns for addresses use.
  pattern: (value) => typeof value === 'string' && !/\(\?<?[=!]/.test(value),
}

function isClosed(schema: unknown): boolean {
  if (!isObject(schema)) return false
  const allTaken = Object.entries(schema).every(
    ([key, value]) => plain.has(key) || checks[key]?.(value) === true,
  )
  return allTaken && (!isForObjects(schema) || allowsNothingElse(schema))
}

function areClosed(schemas: unknown): boolean {
  return isObject(schemas) && Object.values(schemas).every(isClosed)
}

function isForObjects({ type, properties }: Json): boolean {
  return properties !== undefined || type === 'object' || (Array.isArray(type) && type.includes('object'))
}

function allowsNothingElse({ properties = {}, required = [], additionalProperties }: Json): boolean {
  if (additionalProperties !== false || !Array.isArray(required) || !isObject(properties)) return false
  return Object.keys(properties).every((name) => required.includes(name))
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
