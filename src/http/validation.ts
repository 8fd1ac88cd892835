import type { z } from 'zod'
import { AppError, type ErrorLocation } from '../errors.ts'

/** Parses what a caller sent. Throws `invalid_request` with the place of every fault; `root` is where the value stood. */
export function parseInput<S extends z.ZodType>(
  schema: S,
  value: unknown,
  root: 'body' | 'query' | 'path' | 'header',
): z.output<S> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw invalidInput(
    result.error.issues
      .slice(0, maxLocations)
      .flatMap((issue) => locationsOf({ issue, path: [root], value })),
  )
}

/** An error is not larger than what it is about. */
export const maxLocations = 20

/** `invalid_request` with one or more places; its message names the first. More places than `maxLocations` are left out. */
export function invalidInput(all: ErrorLocation[]): AppError {
  const locations = all.slice(0, maxLocations)
  const [first] = locations
  const message = first && `${first.path.join('.')}: ${first.message}`
  return new AppError('invalid_request', { message, locations })
}

type Issue = z.core.$ZodIssue

/** `path` leads to `value`, in which the issue is. */
function locationsOf(input: { issue: Issue; path: (string | number)[]; value: unknown }): ErrorLocation[] {
  const { issue } = input
  const path = [...input.path, ...issue.path.map((part) => (typeof part === 'number' ? part : String(part)))]
  const value = valueAt(input.value, issue.path)
  if (value === undefined && issue.path.length > 0 && typeIssues.has(issue.code)) {
    return [{ path, message: 'Field required' }]
  }
  if (issue.code === 'unrecognized_keys') {
    return issue.keys
      .slice(0, maxLocations)
      .map((key) => ({ path: [...path, key], message: 'Unknown field' }))
  }
  if (issue.code === 'invalid_union') {
    const branch = deepest(issue.errors)
    if (branch) return branch.flatMap((inner) => locationsOf({ issue: inner, path, value }))
    const expected = issue.errors.flatMap(([first]) =>
      first?.code === 'invalid_type' ? [first.expected] : [],
    )
    const message = expected.length > 0 ? `Invalid input: expected ${expected.join(' or ')}` : issue.message
    return [{ path, message }]
  }
  // What zod calls a record is an object like any other to whoever writes JSON.
  return [{ path, message: issue.message.replace('expected record', 'expected object') }]
}

/** What an absent value is at fault with. */
const typeIssues = new Set<Issue['code']>(['invalid_type', 'invalid_value', 'invalid_union'])

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined
    at = (at as Record<PropertyKey, unknown>)[key]
  }
  return at
}

/** The branch of a union that the value was meant for: the one that fails inside the value, not at its type. */
function deepest(branches: Issue[][]): Issue[] | undefined {
  return branches.find((issues) =>
    issues.every((issue) => issue.path.length > 0 || issue.code !== 'invalid_type'),
  )
}
