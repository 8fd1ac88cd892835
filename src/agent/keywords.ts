import type { Specialist } from './definitions.ts'

/**
 * The specialist with the greatest weight of words that stand in the text; the first of equals. Whole words, in any case:
 * "capital" does not speak for "api".
 */
export function byKeywords(specialists: readonly Specialist[], text: string): string | undefined {
  const said = ` ${wordsOf(text)} `
  let best: string | undefined
  let most = 0
  for (const { agent, keywords } of specialists) {
    let weight = 0
    for (const keyword of keywords) if (said.includes(` ${wordsOf(keyword.word)} `)) weight += keyword.weight
    if (weight > most) {
      most = weight
      best = agent.name
    }
  }
  return best
}

/** Scripts that put no space between words: each of their letters stands for itself. */
const unspaced = String.raw`[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}\p{scx=Laoo}\p{scx=Khmr}\p{scx=Mymr}]`
/** A letter, a digit and `_` make words; `+` and `#` do at their end: "C++". */
const words = new RegExp(
  String.raw`(?=[\p{L}\p{M}\p{N}])${unspaced}\p{M}*|(?:(?!${unspaced})[\p{L}\p{M}\p{N}_])+(?:[+#]+(?![\p{L}\p{N}_]))?`,
  'gu',
)

/** The words of a text with one space between them, in one case. Empty where it has none. */
export function wordsOf(text: string): string {
  // Both, one after the other: `ß` has its two letters in upper case only.
  const folded = text.normalize('NFKC').toUpperCase().toLowerCase()
  return (folded.match(words) ?? []).join(' ')
}
