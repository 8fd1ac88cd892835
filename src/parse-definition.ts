import { z } from 'zod'

/** A definition an author wrote cannot be used. `message` says what and where, for people. */
export class DefinitionError extends TypeError {
  constructor(message: string) {
    super(message)
    this.name = 'DefinitionError'
  }
}

/** What agents and tools may be called: what providers accept as the name of a function. */
export const definitionName = z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, 'must be 1 to 64 of a-z A-Z 0-9 _ -')

export const functionSchema = z.custom((value) => typeof value === 'function', 'must be a function')

export const clockSchema = z.custom(
  (value) => typeof value === 'object' && value !== null && 'monotonic' in value,
  'must be a clock',
)

/** Node's timers end here. */
export const maxTimerMs = 2 ** 31 - 1

/**
 * Throws a `DefinitionError` that names every fault with its place and what may stand there, and never a value: among them are
 * keys. Gives nothing back: the options are used as they are.
 */
export function parseDefinition(input: {
  /** Who was given them: `agent`, `denyList`. */
  what: string
  schema: z.ZodType
  options: unknown
}): void {
  const { options, schema, what } = input
  const result = schema.safeParse(options, { error: describeIssue })
  if (result.success) return
  const named = typeof options === 'object' && options !== null && 'name' in options
  const name = named && typeof options.name === 'string' ? ` ${options.name}` : ''
  const faults = result.error.issues
    .flatMap(placesOf)
    .map(({ path, message }) => (path.length > 0 ? `${path.join('.')}: ${message}` : message))
  throw new DefinitionError(`${what}${name}: ${faults.join('; ')}`)
}

type Issue = z.core.$ZodIssue
type RawIssue = z.core.$ZodRawIssue

/** Of a union whose value is nearly one of its choices the faults within it. */
function placesOf(issue: Issue): { path: PropertyKey[]; message: string }[] {
  const nearest = issue.code === 'invalid_union' ? issue.errors.find(isWithin) : undefined
  if (!nearest) return [issue]
  return nearest.flatMap(placesOf).map(({ path, message }) => ({ path: [...issue.path, ...path], message }))
}

function isWithin(issues: readonly Issue[]): boolean {
  return issues.some(({ code, path }) => path.length > 0 || code === 'unrecognized_keys')
}

/** Where the schema has no message of its own; undefined leaves it to zod. */
function describeIssue(issue: RawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_union':
      return describeUnion(issue.errors.flat(), issue.input)
    case 'invalid_value':
      return `must be ${orList(issue.values.map(literal))}`
    case 'invalid_type':
      return describeType(issue.expected, issue.input)
    case 'unrecognized_keys':
      return describeUnknown(issue.keys, issue.inst)
    case 'invalid_key':
      return issue.issues[0]?.message
    case 'too_small':
      return describeBound(issue, { bound: issue.minimum, words: issue.inclusive ? 'at least' : 'more than' })
    case 'too_big':
      return describeBound(issue, { bound: issue.maximum, words: issue.inclusive ? 'at most' : 'less than' })
    default:
      return undefined
  }
}

function describeBound(
  { origin }: { origin: string },
  { bound, words }: { bound: number | bigint; words: string },
): string {
  if (origin !== 'string' && origin !== 'array') return `must be ${words} ${bound}`
  if (bound === 1 && words === 'at least') return 'must not be empty'
  return `must have ${words} ${bound} ${origin === 'string' ? 'characters' : 'entries'}`
}

function describeUnion(issues: readonly Issue[], value: unknown): string {
  const wanted = `must be ${orList(issues.flatMap(choicesOf))}`
  return typeof value === 'function' ? `${wanted}, not ${uncalled(value)}` : wanted
}

/** What would do, of `must be a list, not text` the words `a list`. */
function choicesOf(issue: Issue): string[] {
  if (issue.code === 'invalid_union') return issue.errors.flat().flatMap(choicesOf)
  if (issue.code === 'invalid_value') return issue.values.map(literal)
  return [issue.message.replace(/^must be /, '').replace(/, not .*$/, '')]
}

function literal(value: z.core.util.Primitive): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}

function describeType(expected: string, value: unknown): string {
  const wanted = `must be ${expectedWords[expected] ?? `a ${expected}`}`
  return expected === 'int' ? wanted : `${wanted}, not ${describeValue(value)}`
}

const expectedWords: Partial<Record<string, string>> = {
  string: 'text',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
}

function describeValue(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'a list'
  if (Number.isNaN(value)) return 'NaN'
  if (typeof value === 'function') return uncalled(value)
  return typeof value === 'string' ? 'text' : `a${typeof value === 'object' ? 'n' : ''} ${typeof value}`
}

/** `redactPii` where `redactPii()` was meant. */
export function uncalled(value: { readonly name: string }): string {
  return value.name === '' ? 'a function' : `a function: call it, ${value.name}()`
}

function describeUnknown(keys: readonly string[], schema: unknown): string {
  const unknown = keys.map((key) => JSON.stringify(key)).join(', ')
  if (!(schema instanceof z.ZodObject)) return `no such option: ${unknown}`
  return `no such option: ${unknown}; there are ${Object.keys(schema.shape).join(', ')}`
}

function orList(choices: readonly string[]): string {
  const distinct = [...new Set(choices)]
  return [distinct.slice(0, -1).join(', '), ...distinct.slice(-1)].filter((part) => part !== '').join(' or ')
}
