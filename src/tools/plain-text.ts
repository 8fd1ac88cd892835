const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' }

/** A snippet of HTML in one line of words, at most `maxChars` of them. For reading; it makes nothing safe to put into a page. */
export function plainText(html: string, maxChars: number): string {
  const words = html
    .replaceAll(/<\/?[a-z][^<>]*>/gi, '')
    .replaceAll(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]+));/gi, (entity, decimal, hex, name) =>
      decodeEntity({ entity, decimal, hex, name }),
    )
    .replaceAll(/\s+/g, ' ')
    .trim()
  if (words.length <= maxChars) return words
  return `${words.slice(0, maxChars - 1).replace(/[\uD800-\uDBFF]$/, '')}…`
}

function decodeEntity(match: {
  entity: string
  decimal: string | undefined
  hex: string | undefined
  name: string | undefined
}): string {
  const { entity, decimal, hex, name } = match
  if (name !== undefined) return entities[name.toLowerCase()] ?? entity
  const code = decimal === undefined ? Number.parseInt(hex ?? '', 16) : Number(decimal)
  return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : entity
}
