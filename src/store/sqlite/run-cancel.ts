import type { Spent } from '../../run-state.ts'
import type { RunRow } from './rows.ts'
import { runColumns } from './rows.ts'
import type { WriteContext } from './write-context.ts'

/** What a cancel writes. */
export interface CancelNote {
  /** JSON of `{ at, actor, reason }`. */
  cancel: string
  /** JSON of the error a run has that is ended here. */
  error: string
  /** JSON of what a pending approval has for a decision then. */
  decision: string
}

export interface CancelInput extends CancelNote {
  owner: string
  namespace: string
  run_id: string
  now: number
}

/** `end` is JSON of the `run.end` event. */
export type CancelOutput =
  | { outcome: 'not_found' }
  | { outcome: 'ended' | 'signalled'; row: RunRow }
  | { outcome: 'cancelled'; row: RunRow; end: string }

export function createRunCancel(context: WriteContext) {
  const cancel = createCancelling(context)
  return {
    'runs.cancel'(input: CancelInput): CancelOutput {
      const row = context.runs.findOwned(input.run_id, input.owner, input.namespace)
      return row ? cancel(row, input) : { outcome: 'not_found' }
    },
  }
}

/** Ends a run, or writes that its live holder shall. */
export function createCancelling({ db, lease, log, turns, attemptGap }: WriteContext) {
  const signal = db
    .prepare<[string, string], RunRow>(
      `UPDATE runs SET cancel = coalesce(cancel, ?) WHERE id = ? RETURNING ${runColumns}`,
    )
    .raw()
  const finish = db
    .prepare<{ run_id: string; cancel: string; error: string; now: number; gap: number }, RunRow>(
      `UPDATE runs SET status = 'cancelled', claimable = 0, attempt = attempt + 1, epoch = NULL, last_seq = next_seq,
         next_seq = next_seq + @gap, cancel = coalesce(cancel, @cancel), stop_reason = 'cancelled', error = @error,
         output = '[]', pending_calls = '[]', calls_expire_at = NULL, ended_at = @now
       WHERE id = @run_id RETURNING ${runColumns}`,
    )
    .raw()
  const cancelApprovals = db.prepare(
    `UPDATE approvals SET status = 'cancelled', decision = ?, decided_at = ? WHERE run_id = ? AND status = 'pending'`,
  )

  const endHere = (run_id: string, input: CancelNote & { now: number }) => {
    const { cancel, error, now } = input
    const row = finish.get({ run_id, cancel, error, now, gap: attemptGap })
    if (!row) throw new Error(`Run ${run_id} went away while it was cancelled.`)
    cancelApprovals.run(input.decision, now, run_id)
    const end = JSON.stringify({
      seq: row[12],
      type: 'run.end',
      status: 'cancelled',
      stop_reason: 'cancelled',
      output: [],
      usage: JSON.parse(row[18]) as unknown,
      ...costOf(row[28]),
      steps: row[19],
      error: JSON.parse(error) as unknown,
    })
    log.append(run_id, row[12], row[10], `[${end}]`)
    if (row[5] !== null) turns.pass({ conversation_id: row[5], run_id, now })
    return { outcome: 'cancelled' as const, row, end }
  }

  return (
    row: RunRow,
    input: CancelNote & { now: number },
  ): Exclude<CancelOutput, { outcome: 'not_found' }> => {
    const [id, status, epoch] = [row[0], row[4], row[11]]
    if (status === 'completed' || status === 'failed' || status === 'cancelled') {
      return { outcome: 'ended', row }
    }
    if (status !== 'running' || epoch === null || !lease.isLive(epoch)) return endHere(id, input)
    return { outcome: 'signalled', row: signal.get(input.cancel, id) ?? row }
  }
}

/** The cost that a run had come to, as its end tells it. */
function costOf(spent: string | null): { cost?: number } {
  // Written by this store from `Spent`.
  const cost = spent === null ? null : (JSON.parse(spent) as Spent).cost
  return cost === null ? {} : { cost }
}
