import { toIsoDate, type Clock } from '../clock.ts'

/** What values are made of. */
export interface DemoSource {
  /** What the user said. */
  message: string
  clock: Clock
}

type Schema = Record<string, unknown>

interface Making extends DemoSource {
  root: Schema
  /** The values that may still be made: a schema may come from a caller, and ask for any number of them. */
  left: { values: number }
}

interface Wanted {
  /** Of the property. Empty for what has none. */
  name: string
  schema: Schema
  depth: number
}

const maxDepth = 10
const maxValues = 500
const maxItems = 50
const maxChars = 4_000

/**
 * A value for a JSON Schema, by simple rules: what the message clearly names, else what the schema itself offers, else something
 * of the right type within its limits. Of an object only what is required or clearly named. Patterns are not solved.
 */
export function demoValue(schema: Schema, source: DemoSource): unknown {
  return make({ ...source, root: schema, left: { values: maxValues } }, { name: '', schema, depth: 0 })
}

function make(making: Making, { name, schema: given, depth }: Wanted): unknown {
  const schema = resolveSchema(given, making.root)
  making.left.values -= 1
  if (depth > maxDepth || making.left.values < 0) return null
  if ('const' in schema) return schema['const']
  const named = namedValue(making, { name, schema })
  if (named !== undefined) return Array.isArray(schema['enum']) ? named : withinLimits(named, schema)
  if ('default' in schema) return schema['default']
  if (Array.isArray(schema['enum'])) return (schema['enum'] as unknown[])[0] ?? null
  if (typesOf(schema).includes('null')) return null
  switch (typesOf(schema)[0]) {
    case 'object':
      return makeObject(making, { schema, depth })
    case 'array':
      return makeArray(making, { name, schema, depth })
    case 'integer':
    case 'number':
      return withinLimits(firstNumber(making.message) ?? 0, schema)
    case 'boolean':
      return true
    default:
      return makeText(making, schema)
  }
}

function makeObject(making: Making, { schema, depth }: Omit<Wanted, 'name'>): Record<string, unknown> {
  const properties = Object.entries(objectOf(schema['properties'])).map(
    ([name, property]) => [name, resolveSchema(objectOf(property), making.root)] as const,
  )
  const required = Array.isArray(schema['required']) ? (schema['required'] as unknown[]) : []
  // Where nothing is required, what was said goes to the first text: there it is meant to go.
  const first = required.length === 0 ? properties.find(([, property]) => isPlainText(property)) : undefined
  return Object.fromEntries(
    properties.flatMap(([name, property]) => {
      const isMade =
        required.includes(name) || name === first?.[0] || isNamed(making, { name, schema: property })
      return isMade ? [[name, make(making, { name, schema: property, depth: depth + 1 })]] : []
    }),
  )
}

/** Whether the message holds a value that an optional property can take as it is. */
function isNamed(making: Making, wanted: { name: string; schema: Schema }): boolean {
  const value = namedValue(making, wanted)
  if (typeof value !== 'number' || wanted.schema['enum']) return value !== undefined
  return withinLimits(value, wanted.schema) === value
}

function makeArray(making: Making, { name, schema, depth }: Wanted): unknown[] {
  const items = resolveSchema(objectOf(schema['items']), making.root)
  const length = Math.min(numberOf(schema['minItems']) ?? 0, maxItems)
  const choices = items['enum']
  if (schema['uniqueItems'] === true && Array.isArray(choices)) return choices.slice(0, length)
  return Array.from({ length }, () => make(making, { name, schema: items, depth: depth + 1 }))
}

/** What the message clearly names: one of the choices, an address, a date, a number next to the property's name. */
function namedValue({ message }: Making, { name, schema }: { name: string; schema: Schema }): unknown {
  if (Array.isArray(schema['enum'])) return namedChoice(schema['enum'], message)
  if (isOfType(schema, 'number') || isOfType(schema, 'integer')) return namedNumber(name, message)
  if (!isOfType(schema, 'string')) return undefined
  switch (schema['format']) {
    case 'uri':
      return /https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]}]/i.exec(message.slice(0, maxChars))?.[0]
    case 'date':
      return message.match(/\d{4}-\d{2}-\d{2}/g)?.find(isDate)
    case 'email':
      return findEmail(message)
    default:
      return name === 'to' ? findEmail(message) : undefined
  }
}

/** The choice that was said last: the newest of what is quoted stands at the end. */
function namedChoice(choices: readonly unknown[], message: string): unknown {
  const said = spaced(message)
  let best: { choice: unknown; at: number; length: number } | undefined
  for (const choice of choices) {
    if (typeof choice !== 'string' && typeof choice !== 'number') continue
    const words = spaced(String(choice))
    const at = words.trim() === '' ? -1 : said.lastIndexOf(words)
    const isBetter = !best || at > best.at || (at === best.at && words.length > best.length)
    if (at >= 0 && isBetter) best = { choice, at, length: words.length }
  }
  return best?.choice
}

/** The words alone, a space around each. */
function spaced(text: string): string {
  return ` ${text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, ' ')} `.replace(/^ +| +$/g, ' ')
}

/** "5 results" or "results: 5" for `num_results`. */
function namedNumber(name: string, message: string): number | undefined {
  const own: string[] = name.toLowerCase().match(/[a-z]{3,}/g) ?? []
  const words = message.toLowerCase().match(/-?\d+(?:\.\d+)?|[a-z]+/g) ?? []
  const at = words.findIndex((word) => own.includes(word))
  if (at < 0) return undefined
  const number = [words[at - 1], words[at + 1]].find((word) => word !== undefined && /\d/.test(word))
  return number === undefined ? undefined : Number(number)
}

function firstNumber(message: string): number | undefined {
  const found = /-?\d+(?:\.\d+)?/.exec(message)?.[0]
  return found === undefined ? undefined : Number(found)
}

function findEmail(message: string): string | undefined {
  return message
    .slice(0, maxChars)
    .split(/\s+/)
    .map((word) => /^[^\w]*([\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+)/.exec(word)?.[1])
    .find((address) => address !== undefined)
}

function isDate(text: string): boolean {
  const ms = Date.parse(`${text}T00:00:00Z`)
  return !Number.isNaN(ms) && toIsoDate(ms).startsWith(text)
}

function makeText({ message, clock }: Making, schema: Schema): string {
  const now = toIsoDate(clock.now())
  switch (schema['format']) {
    case 'date':
      return now.slice(0, 10)
    case 'date-time':
      return now
    case 'time':
      return now.slice(11)
    case 'uri':
      return 'https://example.com'
    case 'email':
      return 'someone@example.com'
    case 'uuid':
      return '00000000-0000-4000-8000-000000000000'
    default:
      return withinLimits(message, schema) as string
  }
}

function withinLimits(value: unknown, schema: Schema): unknown {
  if (typeof value === 'string') return textWithin(value, schema)
  return typeof value === 'number' ? numberWithin(value, schema) : value
}

function textWithin(text: string, schema: Schema): string {
  const most = Math.min(numberOf(schema['maxLength']) ?? maxChars, maxChars)
  const least = Math.min(numberOf(schema['minLength']) ?? 0, most)
  // A cut may leave half of a character.
  return text.padEnd(least, '.').slice(0, most).toWellFormed()
}

function numberWithin(value: number, schema: Schema): number {
  const above = numberOf(schema['exclusiveMinimum'])
  const below = numberOf(schema['exclusiveMaximum'])
  const step = numberOf(schema['multipleOf']) ?? (isOfType(schema, 'integer') ? 1 : 0)
  const low = numberOf(schema['minimum']) ?? (above === undefined ? -Infinity : above + (step || 1))
  const high = numberOf(schema['maximum']) ?? (below === undefined ? Infinity : below - (step || 1))
  if (low > high) return above !== undefined && below !== undefined ? (above + below) / 2 : low
  const inside = Math.min(Math.max(value, low), high)
  if (step <= 0) return inside
  const down = Math.floor(inside / step) * step
  return down >= low ? down : down + step
}

/** The schema itself: what it refers to, the first of its alternatives, the whole of its parts. */
function resolveSchema(schema: Schema, root: Schema): Schema {
  let found = schema
  for (let depth = 0; depth < maxDepth; depth += 1) {
    const { $ref, anyOf, oneOf, allOf, ...rest } = found
    const options = [anyOf, oneOf].find(isFilledList)
    if (typeof $ref === 'string') found = { ...rest, ...referred($ref, root) }
    else if (options) found = { ...rest, ...chosenOf(options.map(objectOf)) }
    else if (isFilledList(allOf)) found = allOf.map(objectOf).reduce(merged, rest)
    else return found
  }
  return {}
}

/** Null, where it is allowed, says that nothing is known. */
function chosenOf(options: readonly Schema[]): Schema {
  const [first = {}] = options.filter((option) => option['type'] !== 'null')
  if (!options.some((option) => option['type'] === 'null')) return first
  return { ...first, type: [...typesOf(first), 'null'] }
}

function merged(one: Schema, other: Schema): Schema {
  const properties = { ...objectOf(one['properties']), ...objectOf(other['properties']) }
  const required = [one['required'], other['required']].flatMap((list) => (Array.isArray(list) ? list : []))
  return { ...one, ...other, properties, required }
}

function referred(reference: string, root: Schema): Schema {
  if (!reference.startsWith('#')) return {}
  const keys = reference.split('/').slice(1)
  return keys.reduce((at, key) => objectOf(Object.hasOwn(at, key) ? at[key] : undefined), root)
}

function typesOf(schema: Schema): unknown[] {
  const { type } = schema
  if (Array.isArray(type)) return type as unknown[]
  if (typeof type === 'string') return [type]
  if ('properties' in schema) return ['object']
  return 'items' in schema ? ['array'] : ['string']
}

function isOfType(schema: Schema, type: string): boolean {
  return typesOf(schema).includes(type)
}

function isPlainText(schema: Schema): boolean {
  return isOfType(schema, 'string') && !['format', 'enum', 'const', 'default'].some((key) => key in schema)
}

function isFilledList(value: unknown): value is unknown[] {
  return Array.isArray(value) && value.length > 0
}

function objectOf(value: unknown): Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Schema) : {}
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined
}
