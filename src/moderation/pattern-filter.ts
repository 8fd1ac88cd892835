import type { TextFilter } from '../agent/hooks.ts'
import { normalise } from './folded-text.ts'

/** Copies of the author's patterns that find one match after the other. */
export function toSearches(patterns: readonly RegExp[]): readonly RegExp[] {
  return patterns.map(({ source, flags }) => new RegExp(source, `${flags.replace(/[gy]/g, '')}g`))
}

/** Whether one of them matches a part of a normalised text that ends behind `from`. What matches nothing at all is no match. */
export function someMatch(searches: readonly RegExp[], text: string, from = 0): boolean {
  return searches.some((search) => {
    search.lastIndex = 0
    for (let match = search.exec(text); match; match = search.exec(text)) {
      if (match[0] === '') search.lastIndex++
      else if (match.index + match[0].length > from) return true
    }
    return false
  })
}

/**
 * Holds back the last `maxChars` characters, so that nothing of a match of that length is ever given out, and gives out
 * nothing more from the first match on. Patterns see as many characters before what is held back: what they say of the
 * beginning or the end of the text is not to be relied on.
 */
export function createPatternFilter(options: {
  searches: readonly RegExp[]
  maxChars: number
  onMatch: () => void
}): TextFilter {
  const { searches, maxChars } = options
  let shown = ''
  let held = ''
  let stopped = false
  const check = () => {
    const before = normalise(shown)
    if (!someMatch(searches, before + normalise(held), before.length)) return
    stopped = true
    options.onMatch()
  }
  return {
    push(delta) {
      if (stopped || delta === '') return ''
      held += delta
      check()
      if (stopped || held.length <= maxChars) return ''
      const cut = wholeCharacters(held, held.length - maxChars)
      const text = held.slice(0, cut)
      held = held.slice(cut)
      shown = (shown + text).slice(-maxChars)
      return text
    },
    end: () => (stopped ? '' : held),
  }
}

function wholeCharacters(text: string, at: number): number {
  const code = text.charCodeAt(at)
  return code >= 0xdc00 && code <= 0xdfff ? at - 1 : at
}
