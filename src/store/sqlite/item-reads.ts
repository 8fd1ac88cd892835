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
  const spoken = reader.rows<[string], ItemRow>(
    `SELECT ${itemColumns} FROM items WHERE run_id = ? AND void = 0 ORDER BY position`,
  )
  return async ({ run_id, max_runs, max_chars }) => {
    const turns: PlacedItem[][] = []
    let size = 0
    let summarisedThrough: string | undefined
    let id = parentOf.get(run_id) ?? null
    // From run to run: a long conversation that has a summary costs no more than what came after it.
    while (id !== null && id !== summarisedThrough && turns.length < max_runs) {
      const rows = spoken.all(id)
      for (const row of rows) size += itemSize(row)
      if (size > max_chars && turns.length > 0) break
      const said = rows.map(toPlacedItem)
      turns.push(said)
      summarisedThrough ??= summarisedIn(said)
      id = parentOf.get(id) ?? null
    }
    return { items: turns.toReversed().flat(), complete: id === null || id === summarisedThrough }
  }
}

function itemSize(row: ItemRow): number {
  return row[4].length
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
  const select = `SELECT ${itemColumns} FROM items WHERE run_id = ? AND void = 0 AND position`
  const itemsOf = {
    asc: reader.rows<[string, number], ItemRow>(`${select} > ? ORDER BY position`),
    desc: reader.rows<[string, number], ItemRow>(`${select} < ? ORDER BY position DESC`),
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
    const page = createPage<ItemRow>({ limit, sizeOf: itemSize })
    const take = (row: ItemRow) => page.take(row)
    for (const [i, run] of runs.entries()) {
      itemsOf[order].each(take, run, i === 0 ? position : beyond[order])
      if (page.hasMore) break
    }
    return { data: page.rows.map(toPlacedItem), has_more: page.hasMore }
  }
}
