import type { Definitions } from '../store.ts'
import type { RunRow } from './rows.ts'
import { runColumns } from './rows.ts'
import { runStart } from './run-start.ts'
import type { WriteContext } from './write-context.ts'

export interface ClaimInput {
  epoch: number
  definitions: Definitions
  now: number
}

/** `start` is JSON of the `run.start` event. */
export type ClaimOutput = { row: RunRow; start: string; rescued: boolean } | null

interface Candidate {
  id: string
  attempt: number
  parent_run_id: string | null
  conversation_id: string | null
}

export function createRunClaim({ db, lease, log, attemptGap }: WriteContext) {
  const columns = 'id, attempt, parent_run_id, conversation_id'
  // Epochs only grow and there is one live one, so all below it are void.
  const findRescue = db.prepare<[number], Candidate>(
    `SELECT ${columns} FROM runs WHERE status = 'running' AND epoch < ? ORDER BY epoch, id LIMIT 1`,
  )
  const findQueued = db.prepare<[], Candidate>(
    `SELECT ${columns} FROM runs WHERE claimable = 1 ORDER BY id LIMIT 1`,
  )
  const headOf = db
    .prepare<[string], string | null>('SELECT head_run_id FROM conversations WHERE id = ?')
    .pluck()
  const hold = db.prepare('UPDATE conversations SET head_run_id = ?, holder_run_id = ? WHERE id = ?')
  const take = db
    .prepare<
      { id: string; epoch: number; parent: string | null; crashes: number; gap: number; now: number },
      RunRow
    >(
      `UPDATE runs SET status = 'running', claimable = 0, attempt = attempt + 1, epoch = @epoch,
         parent_run_id = @parent, last_seq = next_seq, next_seq = next_seq + @gap,
         crash_count = crash_count + @crashes, started_at = coalesce(started_at, @now)
       WHERE id = @id RETURNING ${runColumns}`,
    )
    .raw()

  const takeFor = (candidate: Candidate, input: ClaimInput, rescued: boolean): RunRow => {
    const { id, conversation_id } = candidate
    let parent = candidate.parent_run_id
    if (candidate.attempt === 0 && conversation_id !== null) {
      parent ??= headOf.get(conversation_id) ?? null
      hold.run(id, id, conversation_id)
    }
    const crashes = rescued ? 1 : 0
    const row = take.get({ id, epoch: input.epoch, parent, crashes, gap: attemptGap, now: input.now })
    if (!row) throw new Error(`Run ${id} went away while it was claimed.`)
    return row
  }

  return {
    'runs.claim'(input: ClaimInput): ClaimOutput {
      if (!lease.holds(input.epoch)) return null
      const lost = findRescue.get(input.epoch)
      const candidate = lost ?? findQueued.get()
      if (!candidate) return null
      const row = takeFor(candidate, input, lost !== undefined)
      const definition = Object.hasOwn(input.definitions, row[3]) ? input.definitions[row[3]] : undefined
      const options = JSON.parse(row[7]) as { model?: string }
      const start = runStart({
        seq: row[12],
        run_id: row[0],
        agent: row[3],
        definition: definition?.definition ?? null,
        model: options.model ?? definition?.model ?? null,
        conversation_id: row[5],
        attempt: row[10],
        now: input.now,
      })
      log.append(row[0], row[12], row[10], `[${start}]`)
      return { row, start, rescued: lost !== undefined }
    },
  }
}
