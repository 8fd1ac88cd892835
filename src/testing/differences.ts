import { isDeepStrictEqual } from 'node:util'

/** Where two values of plain JSON differ. A side that is `undefined` has nothing there. */
export interface Difference {
  /** Such as `items[2].output`; empty: the values themselves. */
  path: string
  expected: unknown
  actual: unknown
}

/** Whether two values of plain JSON are the same, in whatever order their keys are. */
export function isSame(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(a, b)
}

/**
 * The differences, as deep as both sides are alike. Of lists, what is the same at both ends is set aside first: one element
 * more shows as one difference.
 */
export function differencesOf(expected: unknown, actual: unknown, path = ''): Difference[] {
  if (isSame(expected, actual)) return []
  if (Array.isArray(expected) && Array.isArray(actual)) return listDifferences(expected, actual, path)
  if (isRecord(expected) && isRecord(actual)) {
    const keys = new Set([...Object.keys(expected), ...Object.keys(actual)])
    return [...keys].flatMap((key) => differencesOf(expected[key], actual[key], join(path, key)))
  }
  return [{ path, expected, actual }]
}

/** Both sides of each difference, two lines under its path. */
export function describeDifferences(
  differences: readonly Difference[],
  names: { expected: string; actual: string },
): string {
  const width = Math.max(names.expected.length, names.actual.length) + 1
  const label = (name: string) => `    ${`${name}:`.padEnd(width)} `
  const shown = differences.slice(0, maxShown).map(({ path, expected, actual }) => {
    const [left, right] = excerpts(expected, actual)
    return `  ${path || '(all)'}\n${label(names.expected)}${left}\n${label(names.actual)}${right}`
  })
  const more = differences.length - shown.length
  return [...shown, ...(more > 0 ? [`  and ${more} more`] : [])].join('\n')
}

const maxShown = 8
const maxShownChars = 160
/** What is shown of a long text before the place where it differs. */
const contextChars = 40

/** A value for people, in one line. */
export function showValue(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value) ?? typeof value
  return text.length > maxShownChars ? `${text.slice(0, maxShownChars)}…` : text
}

/** Both sides in a line each; of long texts the part around the first place where they differ. */
function excerpts(expected: unknown, actual: unknown): [string, string] {
  if (typeof expected !== 'string' || typeof actual !== 'string')
    return [showValue(expected), showValue(actual)]
  let start = 0
  while (start < expected.length && expected[start] === actual[start]) start++
  const from =
    start > contextChars && Math.max(expected.length, actual.length) > maxShownChars
      ? start - contextChars
      : 0
  const cut = (text: string) => `${from > 0 ? '…' : ''}${showValue(text.slice(from))}`
  return [cut(expected), cut(actual)]
}

function listDifferences(expected: unknown[], actual: unknown[], path: string): Difference[] {
  const shorter = Math.min(expected.length, actual.length)
  let head = 0
  while (head < shorter && isSame(expected[head], actual[head])) head++
  let tail = 0
  while (tail < shorter - head && isSame(expected.at(-1 - tail), actual.at(-1 - tail))) tail++
  // Of the same length, the elements are the same ones, changed; else the shorter side lacks the last of the rest.
  const count = Math.max(expected.length, actual.length) - tail - head
  const restOf = (list: unknown[]) => list.slice(head, list.length - tail)
  const [left, right] = [restOf(expected), restOf(actual)]
  return Array.from({ length: count }, (_, i) =>
    differencesOf(left[i], right[i], `${path}[${head + i}]`),
  ).flat()
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}
