import { DefinitionError } from '../parse-definition.ts'
import { fold, unseenCharacters, withoutUnseen } from './folded-text.ts'
import { needsMore, noMatch, type Search } from './text-scanner.ts'

/** What words are made of, with what is not seen in them. */
const wordCharacters = String.raw`\p{L}\p{N}\p{M}${unseenCharacters}`
const wordCharacter = `[${wordCharacters}]`
/** Scripts that are written without spaces: each of their characters is taken for a word. */
const single = String.raw`[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmr}\p{scx=Mymr}]`
const singleLetter = `(?=\\p{L})${single}`
/** Where a word begins: not where one goes on, unless each of its characters is a word. */
const wordStart = `(?:(?=${singleLetter})|(?=${wordCharacter})(?:(?<!${wordCharacter})|(?<=${singleLetter})))`
const word = new RegExp(
  `(?:(?=\\p{L})${single}[\\p{M}\uff9e\uff9f]*|(?:(?!(?=\\p{L})${single})[${wordCharacters}])+)`,
  'uy',
)
/** What may stand between the words of a phrase. */
const gapCharacters = String.raw`\s\p{Pd}_*'’/`
const gap = new RegExp(`[${gapCharacters}${unseenCharacters}]*`, 'uy')

/** Of a word, without what is not seen in it. Nothing that longer words are made of is held back. */
const maxWordChars = 256
/** From the beginning of a phrase, with what is not seen: so much of a stream is held back for it. */
const maxPhraseChars = 2_048

const longGap = new RegExp(`[${gapCharacters}]{2,}`, 'gu')

/** With the same words and phrases, as near to each other as can be. */
export function squeeze(text: string): string {
  return withoutUnseen(text).replace(longGap, ' ')
}

interface Node {
  next: Map<string, Node>
  isEnd: boolean
}

/**
 * Finds words and phrases as a whole, in any case and spelling (see `fold`). The words of a phrase may be apart by spaces,
 * line breaks, dashes, slashes, asterisks, underscores and apostrophes, and by characters that are not seen: of a text that was
 * not squeezed as long as all of the phrase has 2,048 characters at most. Throws a `DefinitionError` on what is neither word nor phrase.
 */
export function createWordSearch(words: readonly string[]): Search<'word'> {
  const root: Node = { next: new Map(), isEnd: false }
  for (const one of words) addPhrase(root, one)
  const starts = new RegExp(`(?=${firstCharacter(root)})${wordStart}`, 'gu')
  return { kind: 'word', starts, match: (text, at, isWhole) => matchPhrase(root, text, { at, isWhole }) }
}

/** Of the ASCII characters only those a listed word begins with: folding keeps them, but for their case. */
function firstCharacter(root: Node): string {
  const ascii = [...root.next.keys()].flatMap((key) => /^\w/.exec(key)?.[0] ?? [])
  const both = ascii.flatMap((one) => [one, one.toUpperCase()])
  return `[${[...new Set(both)].join('')}\\u{80}-\\u{10ffff}]`
}

function addPhrase(root: Node, phrase: string): void {
  const text = phrase.trim()
  let node = root
  for (let position = 0; position < text.length;) {
    const end = readWord(text, position)
    if (end === position)
      throw new DefinitionError(`denyList: words: not made of whole words: ${JSON.stringify(phrase)}`)
    const key = fold(text.slice(position, end))
    const next: Node = node.next.get(key) ?? { next: new Map(), isEnd: false }
    node.next.set(key, next)
    node = next
    position = readGap(text, end)
  }
  if (node === root) throw new DefinitionError('denyList: words: a word must not be empty')
  node.isEnd = true
}

function matchPhrase(root: Node, text: string, place: { at: number; isWhole: boolean }): number {
  const { at, isWhole } = place
  let node = root
  for (let position = at; ;) {
    const end = readWord(text, position)
    if (end - at > maxPhraseChars || isLongWord(text, position, end)) return noMatch
    if (end === text.length && !isWhole) return needsMore
    const next = end === position ? undefined : node.next.get(fold(text.slice(position, end)))
    if (next === undefined) return noMatch
    // The shortest will do: whoever looks for a denied phrase has found one.
    if (next.isEnd) return end
    position = readGap(text, end)
    if (position - at > maxPhraseChars) return noMatch
    if (position === text.length) return isWhole ? noMatch : needsMore
    node = next
  }
}

function isLongWord(text: string, from: number, to: number): boolean {
  return to - from > maxWordChars && withoutUnseen(text.slice(from, to)).length > maxWordChars
}

function readWord(text: string, at: number): number {
  return readWith(word, text, at)
}

function readGap(text: string, at: number): number {
  return readWith(gap, text, at)
}

function readWith(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at
  return pattern.test(text) ? pattern.lastIndex : at
}
