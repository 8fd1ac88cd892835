/** Prettier's width here, and its rules: formatting a fixture changes nothing. */
const maxColumns = 110

/** JSON for people and for diffs: what fits on a line stands on one, the rest is broken by two spaces. Ends in a newline. */
export function toReadableJson(value: unknown): string {
  // Twice, so that what JSON has no word for is gone before lines are measured.
  const plain: unknown = JSON.parse(JSON.stringify(value))
  return `${write(plain, { indent: '', used: 0 })}\n`
}

/** `used`: columns that are taken on the line, by the indent and what stands before and behind the value. */
function write(value: unknown, place: { indent: string; used: number }): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const flat = writeFlat(value)
  if (flat.length + place.used <= maxColumns && !isTable(value)) return flat
  const indent = `${place.indent}  `
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  const lines = Array.isArray(value)
    ? value.map((one: unknown) => `${indent}${write(one, { indent, used: indent.length + 1 })}`)
    : Object.entries(value).map(([key, one]) => {
        const name = `${indent}${JSON.stringify(key)}: `
        return `${name}${write(one, { indent, used: name.length + 1 })}`
      })
  return `${open}\n${lines.join(',\n')}\n${place.indent}${close}`
}

function writeFlat(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(writeFlat).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${writeFlat(one)}`)
  return fields.length === 0 ? '{}' : `{ ${fields.join(', ')} }`
}

/** A list of several objects or lists of several: each on a line of its own, however short. Also where it is further in. */
function isTable(value: object): boolean {
  const inner: unknown[] = Object.values(value)
  const isRow = (one: unknown) => typeof one === 'object' && one !== null && Object.keys(one).length > 1
  const isOneKind = new Set(inner.map((one) => Array.isArray(one))).size === 1
  if (Array.isArray(value) && inner.length > 1 && isOneKind && inner.every(isRow)) return true
  return inner.some((one) => typeof one === 'object' && one !== null && isTable(one))
}
