/**
 * What a model must not see of values that were sent for the author: the values, and what follows a word such as `Bearer`.
 * Short ones would blot out ordinary words.
 */
export function secretsIn(values: Iterable<string>): string[] {
  const secrets = [...values].flatMap((value) => [value, value.replace(/^\S+ /, '')])
  // The longest first: one may hold another.
  return [...new Set(secrets)].filter(({ length }) => length >= 8).toSorted((a, b) => b.length - a.length)
}

export function redact(text: string, secrets: readonly string[]): string {
  return secrets.reduce((clean, secret) => clean.replaceAll(secret, '[redacted]'), text)
}
