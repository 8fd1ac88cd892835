import { isAlphanumeric, isAsciiLetter, isDigit, isGroupSeparator, isWordCharacter } from './characters.ts'
import { needsMore, noMatch } from './text-scanner.ts'

/** ISO 13616: how long an IBAN of each country is, by the SWIFT registry. */
const lengths: Readonly<Record<string, number>> = {
  AD: 24,
  AE: 23,
  AL: 28,
  AT: 20,
  AZ: 28,
  BA: 20,
  BE: 16,
  BG: 22,
  BH: 22,
  BI: 27,
  BR: 29,
  BY: 28,
  CH: 21,
  CR: 22,
  CY: 28,
  CZ: 24,
  DE: 22,
  DJ: 27,
  DK: 18,
  DO: 28,
  EE: 20,
  EG: 29,
  ES: 24,
  FI: 18,
  FK: 18,
  FO: 18,
  FR: 27,
  GB: 22,
  GE: 22,
  GI: 23,
  GL: 18,
  GR: 27,
  GT: 28,
  HN: 28,
  HR: 21,
  HU: 28,
  IE: 22,
  IL: 23,
  IQ: 23,
  IS: 26,
  IT: 27,
  JO: 30,
  KW: 30,
  KZ: 20,
  LB: 28,
  LC: 32,
  LI: 21,
  LT: 20,
  LU: 20,
  LV: 21,
  LY: 25,
  MC: 27,
  MD: 24,
  ME: 22,
  MK: 19,
  MN: 20,
  MR: 27,
  MT: 31,
  MU: 30,
  NI: 28,
  NL: 18,
  NO: 15,
  OM: 23,
  PK: 24,
  PL: 28,
  PS: 29,
  PT: 25,
  QA: 29,
  RO: 24,
  RS: 22,
  RU: 33,
  SA: 24,
  SC: 31,
  SD: 18,
  SE: 24,
  SI: 19,
  SK: 24,
  SM: 27,
  SO: 23,
  ST: 25,
  SV: 28,
  TL: 23,
  TN: 24,
  TR: 26,
  UA: 29,
  VA: 22,
  VG: 24,
  XK: 20,
  YE: 30,
}

/** Two letters and two digits, or their beginning at the end. */
export const ibanStarts = /(?=(?<!\w)[a-z](?:$|[a-z](?:$|\d(?:$|\d))))/gi

/** An IBAN in one piece or in groups of four: of its country's length, with check digits that are right (mod 97). */
export function matchIban(text: string, at: number, isWhole: boolean): number {
  if (!isAsciiLetter(text, at) || isWordCharacter(text, at - 1)) return noMatch
  for (const [offset, isRight] of [
    [1, isAsciiLetter],
    [2, isDigit],
    [3, isDigit],
  ] as const) {
    if (at + offset === text.length && !isWhole) return needsMore
    if (!isRight(text, at + offset)) return noMatch
  }
  const length = lengths[text.slice(at, at + 2).toUpperCase()]
  return length === undefined ? noMatch : matchRest(text, { at, length, isWhole })
}

function matchRest(
  text: string,
  { at, length, isWhole }: { at: number; length: number; isWhole: boolean },
): number {
  let position = at + 4
  let count = 4
  while (count < length) {
    if (position === text.length && !isWhole) return needsMore
    if (isDigit(text, position) || isAsciiLetter(text, position)) count++
    else if (count % 4 !== 0 || !isGroupSeparator(text, position) || isGroupSeparator(text, position - 1))
      return noMatch
    position++
  }
  if (position === text.length && !isWhole) return needsMore
  if (isAlphanumeric(text, position)) return noMatch
  return hasRightCheckDigits(text.slice(at, position).replace(/[^0-9a-z]/gi, '')) ? position : noMatch
}

function hasRightCheckDigits(iban: string): boolean {
  let remainder = 0
  for (const character of iban.slice(4) + iban.slice(0, 4)) {
    const value = Number.parseInt(character, 36)
    remainder = (remainder * (value < 10 ? 10 : 100) + value) % 97
  }
  return remainder === 1
}
