/**
 * What a provider, or somebody's client of one, sent, as JSON again. Undefined where it cannot be written: it nests deeper than
 * the stack is, or holds itself.
 */
export function toJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch {
    return undefined
  }
}
