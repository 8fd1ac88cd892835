import { isAlphanumeric } from './characters.ts'
import { needsMore, noMatch } from './text-scanner.ts'

/** RFC 5321: the longest local part, label and domain. */
const maxLocalChars = 64
const maxLabelChars = 63
const maxDomainChars = 253

const topLevel = /^(?:\p{L}{2,24}|xn--[a-z0-9-]{2,59})$/iu

/** The first character of a word, if an `@` ends its local part. What is not ASCII may be a letter or not. */
export const emailStarts =
  /(?=(?<!\w)[\w\u0080-\uffff][\w\u0080-\uffff.%+'-]{0,63}(?:$|@(?:$|[^\W_]|-|[\u0080-\uffff])))/g

/**
 * An e-mail address as people write it: no quotes, no comments, a domain with a dot. Longer local parts than there may be are
 * taken from a later part of theirs.
 */
export function matchEmail(text: string, at: number, isWhole: boolean): number {
  if (!isStart(text, at) || isStart(text, at - 1)) return noMatch
  let position = at + 1
  while (position - at < maxLocalChars && isLocal(text, position)) position++
  if (position === text.length && !isWhole) return needsMore
  if (text.charAt(position) !== '@' || text.charAt(position - 1) === '.') return noMatch
  return domainAt(text, position + 1, isWhole)
}

/** The last answer: the parts of a dashed local part, each a beginning of an address, have their domain in common. */
let known = { text: '', start: -1, isWhole: true, end: noMatch }

function domainAt(text: string, start: number, isWhole: boolean): number {
  if (known.start !== start || known.isWhole !== isWhole || known.text !== text)
    known = { text, start, isWhole, end: matchDomain(text, start, isWhole) }
  return known.end
}

function matchDomain(text: string, start: number, isWhole: boolean): number {
  let position = start
  let end = noMatch
  for (let labels = 0; ; labels++) {
    const label = position
    while (
      position - label < maxLabelChars &&
      position - start < maxDomainChars &&
      (isAlphanumeric(text, position) || text.charAt(position) === '-')
    ) {
      position++
    }
    if (position === text.length && !isWhole) return needsMore
    const name = text.slice(label, position).replace(/-+$/, '')
    if (name === '') return end
    if (labels > 0 && name.length > 1 && topLevel.test(name)) end = label + name.length
    if (text.charAt(position) !== '.') return end
    position++
  }
}

function isStart(text: string, at: number): boolean {
  return isAlphanumeric(text, at) || text.charAt(at) === '_'
}

function isLocal(text: string, at: number): boolean {
  const character = text.charAt(at)
  return character !== '' && (isStart(text, at) || ".%+-'".includes(character))
}
