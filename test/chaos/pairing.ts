import type { Item } from '../../src/items.ts'

/**
 * What is wrong with the items of a request to a provider, if anything is: every call is followed, before the next message,
 * by exactly one result, and no result stands alone.
 */
export function pairingFault(items: readonly Item[]): string | undefined {
  const open = new Set<string>()
  const answered = new Set<string>()
  for (const item of items) {
    if (item.type === 'tool_call') {
      if (open.has(item.call_id) || answered.has(item.call_id)) return `call ${item.call_id} stands twice`
      open.add(item.call_id)
    } else if (item.type === 'tool_result') {
      if (!open.delete(item.call_id)) return `result ${item.call_id} has no open call`
      answered.add(item.call_id)
    } else if (item.type === 'message' && open.size > 0) {
      return `a message stands before the results of ${[...open].join(', ')}`
    }
  }
  return open.size > 0 ? `no result of ${[...open].join(', ')}` : undefined
}
