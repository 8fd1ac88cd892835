import { unescape } from 'node:querystring'

/**
 * What must not be seen of values that were sent for the author or the operator: the values, and what follows a word such as
 * `Bearer`; the longest first, for one may hold another. Short ones would blot out ordinary words.
 */
export function secretsIn(values: Iterable<string>): string[] {
  const secrets = [...values].flatMap((value) => [value, value.replace(/^\S+ /, '')])
  return [...new Set(secrets)].filter(({ length }) => length >= 8).toSorted((a, b) => b.length - a.length)
}

/** Of values with names those that are secrets: by the name, or as the password of a URL. */
export function keysAmong(entries: Iterable<readonly [name: string, value: string]>): string[] {
  return [...entries].flatMap(([name, value]) => {
    if (secretName.test(name)) return [value]
    const password = value.includes('://') ? URL.parse(value)?.password : undefined
    return password ? [...new Set([password, unescape(password)])] : []
  })
}

/** The shell's own variables are folders. */
const secretName =
  /^(?!(?:OLD)?PWD$).*(?:key|token|secret|password|passwd|pass|pwd|auth|authorization|credential|_pat)s?_?\d*$/i

export function redact(text: string, secrets: readonly string[]): string {
  return secrets.reduce((clean, secret) => clean.replaceAll(secret, '[redacted]'), text)
}

/** The same for every text within a value of JSON. */
export function redactWithin(value: unknown, secrets: readonly string[]): unknown {
  if (secrets.length === 0) return value
  if (typeof value === 'string') return redact(value, secrets)
  if (Array.isArray(value)) return value.map((one) => redactWithin(one, secrets))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [redact(key, secrets), redactWithin(one, secrets)]),
  )
}

/** The same for a text that goes on where nobody read: what may be the beginning of one at its end goes, too. */
export function redactCut(text: string, secrets: readonly string[]): string {
  const clean = redact(text, secrets)
  const torn = Math.max(0, ...secrets.map((secret) => tornLength(clean, secret)))
  return clean.slice(0, clean.length - torn)
}

/** How much of the end of the text is a beginning of the secret. */
function tornLength(text: string, secret: string): number {
  for (let length = Math.min(text.length, secret.length - 1); length > 0; length--) {
    if (text.endsWith(secret.slice(0, length))) return length
  }
  return 0
}
