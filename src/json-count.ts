/**
 * How many values JSON from outside may hold. A schema takes microseconds for each, and the thread serves everybody
 * meanwhile.
 */
export const maxJsonValues = 50_000

/**
 * How many values a JSON value is made of: itself, every element of its arrays and every entry of its objects. Counting
 * ends once it is past `limit`: a larger number than `limit` says no more than that. Does not recurse.
 */
export function countJson(value: unknown, limit: number): number {
  let count = 1
  const open: object[] = []
  const visit = (child: unknown) => {
    if (typeof child === 'object' && child !== null) open.push(child)
  }
  visit(value)
  for (let at = open.pop(); at !== undefined && count <= limit; at = open.pop()) {
    if (Array.isArray(at)) {
      count += at.length
      if (count <= limit) at.forEach(visit)
      continue
    }
    for (const key in at) {
      if (++count > limit) break
      visit((at as Record<string, unknown>)[key])
    }
  }
  return count
}
