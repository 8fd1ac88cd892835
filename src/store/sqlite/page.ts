import { maxPageBytes } from '../store.ts'

/** Counts what a page holds. */
export interface Page {
  /** Something was refused: there is more than the page holds. */
  readonly hasMore: boolean
  /** Whether a row of so many bytes still belongs to it: false where it is one too many, or too large beside those before. */
  takes(bytes: number): boolean
}

export function createPage(limit: number): Page {
  let count = 0
  let size = 0
  let hasMore = false
  return {
    get hasMore() {
      return hasMore
    },
    takes(bytes) {
      size += bytes
      hasMore = count === limit || (count > 0 && size > maxPageBytes)
      if (!hasMore) count++
      return !hasMore
    },
  }
}
