/*
 * Kinds of characters, by code unit. ASCII is answered without a regular expression; what is outside the basic plane is no
 * letter here.
 */

const letterOrDigit = /[\p{L}\p{N}]/u

export function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code >= 48 && code <= 57
}

export function isAsciiLetter(text: string, at: number): boolean {
  const code = text.charCodeAt(at) | 32
  return code >= 97 && code <= 122
}

/** A letter or digit of any script. False before the beginning and behind the end. */
export function isAlphanumeric(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  if (code < 128) return isDigit(text, at) || isAsciiLetter(text, at)
  return code >= 128 && letterOrDigit.test(text.charAt(at))
}

/** What goes on with a word or number: a letter, a digit, `_`. */
export function isWordCharacter(text: string, at: number): boolean {
  return text.charCodeAt(at) === 95 || isAlphanumeric(text, at)
}

/** The separators between groups of digits, for the inside of a class of a pattern. */
export const groupSeparators = String.raw` \u00a0\u202f.\-\u2010\u2011\u2013`

/** The one character that may stand between two groups of digits: a space that does not break the line, a dot, a dash. */
export function isGroupSeparator(text: string, at: number): boolean {
  const character = text.charAt(at)
  return character !== '' && ' \u00a0\u202f.-\u2010\u2011\u2013'.includes(character)
}

/** False in the middle of a word or of a decimal number. */
export function mayStartNumber(text: string, at: number): boolean {
  if (isWordCharacter(text, at - 1)) return false
  const previous = text.charAt(at - 1)
  return !((previous === '.' || previous === ',') && isDigit(text, at - 2))
}
