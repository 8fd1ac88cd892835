import { createHash } from 'node:crypto'

const maxLength = 64

/**
 * Names that providers accept, one for each of the server's. A name that had to be changed gets a mark made from the
 * original where it was cut or would be taken twice; so it stays the same whatever else the server lists.
 */
export function toToolNames(prefix: string, names: readonly string[]): Map<string, string> {
  const unique = [...new Set(names)]
  const plain = new Set(unique.map((name) => prefix + name).filter((name) => clean(name) === name))
  const found = new Map<string, string>()
  const taken = new Map<string, number>()
  for (const name of unique) {
    const cleaned = clean(prefix + name)
    taken.set(cleaned, (taken.get(cleaned) ?? 0) + 1)
  }
  for (const name of unique) {
    const full = prefix + name
    const cleaned = clean(full)
    const isAlone = taken.get(cleaned) === 1 || (cleaned === full && plain.has(full))
    found.set(name, isAlone && cleaned.length <= maxLength ? cleaned : marked(cleaned, name))
  }
  return found
}

function clean(name: string): string {
  return name.replace(/[^a-zA-Z0-9_-]/g, '_')
}

function marked(cleaned: string, original: string): string {
  const mark = createHash('sha256').update(original).digest('hex').slice(0, 8)
  return `${cleaned.slice(0, maxLength - mark.length - 1)}_${mark}`
}
