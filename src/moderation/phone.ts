import { groupSeparators, isAlphanumeric, isDigit, isGroupSeparator, isWordCharacter } from './characters.ts'
import { needsMore, noMatch } from './text-scanner.ts'

/** Digits that stand together. `end`: the index behind them. */
interface Group {
  digits: string
  end: number
}

/** More than the longest number there is, with an area code's `(0)` in it. */
const maxDigits = 17

/** What `skipSeparators` skips. */
const joint = String.raw`\)?[${groupSeparators}/]?\(?`
/** Three, three and four digits, or their beginning at the end. */
const northAmerican = soFar(
  String.raw`[2-9]`,
  String.raw`\d`,
  String.raw`\d(?!\d)`,
  joint,
  String.raw`\d`,
  String.raw`\d`,
  String.raw`\d(?!\d)`,
  joint,
  String.raw`(?:\d{4}(?!\d)|\d{1,3}$)`,
)
/** Two to six digits with a group of two or more behind them; ten to twelve in one piece; or the beginning of either. */
const trunkZero = String.raw`0(?:$|(?:[1-9]|(?<!\d[${groupSeparators}]0)0)(?:\d{0,10}$|\d{8,10}(?!\d)|\d{0,4}(?!\d)${soFar(joint, String.raw`\d`, String.raw`\d`)}))`

export const phoneStarts = new RegExp(
  String.raw`(?=(?<![\w+#])(?<![^\W_]-)(?<!\d[.,:/])\(?(?:$|\+(?:$|[1-9])|${trunkZero}|(?:1${joint})?(?:$|${northAmerican})))`,
  'g',
)

/**
 * A telephone number in one of the forms that hardly anything else has:
 *
 * - `+` and 8 to 15 digits, grouped in any way; `00` instead of `+` where the digits are grouped;
 * - an area code with its `0` and 9 to 12 digits in groups; in one piece only where it begins as mobile numbers of Britain,
 *   France, Germany and Australia do;
 * - the ten digits of North America as 3-3-4, with or without its `1`.
 *
 * Anything else, such as `555-1234` or `612 345 678`, is as likely an order number or an amount, and stays.
 */
export function matchPhone(text: string, at: number, isWhole: boolean): number {
  const character = text.charAt(at)
  const isStart = character === '+' || character === '(' || isDigit(text, at)
  if (!isStart || !mayStartPhone(text, at)) return noMatch
  // Behind another group of digits `00` begins no number.
  if (text.startsWith('00', at) && isGroupSeparator(text, at - 1) && isDigit(text, at - 2)) return noMatch
  const numberStart = character === '(' ? at + 1 : at
  if (numberStart === text.length) return isWhole ? noMatch : needsMore
  const isInternational = text.charAt(numberStart) === '+'
  const groups = readGroups(text, { start: numberStart + (isInternational ? 1 : 0), isWhole })
  if (groups === undefined) return needsMore
  // A bracket that is not around the first group belongs to the sentence.
  if (character === '(' && text.charAt(groups[0]?.end ?? at) !== ')') return noMatch
  const isCandidate = isInternational ? isInternationalNumber : isNationalNumber
  for (let count = groups.length; count > 0; count--) {
    const kept = groups.slice(0, count)
    const end = kept[count - 1]?.end ?? 0
    if (end + 1 === text.length && !isWhole) return needsMore
    if (isEnd(text, end) && isCandidate(kept.map(({ digits }) => digits))) return end
  }
  return noMatch
}

/** Not within a word, a longer number, an identifier, a date or a time. */
function mayStartPhone(text: string, at: number): boolean {
  if (isWordCharacter(text, at - 1)) return false
  const previous = text.charAt(at - 1)
  if (previous === '+' || previous === '#') return false
  if (previous === '-') return !isAlphanumeric(text, at - 2)
  return !('.,:/'.includes(previous) && previous !== '' && isDigit(text, at - 2))
}

/** Neither a word nor, without a space, a number goes on here. */
function isEnd(text: string, at: number): boolean {
  if (isWordCharacter(text, at)) return false
  const isJoint = isGroupSeparator(text, at) && text.charAt(at) !== ' '
  return !(isJoint && isDigit(text, at + 1))
}

/** The groups of digits from `start` on. Undefined: more may follow. */
function readGroups(
  text: string,
  { start, isWhole }: { start: number; isWhole: boolean },
): Group[] | undefined {
  const groups: Group[] = []
  let total = 0
  for (let position = start; ;) {
    const first = position
    while (total + position - first <= maxDigits && isDigit(text, position)) position++
    if (position === text.length && !isWhole) return undefined
    if (position === first) return groups
    total += position - first
    if (total > maxDigits) return groups
    groups.push({ digits: text.slice(first, position), end: position })
    if (!mayGoOn(groups, text.charAt(start - 1) === '+')) return groups
    position = skipSeparators(text, position)
    if (position === groups.at(-1)?.end) return groups
    if (position === text.length && !isWhole) return undefined
  }
}

/** Whether more digits can make a number of it: spares ordinary numbers the wait, and all others the work. */
function mayGoOn(groups: readonly Group[], isInternational: boolean): boolean {
  const first = groups[0]?.digits ?? ''
  const total = groups.reduce((sum, { digits }) => sum + digits.length, 0)
  if (isInternational) return !first.startsWith('0') && total < (first.startsWith('1') ? 11 : 15)
  if (!first.startsWith('0')) {
    const own = first === '1' ? groups.slice(1) : groups
    return own.length < 3 && own.every(({ digits }) => digits.length === 3)
  }
  const last = groups.at(-1)?.digits ?? ''
  return /^0\d{1,5}$/.test(first) && last.length > 1 && (total < 12 || first.startsWith('00'))
}

/** One separator, with a bracket that closes before it and one that opens behind it: `) `, ` (`, `-`. */
function skipSeparators(text: string, at: number): number {
  let position = at
  if (text.charAt(position) === ')') position++
  if (isGroupSeparator(text, position) || text.charAt(position) === '/') position++
  if (text.charAt(position) === '(') position++
  return position
}

/** The units one after the other, as far as the text goes. */
function soFar(...units: readonly string[]): string {
  return units.reduceRight((rest, unit) => (rest === '' ? unit : `${unit}(?:$|${rest})`), '')
}

function isInternationalNumber(groups: readonly string[]): boolean {
  const digits = groups.join('')
  if (digits.startsWith('0') || digits.endsWith('000000')) return false
  if (digits.startsWith('1')) return digits.length === 11
  return digits.length >= 8 && digits.length <= 15
}

function isNationalNumber(groups: readonly string[]): boolean {
  return isNorthAmerican(groups) || isWithTrunkZero(groups) || isMobileInOnePiece(groups)
}

function isNorthAmerican(groups: readonly string[]): boolean {
  const own = groups[0] === '1' ? groups.slice(1) : groups
  return own.map(({ length }) => length).join() === '3,3,4' && /^[2-9]/.test(own[0] ?? '')
}

function isWithTrunkZero(groups: readonly string[]): boolean {
  const [first = '', ...rest] = groups
  if (rest.length === 0 || rest.some(({ length }) => length < 2) || isDate(groups)) return false
  const digits = groups.join('')
  if (/^00[1-9]/.test(digits)) return digits.length >= 10
  // Three fours are how long identifiers are written.
  if (groups.every(({ length }) => length === 4)) return false
  return /^0[1-9]/.test(first) && digits.length >= 9 && digits.length <= 12
}

function isMobileInOnePiece(groups: readonly string[]): boolean {
  return groups.length === 1 && /^(?:07\d{9}|0[67]\d{8}|01[567]\d{8,9}|04\d{8})$/.test(groups[0] ?? '')
}

/** Day, month and year, whatever follows them. */
function isDate([day = '', month = '', year = '']: readonly string[]): boolean {
  return (
    /^(?:0?[1-9]|[12]\d|3[01])$/.test(day) &&
    /^(?:0?[1-9]|1[0-2])$/.test(month) &&
    /^(?:19|20)\d\d$/.test(year)
  )
}
