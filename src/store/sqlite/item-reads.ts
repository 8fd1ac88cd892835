import type { PlacedItem } from '../../items.ts'
import type { Store } from '../store.ts'
import { anyDepth, chain } from './chain-sql.ts'
import { createPage } from './page.ts'
import type { Reader } from './reader.ts'
import type { ItemRow } from './rows.ts'
import { itemColumns, toPlacedItem } from './rows.ts'
import { toScopeColumns } from './text-column.ts'

export function createItemReads(reader: Reader): Store['items'] {
  const ofRun = reader.rows<[string], ItemRow>(
    `SELECT ${itemColumns} FROM items WHERE run_id = ? ORDER BY position`,
  )
  // The ids stand before the content in a row: those of a run are looked through without reading what they are of.
  const withIds = reader.rows<[string, string], ItemRow>(
    `SELECT ${itemColumns} FROM items WHERE run_id = ? AND item_id IN (SELECT value FROM json_each(?)) ORDER BY position`,
  )
  return {
    ofRun: async (run_id) => ofRun.all(run_id).map(toPlacedItem),
    withIds: async (run_id, ids) =>
      ids.length === 0 ? [] : withIds.all(run_id, JSON.stringify(ids)).map(toPlacedItem),
    history: createHistory(reader),
    ofConversation: createConversationItems(reader),
  }
}

function createHistory(reader: Reader): Store['items']['history'] {
  const parentOf = reader.values<[string], string | null>('SELECT parent_run_id FROM runs WHERE id = ?')
  // Of the content only the length is looked up.
  const measured = reader.rows<[string], [parent: string | null, bytes: number]>(
    `SELECT parent_run_id, (SELECT coalesce(sum(octet_length(item)), 0) FROM items WHERE run_id = runs.id AND void = 0)
     FROM runs WHERE id = ?`,
  )
  const spoken = reader.rows<[string], ItemRow>(
    `SELECT ${itemColumns} FROM items WHERE run_id = ? AND void = 0 ORDER BY position`,
  )
  return async ({ run_id, max_runs, max_bytes }) => {
    const turns: PlacedItem[][] = []
    let size = 0
    let summarisedThrough: string | undefined
    let id = parentOf.get(run_id) ?? null
    // From run to run: a long conversation that has a summary costs no more than what came after it.
    while (id !== null && id !== summarisedThrough && turns.length < max_runs) {
      const [parent, bytes]: [string | null, number] = measured.get(id) ?? [null, 0]
      size += bytes
      if (size > max_bytes && turns.length > 0) break
      const said = spoken.all(id).map(toPlacedItem)
      turns.push(said)
      summarisedThrough ??= summarisedIn(said)
      id = parent
    }
    return { items: turns.toReversed().flat(), complete: id === null || id === summarisedThrough }
  }
}

/** The run that the newest of its summaries goes up to. */
function summarisedIn(items: readonly PlacedItem[]): string | undefined {
  const summary = items.findLast(({ item }) => item.type === 'note' && item.kind === 'summary')?.item
  return summary?.type === 'note' ? summary.through_run_id : undefined
}

function createConversationItems(reader: Reader): Store['items']['ofConversation'] {
  const findHead = reader.values<[string, string, string], string | null>(
    'SELECT head_run_id FROM conversations WHERE id = ? AND owner = ? AND namespace = ?',
  )
  const findItem = reader.rows<[string, number, string], [depth: number, position: number]>(
    `${chain} SELECT depth, position FROM chain CROSS JOIN items ON items.run_id = chain.id
     WHERE items.item_id = ? AND void = 0`,
  )
  const runsOf = reader.values<[string, number], string>(`${chain} SELECT id FROM chain ORDER BY depth`)
  const from = 'FROM items WHERE run_id = ? AND void = 0 AND position'
  const select = `SELECT ${itemColumns} ${from}`
  const itemsOf = {
    asc: reader.rows<[string, number, number], ItemRow>(`${select} > ? ORDER BY position LIMIT ?`),
    desc: reader.rows<[string, number, number], ItemRow>(`${select} < ? ORDER BY position DESC LIMIT ?`),
  }
  // Looked up first, so that nothing is read that the page does not hold.
  const measure = `SELECT octet_length(item) ${from}`
  const sizesOf = {
    asc: reader.values<[string, number, number], number>(`${measure} > ? ORDER BY position LIMIT ?`),
    desc: reader.values<[string, number, number], number>(`${measure} < ? ORDER BY position DESC LIMIT ?`),
  }
  const beyond = { asc: -1, desc: Number.MAX_SAFE_INTEGER }

  return async (scope, id, { order, limit, after }) => {
    const { owner, namespace } = toScopeColumns(scope)
    const head = findHead.get(id, owner, namespace)
    if (head === undefined) return undefined
    const cursor = head === null || after === undefined ? undefined : findItem.get(head, anyDepth, after)
    if (head === null || (after !== undefined && !cursor)) return { data: [], has_more: false }

    const newestFirst = runsOf.all(head, anyDepth)
    const [depth, position] = cursor ?? [order === 'asc' ? newestFirst.length - 1 : 0, beyond[order]]
    const runs = order === 'asc' ? newestFirst.slice(0, depth + 1).toReversed() : newestFirst.slice(depth)
    const page = createPage(limit)
    const data: PlacedItem[] = []
    for (const [i, run] of runs.entries()) {
      const start = i === 0 ? position : beyond[order]
      const sizes = sizesOf[order].all(run, start, limit + 1)
      const taken = sizes.findIndex((bytes) => !page.takes(bytes))
      const count = taken < 0 ? sizes.length : taken
      if (count > 0) data.push(...itemsOf[order].all(run, start, count).map(toPlacedItem))
      if (page.hasMore) break
    }
    return { data, has_more: page.hasMore }
  }
}
