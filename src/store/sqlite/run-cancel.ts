import type { Spent } from '../../run-state.ts'
import type { RunRow } from './rows.ts'
import { runColumns } from './rows.ts'
import type { WriteContext } from './write-context.ts'

export interface CancelInput {
  owner: string
  namespace: string
  run_id: string
  actor: string
  /** JSON of `{ at, actor, reason }`. */
  cancel: string
  /** JSON of the error a run has that is ended here. */
  error: string
  /** JSON of what a pending approval has for a decision then. */
  decision: string
  now: number
}

/** `end` is JSON of the `run.end` event. */
export type CancelOutput =
  | { outcome: 'not_found' }
  | { outcome: 'ended' | 'signalled'; row: RunRow }
  | { outcome: 'cancelled'; row: RunRow; end: string }

export function createRunCancel({ db, lease, log, runs, turns, attemptGap }: WriteContext) {
  const signal = db
    .prepare<[string, string], RunRow>(
      `UPDATE runs SET cancel = coalesce(cancel, ?) WHERE id = ? RETURNING ${runColumns}`,
    )
    .raw()
  const finish = db
    .prepare<Pick<CancelInput, 'cancel' | 'error' | 'now' | 'run_id'> & { gap: number }, RunRow>(
      `UPDATE runs SET status = 'cancelled', claimable = 0, attempt = attempt + 1, epoch = NULL, last_seq = next_seq,
         next_seq = next_seq + @gap, cancel = coalesce(cancel, @cancel), stop_reason = 'cancelled', error = @error,
         output = '[]', pending_calls = '[]', calls_expire_at = NULL, ended_at = @now
       WHERE id = @run_id RETURNING ${runColumns}`,
    )
    .raw()
  const cancelApprovals = db.prepare(
    `UPDATE approvals SET status = 'cancelled', decision = ?, decided_at = ? WHERE run_id = ? AND status = 'pending'`,
  )

  const endHere = (input: CancelInput): CancelOutput => {
    const { run_id, cancel, error, now } = input
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
    return { outcome: 'cancelled', row, end }
  }

  return {
    'runs.cancel'(input: CancelInput): CancelOutput {
      const row = runs.findOwned(input.run_id, input.owner, input.namespace)
      if (!row) return { outcome: 'not_found' }
      const [status, epoch] = [row[4], row[11]]
      if (status === 'completed' || status === 'failed' || status === 'cancelled')
        return { outcome: 'ended', row }
      if (status !== 'running' || epoch === null || !lease.isLive(epoch)) return endHere(input)
      return { outcome: 'signalled', row: signal.get(input.cancel, input.run_id) ?? row }
    },
  }
}

/** The cost that a run had come to, as its end tells it. */
function costOf(spent: string | null): { cost?: number } {
  // Written by this store from `Spent`.
  const cost = spent === null ? null : (JSON.parse(spent) as Spent).cost
  return cost === null ? {} : { cost }
}
