import type { TextFilter } from '../agent/hooks.ts'

export const noMatch = -1
export const needsMore = -2

/**
 * Whether something begins exactly at `at`: the index behind it, `noMatch`, or `needsMore` where that depends on text which
 * is yet to come (never where `isWhole`). It may look two characters back and reads forward a bounded way, so that what it
 * says does not depend on how the text was cut into deltas.
 */
export type Matcher = (text: string, at: number, isWhole: boolean) => number

/** How far back a matcher may look. */
const lookBehind = 2

export interface TextScannerOptions<Kind> {
  /** In order of preference where several match at the same place. */
  matchers: readonly (readonly [Kind, Matcher])[]
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
  const scan = (delta: string, isWhole: boolean): string => {
    if (stopped) return ''
    const buffer = before + held + delta
    const text = isWhole || !endsInHalf(buffer) ? buffer : buffer.slice(0, -1)
    let shown = ''
    let at = before.length
    let copied = at
    while (at < text.length) {
      const found = findAt(options.matchers, { text, at, isWhole })
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

/** The first match, or undefined. */
export function findMatch(text: string, matcher: Matcher): string | undefined {
  for (let at = 0; at < text.length; at++) {
    const end = matcher(text, at, true)
    if (end >= 0) return text.slice(at, end)
  }
  return undefined
}

function findAt<Kind>(
  matchers: TextScannerOptions<Kind>['matchers'],
  place: { text: string; at: number; isWhole: boolean },
): { kind: Kind; end: number } | 'needs more' | undefined {
  for (const [kind, matcher] of matchers) {
    const end = matcher(place.text, place.at, place.isWhole)
    if (end >= 0) return { kind, end }
    // Whatever another kind finds here would have to give way to this one.
    if (end === needsMore) return 'needs more'
  }
  return undefined
}

function endsInHalf(text: string): boolean {
  const code = text.charCodeAt(text.length - 1)
  return code >= 0xd800 && code <= 0xdbff
}
