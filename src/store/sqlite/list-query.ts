import type { Scope } from '../../identity/principal.ts'
import type { Page } from '../store.ts'
import { createPage } from './page.ts'
import type { Query, Reader } from './reader.ts'
import { toScopeColumns } from './text-column.ts'

/** Equal to the value where there is one. The column names are ours, the values the caller's. */
export type Filters = readonly (readonly [column: string, value: string | undefined])[]

/**
 * Lists rows of a scope, newest id first. One statement per combination of filters, made when it is first asked for, so
 * that each has the plan that suits it.
 */
export function createListQuery<Row extends unknown[], Result>(
  reader: Reader,
  options: {
    table: string
    columns: string
    /** The column whose own index to use where it is filtered by: it leaves less to look at than the owner does. */
    narrowest: string
    toRecord: (row: Row) => Result
    /** Bytes that a row is shown with and does not hold itself. */
    sizeBeside?: (row: Row) => number
  },
): (scope: Scope, page: Page, filters: Filters) => { data: Result[]; has_more: boolean } {
  const { table, columns, narrowest, toRecord, sizeBeside } = options
  const queries = new Map<string, Query<unknown[], Row>>()

  const queryFor = (conditions: string): Query<unknown[], Row> => {
    const known = queries.get(conditions)
    if (known) return known
    const query = reader.rows<unknown[], Row>(
      `SELECT ${columns} FROM ${table} WHERE ${conditions} ORDER BY id DESC LIMIT ?`,
    )
    queries.set(conditions, query)
    return query
  }

  return (scope, { limit, after }, filters) => {
    const { owner, namespace } = toScopeColumns(scope)
    const values: string[] = [owner, namespace]
    const isNarrow = filters.some(([column, value]) => column === narrowest && value !== undefined)
    // A plus sign keeps SQLite from the index of the owner.
    let conditions = isNarrow ? '+owner = ? AND +namespace = ?' : 'owner = ? AND namespace = ?'
    const add = (condition: string, value: string | undefined) => {
      if (value === undefined) return
      conditions += ` AND ${condition}`
      values.push(value)
    }
    for (const [column, value] of filters) add(`${column} = ?`, value)
    add('id < ?', after)
    const page = createPage(limit)
    const data: Result[] = []
    const take = (row: Row) => {
      const isTaken = page.takes(textSize(row) + (sizeBeside?.(row) ?? 0))
      if (isTaken) data.push(toRecord(row))
      return isTaken
    }
    queryFor(conditions).each(take, ...values, limit + 1)
    return { data, has_more: page.hasMore }
  }
}

/** The bytes of a row's texts. */
function textSize(row: readonly unknown[]): number {
  let size = 0
  for (const column of row) if (typeof column === 'string') size += Buffer.byteLength(column)
  return size
}
