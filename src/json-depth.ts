/** How deep arrays and objects may nest in JSON from outside. Deeper ones would overflow the stack of whoever writes them again. */
export const maxJsonDepth = 100

/** Whether arrays and objects nest deeper than `limit`, strings left out. One pass over the text. */
export function nestsDeeperThan(text: string, limit: number): boolean {
  return findJsonExcess(text, { depth: limit, values: Infinity }) !== undefined
}

export interface JsonExcess {
  of: 'depth' | 'values'
  /** Of the character that goes beyond, in UTF-16 units from 0. */
  position: number
}

/**
 * Where a text, JSON or not, nests deeper or holds more values than it may. Counted is what opens an array or an object
 * and what separates values, so that of a JSON text no more than `limits.values` are left to whoever parses it; an array
 * or object with nothing in it counts twice. One pass over the text.
 */
export function findJsonExcess(
  text: string,
  limits: { depth: number; values: number },
): JsonExcess | undefined {
  // So many characters are needed to go beyond.
  if (text.length <= Math.min(limits.depth, limits.values)) return undefined
  let depth = 0
  let values = 1
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (inString) {
      if (code === 0x5c) i++
      else if (code === 0x22) inString = false
    } else if (code === 0x22) inString = true
    else if (code === 0x5b || code === 0x7b) {
      if (++depth > limits.depth) return { of: 'depth', position: i }
      if (++values > limits.values) return { of: 'values', position: i }
    } else if (code === 0x2c) {
      if (++values > limits.values) return { of: 'values', position: i }
    } else if (code === 0x5d || code === 0x7d) depth--
  }
  return undefined
}
