import type { PlacedItem } from '../../items.ts'
import type { Store } from '../store.ts'
import { chain } from './chain-sql.ts'
import type { Reader } from './reader.ts'
import type { ItemRow } from './rows.ts'
import { itemColumns, toPlacedItem } from './rows.ts'
import { toScopeColumns } from './text-column.ts'

export function createItemReads(reader: Reader): Store['items'] {
  const ofRun = reader.rows<[string], ItemRow>(
    `SELECT ${itemColumns} FROM items WHERE run_id = ? ORDER BY position`,
  )
  return {
    ofRun: async (run_id) => ofRun.all(run_id).map(toPlacedItem),
    history: createHistory(reader),
    ofConversation: createConversationItems(reader),
  }
}

function createHistory(reader: Reader): Store['items']['history'] {
  const parentOf = reader.values<[string], string | null>('SELECT parent_run_id FROM runs WHERE id = ?')
  const before = reader.values<[string, number], string>(
    `${chain} SELECT id FROM chain ORDER BY depth LIMIT ?`,
  )
  const spoken = reader.rows<[string], ItemRow>(
    `SELECT ${itemColumns} FROM items WHERE run_id = ? AND void = 0 ORDER BY position`,
  )
  return async ({ run_id, max_runs }) => {
    const parent = parentOf.get(run_id)
    if (parent === undefined || parent === null) return { items: [], complete: true }
    // One more than is wanted tells whether there is more.
    const ids = before.all(parent, max_runs + 1)
    const complete = ids.length <= max_runs
    const items: PlacedItem[] = []
    for (const id of ids.slice(0, max_runs).toReversed()) items.push(...spoken.all(id).map(toPlacedItem))
    return { items, complete }
  }
}

function createConversationItems(reader: Reader): Store['items']['ofConversation'] {
  const find = reader.rows<[string, string, string], [head: string | null]>(
    'SELECT head_run_id FROM conversations WHERE id = ? AND owner = ? AND namespace = ?',
  )
  const cursor = reader.rows<[string, string], [depth: number, position: number]>(
    `${chain} SELECT depth, position FROM chain JOIN items ON items.run_id = chain.id
     WHERE items.item_id = ? AND void = 0`,
  )
  // The chain counts depth from the head, so the oldest run has the greatest.
  const page = (comparison: string, order: string) =>
    reader.rows<[string, number, number, number], ItemRow>(
      `${chain} SELECT ${itemColumns} FROM chain JOIN items ON items.run_id = chain.id
       WHERE void = 0 AND (-depth, position) ${comparison} (-?, ?) ORDER BY ${order} LIMIT ?`,
    )
  const queries = {
    asc: page('>', 'depth DESC, position'),
    desc: page('<', 'depth, position DESC'),
  }
  const beyond = { asc: [Number.MAX_SAFE_INTEGER, -1], desc: [0, Number.MAX_SAFE_INTEGER] } as const

  return async (scope, id, { order, limit, after }) => {
    const { owner, namespace } = toScopeColumns(scope)
    const conversation = find.get(id, owner, namespace)
    if (!conversation) return undefined
    const head = conversation[0]
    if (head === null) return { data: [], has_more: false }
    const from = after === undefined ? beyond[order] : cursor.get(head, after)
    if (!from) return { data: [], has_more: false }
    const rows = queries[order].all(head, from[0], from[1], limit + 1)
    return { data: rows.slice(0, limit).map(toPlacedItem), has_more: rows.length > limit }
  }
}
