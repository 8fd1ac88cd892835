import type { Clock } from '../clock.ts'
import { createId } from '../ids.ts'
import type { CallerResult, RunRecord, Store } from '../store/store.ts'

export interface ExpiryOptions {
  store: Store
  clock: Clock
  /** Something was committed to this run, which nobody holds. */
  onChange: (run: RunRecord) => void
  /** How many at once. */
  limit: number
}

/** Answers for those who did not in time, until nothing is overdue: people, and callers whose tools were called. */
export async function expireSuspensions(options: ExpiryOptions): Promise<void> {
  while ((await expireApprovals(options)) > 0);
  while ((await expireCalls(options)) > 0);
}

async function expireApprovals({ store, clock, onChange, limit }: ExpiryOptions): Promise<number> {
  const changed = await store.approvals.expire({ now: clock.now(), limit })
  for (const run of changed) onChange(run)
  return changed.length
}

/** A caller may be faster with a result: then nothing is written, and what is still overdue is found again. */
async function expireCalls({ store, clock, onChange, limit }: ExpiryOptions): Promise<number> {
  const now = clock.now()
  let changed = 0
  for (const run of await store.runs.overdue({ now, limit })) {
    const results = run.pending_calls.map(({ call_id }) => expiredResult(call_id))
    const added = await store.runs.addToolResults({ scope: run, run_id: run.id, results, now })
    if (added.outcome !== 'ok') continue
    onChange(added.run)
    changed += 1
  }
  return changed
}

function expiredResult(call_id: string): CallerResult {
  const message = 'The caller gave no result of this call in time.'
  return {
    item: {
      type: 'tool_result',
      id: createId('item'),
      call_id,
      output: `Error: ${message} It may have taken effect.`,
      error: { code: 'tool_expired', message },
    },
  }
}
