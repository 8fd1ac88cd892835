/** How deep arrays and objects may nest in JSON from outside. Deeper ones would overflow the stack of whoever writes them again. */
export const maxJsonDepth = 100

/** Whether arrays and objects nest deeper than `limit`, strings left out. One pass over the text. */
export function nestsDeeperThan(text: string, limit: number): boolean {
  // So deep a text has that many openings and closings.
  if (text.length <= limit) return false
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (inString) {
      if (code === 0x5c) i++
      else if (code === 0x22) inString = false
    } else if (code === 0x22) inString = true
    else if (code === 0x5b || code === 0x7b) {
      if (++depth > limit) return true
    } else if (code === 0x5d || code === 0x7d) depth--
  }
  return false
}
