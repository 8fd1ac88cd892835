import { maxPageChars } from '../store.ts'

/** Collects the rows of one page. */
export interface PageRows<Row> {
  readonly rows: Row[]
  /** Whether a row was refused: the page is full, and there is more. */
  readonly hasMore: boolean
  /** False where the row is one too many, or too large to stand beside those before it. */
  take(row: Row): boolean
}

/** `sizeOf`: in characters. */
export function createPage<Row>(options: { limit: number; sizeOf: (row: Row) => number }): PageRows<Row> {
  const { limit, sizeOf } = options
  const rows: Row[] = []
  let size = 0
  let hasMore = false
  return {
    rows,
    get hasMore() {
      return hasMore
    },
    take(row) {
      size += sizeOf(row)
      hasMore = rows.length === limit || (rows.length > 0 && size > maxPageChars)
      if (!hasMore) rows.push(row)
      return !hasMore
    },
  }
}

/** The characters of a row's texts. */
export function textSize(row: readonly unknown[]): number {
  let size = 0
  for (const column of row) if (typeof column === 'string') size += column.length
  return size
}
