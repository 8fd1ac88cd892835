/*
 * Text as the lists of this folder compare it. Folding makes equal what readers take for equal: upper and lower case, full
 * width and mathematical letters, ligatures, composed and decomposed accents, characters that are not seen at all. Letters of
 * other alphabets that only look alike stay different.
 */

/** Characters that are not seen, for the inside of a class of a pattern: format controls, variation selectors, fillers. */
export const unseenCharacters = String.raw`\p{Cf}\p{Default_Ignorable_Code_Point}`

const unseen = new RegExp(`[${unseenCharacters}]`, 'gu')
const notAscii = /[^\0-\x7f]/

export function withoutUnseen(text: string): string {
  return text.replace(unseen, '')
}

/** NFKC, without characters that are not seen. */
export function normalise(text: string): string {
  if (!notAscii.test(text)) return text
  return withoutUnseen(text).normalize('NFKC')
}

/** The same for every spelling of a word. Folds piece by piece, where pieces are cut between a character and its accents. */
export function fold(text: string): string {
  if (!notAscii.test(text)) return text.toLowerCase()
  return withoutUnseen(text).normalize('NFKD').toUpperCase().toLowerCase().normalize('NFKD')
}
