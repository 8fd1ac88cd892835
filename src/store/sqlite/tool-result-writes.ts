import type { PendingCall } from '../../events.ts'
import { createResumption } from './resumption.ts'
import type { RunRow } from './rows.ts'
import type { WriteContext } from './write-context.ts'

export interface ToolResultsInput {
  owner: string
  namespace: string
  run_id: string
  results: {
    item_id: string
    call_id: string
    item: string
    error: { code: string; message: string } | null
  }[]
}

/** `events` is a JSON array. */
export type ToolResultsOutput =
  | { outcome: 'not_found' }
  | { outcome: 'not_suspended'; row: RunRow }
  | { outcome: 'unknown_call'; call_id: string }
  | { outcome: 'ok'; row: RunRow; events: string }

export function createToolResultWrites(context: WriteContext) {
  const { db, runs } = context
  const resumption = createResumption(context)
  const nextPosition = db
    .prepare<[string], number>('SELECT coalesce(max(position), -1) + 1 FROM items WHERE run_id = ?')
    .pluck()
  const insertItem = db.prepare(
    'INSERT INTO items (run_id, position, step, void, item_id, role, item) VALUES (?, ?, ?, 0, ?, NULL, ?)',
  )

  const insertResults = (row: RunRow, results: ToolResultsInput['results']): void => {
    const [run_id, steps] = [row[0], row[19]]
    const first = nextPosition.get(run_id) ?? 0
    // The calls are those of the run's last reply.
    const step = steps > 0 ? steps - 1 : null
    for (const [i, { item_id, item }] of results.entries())
      insertItem.run(run_id, first + i, step, item_id, item)
  }

  return {
    'runs.addToolResults'(input: ToolResultsInput): ToolResultsOutput {
      const { owner, namespace, run_id, results } = input
      const row = runs.findOwned(run_id, owner, namespace)
      if (!row) return { outcome: 'not_found' }
      if (row[4] !== 'suspended') return { outcome: 'not_suspended', row }
      // The store wrote it from PendingCall[].
      const pending = new Map((JSON.parse(row[22]) as PendingCall[]).map((call) => [call.call_id, call]))
      for (const { call_id } of results) {
        if (!pending.delete(call_id)) return { outcome: 'unknown_call', call_id }
      }
      if (results.length === 0) return { outcome: 'ok', row, events: '[]' }
      insertResults(row, results)
      const appended = resumption.append({
        run_id,
        events: results.map(({ item_id, call_id, error }) => ({
          type: 'tool.end',
          call_id,
          item_id,
          ...(error ? { error } : {}),
          // How long the caller took is not ours to know.
          duration_ms: 0,
        })),
        pending_calls: JSON.stringify([...pending.values()]),
      })
      return { outcome: 'ok', ...appended }
    },
  }
}
