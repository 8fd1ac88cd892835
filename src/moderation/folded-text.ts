/*
 * Text as the lists of this folder compare it. Folding makes equal what readers take for equal: upper and lower case, full
 * width and mathematical letters, ligatures, composed and decomposed accents, characters that are not seen at all. Letters of
 * other alphabets that only look alike stay different.
 */

const invisible = /\p{Cf}/gu
const notAscii = /[^\0-\x7f]/

/** NFKC, without characters that are not seen. */
export function normalise(text: string): string {
  if (!notAscii.test(text)) return text
  return text.replace(invisible, '').normalize('NFKC')
}

/** The same for every spelling of a word. Folds piece by piece, where pieces are cut between a character and its accents. */
export function fold(text: string): string {
  if (!notAscii.test(text)) return text.toLowerCase()
  return text.replace(invisible, '').normalize('NFKD').toUpperCase().toLowerCase().normalize('NFKD')
}
