/**
 * The arguments of a past call, as its model wrote them, where they are a JSON object; else undefined. Providers take nothing
 * else, and refuse the whole request for it.
 */
export function argumentsOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
