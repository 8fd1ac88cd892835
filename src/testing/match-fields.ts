import { showValue } from './differences.ts'

/** What `expect.any(String)`, `expect.stringMatching(…)` and the like are, in Vitest and Jest. */
export interface AsymmetricMatcher {
  asymmetricMatch(value: unknown): boolean
  /** For people. */
  toAsymmetricMatcher?(): string
}

/**
 * A value, a function that asks it, a regular expression for a text, or some of the fields of an object. Lists have as many
 * elements as the pattern.
 */
export type FieldPattern<T> = unknown extends T
  ? unknown
  : | ((value: T) => boolean)
    | AsymmetricMatcher
    | (T extends string ? T | RegExp : never)
    | (T extends readonly (infer E)[] ? readonly FieldPattern<E>[] : never)
    | (T extends object ? { readonly [K in keyof T]?: FieldPattern<T[K]> } : T)

/** What of a value is not as its pattern says, a line each: `arguments.city: expected "Oslo", was "Rome"`. */
export function faultsOf(value: unknown, pattern: unknown, path = ''): string[] {
  if (Array.isArray(pattern) && Array.isArray(value) && pattern.length === value.length) {
    return pattern.flatMap((one, i) => faultsOf(value[i], one, `${path}[${i}]`))
  }
  if (isFields(pattern) && isFields(value)) {
    return Object.entries(pattern).flatMap(([key, one]) =>
      faultsOf(value[key], one, path === '' ? key : `${path}.${key}`),
    )
  }
  return isMatch(value, pattern) ? [] : [`${path}: expected ${showPattern(pattern)}, was ${showValue(value)}`]
}

/** A pattern for people, in one line. */
export function showPattern(pattern: unknown): string {
  if (typeof pattern === 'function') return pattern.toString().replaceAll(/\s+/g, ' ')
  if (pattern instanceof RegExp) return pattern.toString()
  if (isMatcher(pattern)) return pattern.toAsymmetricMatcher?.() ?? 'what the matcher accepts'
  if (Array.isArray(pattern)) return `[${pattern.map(showPattern).join(', ')}]`
  if (!isFields(pattern)) return showValue(pattern)
  const fields = Object.entries(pattern).map(([key, one]) => `${key}: ${showPattern(one)}`)
  return fields.length === 0 ? '{}' : `{ ${fields.join(', ')} }`
}

function isMatch(value: unknown, pattern: unknown): boolean {
  if (typeof pattern === 'function') return pattern(value) === true
  // Not `test`, by which a global one remembers where it was.
  if (pattern instanceof RegExp) return typeof value === 'string' && value.search(pattern) !== -1
  return isMatcher(pattern) ? pattern.asymmetricMatch(value) : Object.is(value, pattern)
}

function isMatcher(pattern: unknown): pattern is AsymmetricMatcher {
  return typeof pattern === 'object' && pattern !== null && 'asymmetricMatch' in pattern
}

function isFields(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  return !Array.isArray(value) && !(value instanceof RegExp) && !isMatcher(value)
}
