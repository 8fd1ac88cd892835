import { validateHeaderName, validateHeaderValue } from 'node:http'

/** Whether HTTP can carry the header. */
export function isValidHeader(name: string, value: string): boolean {
  try {
    validateHeaderName(name)
    validateHeaderValue(name, value)
    return true
  } catch {
    return false
  }
}
