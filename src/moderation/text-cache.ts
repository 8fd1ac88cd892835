/** Shorter texts are redacted sooner than they are kept. */
const minChars = 4_096
const maxChars = 16_777_216

export interface TextCache {
  get(text: string): string | undefined
  /** Gives `result`. */
  add(text: string, result: string): string
}

/** What long texts became. By the text itself, never by an id that a caller chose; what was longest not asked for goes first. */
export function createTextCache(): TextCache {
  const results = new Map<string, string>()
  let chars = 0
  const drop = (text: string, result: string) => {
    results.delete(text)
    chars -= sizeOf(text, result)
  }
  return {
    get(text) {
      if (text.length < minChars) return undefined
      const result = results.get(text)
      if (result === undefined) return undefined
      results.delete(text)
      results.set(text, result)
      return result
    },
    add(text, result) {
      const size = sizeOf(text, result)
      if (text.length < minChars || size > maxChars || results.has(text)) return result
      results.set(text, result)
      chars += size
      for (const [oldText, oldResult] of results) {
        if (chars <= maxChars) break
        drop(oldText, oldResult)
      }
      return result
    },
  }
}

function sizeOf(text: string, result: string): number {
  return text.length + (result === text ? 0 : result.length)
}
