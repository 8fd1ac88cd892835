/*
 * Texts that must not be longer than so many characters (UTF-16 code units). What is kept never begins or ends in half a
 * character: providers refuse such text, and stores cannot keep it.
 */

/** Keeps the beginning and says how much is missing; that comes on top. */
export function cutText(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text
  const kept = beginning(text, maxChars)
  return `${kept}\n[cut: ${text.length - kept.length} of ${text.length} characters are missing]`
}

/** Keeps the beginning, with an ellipsis on top. */
export function cutEnd(text: string, maxChars: number): string {
  return text.length <= maxChars ? text : `${beginning(text, maxChars)}…`
}

const gap = '\n[…]\n'

/** Keeps the beginning and the end. No longer than that with its mark, which is left out where there is no room for it. */
export function cutMiddle(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text
  const half = Math.floor((maxChars - gap.length) / 2)
  if (half <= 0) return beginning(text, Math.max(0, maxChars))
  return `${beginning(text, half)}${gap}${text.slice(-half).replace(/^[\uDC00-\uDFFF]/, '')}`
}

function beginning(text: string, maxChars: number): string {
  return text.slice(0, maxChars).replace(/[\uD800-\uDBFF]$/, '')
}
