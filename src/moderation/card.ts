import { groupSeparators, isDigit, isGroupSeparator, isWordCharacter, mayStartNumber } from './characters.ts'
import { needsMore, noMatch } from './text-scanner.ts'

const minDigits = 13
const maxDigits = 19

/** How the digits of cards are grouped on them; `n` stands for a last group of any length up to four. */
const groupings = [/^4,4,4,[1-4]$/, /^4,4,4,4,[1-3]$/, /^4,6,[45]$/]
const beginnings = /^4(?:,4|,4,4|,4,4,[1-4]|,4,4,4,[1-3]|,6|,6,[45])?$/

/** Thirteen digits or more, a four and a group that may follow it, or the beginning of either at the end. */
export const cardStarts = new RegExp(
  String.raw`(?=(?<!\w)(?<!\d[.,])[2-6](?:\d{0,18}$|\d{12,18}(?!\d)|\d{3}[${groupSeparators}](?:\d{0,6}$|(?:\d{4}|\d{6})(?!\d))))`,
  'g',
)

/**
 * A card number: 13 to 19 digits in one piece or grouped as on the card, that begins as cards of today do (2 to 6) and whose
 * check digit is right (Luhn). One of ten other numbers of that length has that by chance.
 */
export function matchCard(text: string, at: number, isWhole: boolean): number {
  const first = text.charCodeAt(at)
  if (first < 50 || first > 54 || !mayStartNumber(text, at)) return noMatch
  const groups: number[] = []
  let digits = ''
  let end = noMatch
  for (let position = at; ;) {
    const start = position
    while (digits.length + position - start <= maxDigits && isDigit(text, position)) position++
    if (position === text.length && !isWhole) return needsMore
    digits += text.slice(start, position)
    groups.push(position - start)
    if (digits.length > maxDigits) return end
    if (!isWordCharacter(text, position) && isCard(digits, groups)) end = position
    if (!beginnings.test(groups.join(',')) || !isGroupSeparator(text, position)) return end
    position++
    if (position === text.length && !isWhole) return needsMore
    if (!isDigit(text, position)) return end
  }
}

function isCard(digits: string, groups: readonly number[]): boolean {
  if (digits.length < minDigits) return false
  const isGrouped = groups.length === 1 || groupings.some((grouping) => grouping.test(groups.join(',')))
  return isGrouped && hasRightCheckDigit(digits)
}

/** ISO/IEC 7812-1, annex B. */
function hasRightCheckDigit(digits: string): boolean {
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const digit = digits.charCodeAt(digits.length - 1 - i) - 48
    const doubled = digit * 2
    sum += i % 2 === 0 ? digit : doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}
