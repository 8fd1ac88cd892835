import type { RunRow } from './rows.ts'
import { runColumns } from './rows.ts'
import type { WriteContext } from './write-context.ts'

export interface Resumption {
  /**
   * Appends to the log of a suspended run what somebody who does not hold it has to say, as an attempt of its own, and
   * queues the run when nothing more is awaited. `events` is JSON without the numbers, which are given here in order.
   */
  append(input: { run_id: string; events: object[]; pending_calls: string }): { row: RunRow; events: string }
}

export function createResumption({ db, log, runs, attemptGap }: WriteContext): Resumption {
  const pending = db
    .prepare<[string], number>(`SELECT count(*) FROM approvals WHERE run_id = ? AND status = 'pending'`)
    .pluck()
  const update = db
    .prepare<
      { id: string; status: string; claimable: number; last: number; gap: number; pending_calls: string },
      RunRow
    >(
      `UPDATE runs SET status = @status, claimable = @claimable, attempt = attempt + 1, last_seq = @last,
         next_seq = @last + @gap, pending_calls = @pending_calls,
         calls_expire_at = CASE @pending_calls WHEN '[]' THEN NULL ELSE calls_expire_at END
       WHERE id = @id RETURNING ${runColumns}`,
    )
    .raw()
  return {
    append({ run_id, events, pending_calls }) {
      const { 4: status, 13: nextSeq } = runs.get(run_id)
      if (status !== 'suspended') throw new Error(`Run ${run_id} is ${status} and has something pending.`)
      const numbered = JSON.stringify(events.map((event, i) => ({ seq: nextSeq + i, ...event })))
      const goesOn = pending_calls === '[]' && pending.get(run_id) === 0
      const last = nextSeq + events.length - 1
      const row = update.get({
        id: run_id,
        status: goesOn ? 'queued' : 'suspended',
        claimable: goesOn ? 1 : 0,
        last,
        gap: attemptGap,
        pending_calls,
      })
      if (!row) throw new Error(`Run ${run_id} went away.`)
      log.append(run_id, last, row[10], numbered)
      return { row, events: numbered }
    },
  }
}
