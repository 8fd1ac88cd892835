import { setImmediate } from 'node:timers/promises'
import type { TextFilter } from '../agent/hooks.ts'

export const noMatch = -1
export const needsMore = -2

/**
 * Whether something begins exactly at `at`: the index behind it, `noMatch`, or `needsMore` where that depends on text which
 * is yet to come (never where `isWhole`). It may look two characters back and reads forward a bounded way, so that what it
 * says does not depend on how the text was cut into deltas.
 */
export type Matcher = (text: string, at: number, isWhole: boolean) => number

/** How far back a matcher and its `starts` may look. */
const lookBehind = 2

/** How much of a long text is scanned before others get their turn: some ten milliseconds of a text that is made for it. */
const sliceChars = 32_768

export interface Search<Kind> {
  kind: Kind
  /**
   * Global, matches nothing but a place (`(?=…)`): where it is worth asking the matcher. It may let places through where the
   * matcher finds nothing, and must let those through where it finds something or may, with more text behind the end (`$`).
   */
  starts: RegExp
  match: Matcher
}

export interface TextScannerOptions<Kind> {
  /** In order of preference where several match at the same place. */
  searches: readonly Search<Kind>[]
  /** What stands instead of a match. Null: nothing more of the text is given out. */
  onMatch(kind: Kind, match: string): string | null
}

/**
 * Replaces what matches in a text that comes in pieces. Gives out everything but a tail that may yet become a match, and
 * never ends in the first half of a surrogate pair. The pieces put together are the same however the text was cut.
 */
export function createTextScanner<Kind>(options: TextScannerOptions<Kind>): TextFilter {
  let before = ''
  let held = ''
  let stopped = false
  const cursors = options.searches.map((search) => ({ search, next: -1 }))
  const scan = (delta: string, isWhole: boolean): string => {
    if (stopped) return ''
    const buffer = before + held + delta
    const text = isWhole || !endsInHalf(buffer) ? buffer : buffer.slice(0, -1)
    let shown = ''
    let at = before.length
    let copied = at
    for (const cursor of cursors) cursor.next = -1
    for (;;) {
      at = advance(cursors, text, at)
      if (at === text.length) break
      const found = findAt(cursors, { text, at, isWhole })
      if (found === undefined) {
        at++
        continue
      }
      if (found === 'needs more') break
      const instead = options.onMatch(found.kind, text.slice(at, found.end))
      shown += text.slice(copied, at)
      if (instead === null) {
        stopped = true
        return shown
      }
      shown += instead
      at = copied = found.end
    }
    shown += text.slice(copied, at)
    held = buffer.slice(at)
    before = buffer.slice(Math.max(0, at - lookBehind), at)
    return shown
  }
  return { push: (delta) => scan(delta, false), end: () => scan('', true) }
}

/** The whole text with its matches replaced. */
export function replaceMatches<Kind>(text: string, options: TextScannerOptions<Kind>): string {
  const scanner = createTextScanner(options)
  return scanner.push(text) + scanner.end()
}

export interface PacedOptions {
  pace: Pace
  /** Makes of each slice what is scanned. Default: the slice. */
  prepare?: (slice: string) => string
}

/** The same in slices, between which others get their turn. */
export async function replaceMatchesPaced<Kind>(
  text: string,
  { pace, prepare = unchanged, ...options }: TextScannerOptions<Kind> & PacedOptions,
): Promise<string> {
  const scanner = createTextScanner(options)
  let replaced = ''
  for (let at = 0; at < text.length; at += sliceChars) {
    const slice = text.slice(at, at + sliceChars)
    await pace(slice.length)
    replaced += scanner.push(prepare(slice))
  }
  return replaced + scanner.end()
}

/** Whether there is a match. In slices, between which others get their turn. */
export async function hasMatch<Kind>(
  text: string,
  { search, pace, prepare = unchanged }: PacedOptions & { search: Search<Kind> },
): Promise<boolean> {
  let found = false
  const onMatch = () => {
    found = true
    return null
  }
  const scanner = createTextScanner({ searches: [search], onMatch })
  for (let at = 0; at < text.length && !found; at += sliceChars) {
    const slice = text.slice(at, at + sliceChars)
    await pace(slice.length)
    scanner.push(prepare(slice))
  }
  scanner.end()
  return found
}

function unchanged(slice: string): string {
  return slice
}

/** Asked before work on so many characters: waits where that would keep others waiting for too long. */
export type Pace = (chars: number) => Promise<void> | undefined

/** What each text costs however short it is, in characters. */
const textCost = 32

/** One for all texts of a request, so that many short ones do not keep the thread either. Throws when the signal fires. */
export function createPace(signal: AbortSignal): Pace {
  let done = 0
  return (chars) => {
    done += chars + textCost
    if (done <= sliceChars) return undefined
    done = chars
    return setImmediate().then(() => signal.throwIfAborted())
  }
}

interface Cursor<Kind> {
  search: Search<Kind>
  /** The next place to ask its matcher at. Before where the scan is: to be looked for. */
  next: number
}

/** The next place from `from` on where one of the matchers is to be asked, or the end. */
function advance<Kind>(cursors: readonly Cursor<Kind>[], text: string, from: number): number {
  let nearest = text.length
  for (const cursor of cursors) {
    if (cursor.next < from) cursor.next = nextStart(cursor.search.starts, text, from)
    if (cursor.next < nearest) nearest = cursor.next
  }
  return nearest
}

function nextStart(starts: RegExp, text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    starts.lastIndex = at
    if (!starts.test(text)) return text.length
    // A pattern of whole characters goes back where it is begun between two halves.
    if (starts.lastIndex >= from) return starts.lastIndex
  }
  return text.length
}

function findAt<Kind>(
  cursors: readonly Cursor<Kind>[],
  place: { text: string; at: number; isWhole: boolean },
): { kind: Kind; end: number } | 'needs more' | undefined {
  for (const { search, next } of cursors) {
    if (next !== place.at) continue
    const end = search.match(place.text, place.at, place.isWhole)
    if (end >= 0) return { kind: search.kind, end }
    // Whatever another kind finds here would have to give way to this one.
    if (end === needsMore) return 'needs more'
  }
  return undefined
}

function endsInHalf(text: string): boolean {
  const code = text.charCodeAt(text.length - 1)
  return code >= 0xd800 && code <= 0xdbff
}
