/**
 * What must not be seen of values that were sent for the author or the operator: the values, and what follows a word such as
 * `Bearer`; the longest first, for one may hold another. Short ones would blot out ordinary words.
 */
export function secretsIn(values: Iterable<string>): string[] {
  const secrets = [...values].flatMap((value) => [value, value.replace(/^\S+ /, '')])
  return [...new Set(secrets)].filter(({ length }) => length >= 8).toSorted((a, b) => b.length - a.length)
}

export function redact(text: string, secrets: readonly string[]): string {
  return secrets.reduce((clean, secret) => clean.replaceAll(secret, '[redacted]'), text)
}
