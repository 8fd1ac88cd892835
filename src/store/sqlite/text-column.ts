import type { Scope } from '../../identity/principal.ts'

// What JSON would escape, and lone surrogates, which SQLite would turn into U+FFFD: two texts must never become one.
// oxlint-disable-next-line no-control-regex
const special = /["\\\u0000-\u001f\ud800-\udfff]/

/** A text from outside as it is kept in a column that is searched. Different texts stay different. */
export function toColumn(text: string): string {
  return special.test(text) ? JSON.stringify(text).slice(1, -1) : text
}

export function fromColumn(column: string): string {
  // toColumn made it, so it is the inside of a JSON string.
  return column.includes('\\') ? (JSON.parse(`"${column}"`) as string) : column
}

export function toScopeColumns(scope: Scope): Scope {
  return { owner: toColumn(scope.owner), namespace: toColumn(scope.namespace) }
}
