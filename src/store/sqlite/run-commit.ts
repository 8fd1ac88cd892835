import { addWarnings, type RunStatus, type RunWarning, type StopReason } from '../../run-state.ts'
import type { CommitOutcome, LedgerRecord } from '../store.ts'
import { parseNullable } from './rows.ts'
import type { WriteContext } from './write-context.ts'

export type ItemInput = [
  position: number,
  step: number | null,
  void_: number,
  itemId: string,
  role: string | null,
  item: string,
  parentCallId: string | null,
]

export type ClaimedCall = [
  step: number,
  place: number,
  callId: string,
  effect: LedgerRecord['effect'],
  approvalId: string | null,
]

export type NewApproval = [
  id: string,
  callId: string,
  tool: string,
  arguments_: string,
  reason: string,
  createdAt: number,
  expiresAt: number | null,
  question: string | null,
]

/** Null, in every field that may be: stays as it is. */
export interface CommitInput {
  run_id: string
  epoch: number
  attempt: number
  /** 0 when there are no events. */
  first_seq: number
  last_seq: number
  /** JSON array. */
  events: string
  items: ItemInput[] | null
  claims: ClaimedCall[] | null
  settled: [callId: string, state: 'committed' | 'unknown' | 'unused'][] | null
  usage: string | null
  spent: string | null
  steps: number | null
  plan: string | null
  agent: string | null
  warnings: RunWarning[] | null
  keep_crash_count: boolean
  end: CommitEnd | null
  now: number
}

export interface CommitEnd {
  status: Exclude<RunStatus, 'running'>
  stop_reason: StopReason | null
  error: string | null
  output: string | null
  output_parsed: string | null
  forced: number
  pending_calls: string
  calls_expire_at: number | null
  approvals: NewApproval[] | null
}

interface Standing {
  status: RunStatus
  epoch: number | null
  attempt: number
  cancelled: number
  last_seq: number
  next_seq: number
  conversation_id: string | null
  owner: string
  namespace: string
}

export function createRunCommit(context: WriteContext) {
  const { db, lease, log } = context
  const find = db.prepare<[string], Standing>(
    `SELECT status, epoch, attempt, cancel IS NOT NULL AS cancelled, last_seq, next_seq, conversation_id, owner, namespace
     FROM runs WHERE id = ?`,
  )
  const content = createContentWrites(context)
  const rowUpdate = createRowUpdate(context)
  const addToWarnings = createWarningWrites(context)
  const endings = createEndings(context)

  return {
    'runs.commit'(input: CommitInput): CommitOutcome {
      const { run_id, epoch, attempt, end } = input
      const run = find.get(run_id)
      const held =
        run?.status === 'running' && run.epoch === epoch && run.attempt === attempt && lease.holds(epoch)
      if (!held) return 'fenced'
      if (run.cancelled === 1 && end?.status !== 'cancelled') return 'cancelled'
      if (input.first_seq !== 0) {
        if (input.first_seq <= run.last_seq) {
          throw new Error(`Run ${run_id}: event ${input.first_seq} is not above ${run.last_seq}.`)
        }
        log.append(run_id, input.last_seq, attempt, input.events)
      }
      content(input)
      rowUpdate(input, run)
      if (input.warnings) addToWarnings(run_id, input.warnings)
      if (end) endings(input, end, run)
      return 'ok'
    },
  }
}

/** Items and the ledger. */
function createContentWrites({ db }: WriteContext) {
  const insertItem = db.prepare<[string, ...ItemInput]>(
    'INSERT INTO items (run_id, position, step, void, item_id, role, item, parent_call_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  )
  const claimCall = db.prepare<[string, ...ClaimedCall]>(
    `INSERT INTO tool_ledger (run_id, step, place, call_id, effect, approval_id, state)
     VALUES (?, ?, ?, ?, ?, ?, 'claimed')
     ON CONFLICT (run_id, call_id) DO UPDATE SET state = 'claimed', approval_id = excluded.approval_id`,
  )
  const settleCall = db.prepare<[string, string, string]>(
    'UPDATE tool_ledger SET state = ? WHERE run_id = ? AND call_id = ?',
  )
  const dropClaim = db.prepare<[string, string]>('DELETE FROM tool_ledger WHERE run_id = ? AND call_id = ?')
  const settle = (runId: string, callId: string, state: 'committed' | 'unknown' | 'unused'): void => {
    if (state === 'unused') dropClaim.run(runId, callId)
    else settleCall.run(state, runId, callId)
  }
  return ({ run_id, items, claims, settled }: CommitInput): void => {
    if (items) for (const item of items) insertItem.run(run_id, ...item)
    if (claims) for (const claim of claims) claimCall.run(run_id, ...claim)
    if (settled) for (const [callId, state] of settled) settle(run_id, callId, state)
  }
}

/** The run's own row: one statement for a step forward, another that ends the attempt as well. */
function createRowUpdate({ db, attemptGap }: WriteContext) {
  const forward = `last_seq = ?, next_seq = ?, crash_count = crash_count * ?, usage = coalesce(?, usage),
    steps = coalesce(?, steps), plan = coalesce(?, plan), active_agent = coalesce(?, active_agent),
    spent = coalesce(?, spent)`
  const step = db.prepare(`UPDATE runs SET ${forward} WHERE id = ?`)
  const finish = db.prepare(
    `UPDATE runs SET ${forward}, status = ?, claimable = ?, epoch = NULL, stop_reason = ?, error = ?,
       output = coalesce(?, output), output_parsed = coalesce(?, output_parsed), forced = ?, pending_calls = ?, ended_at = ? WHERE id = ?`,
  )
  return (input: CommitInput, run: Standing): void => {
    const wrote = input.first_seq !== 0
    const lastSeq = wrote ? input.last_seq : run.last_seq
    const nextSeq = wrote ? input.last_seq + attemptGap : run.next_seq
    const crashFactor = input.keep_crash_count ? 1 : 0
    const { usage, steps, plan, agent, spent, end, run_id } = input
    if (!end) {
      step.run(lastSeq, nextSeq, crashFactor, usage, steps, plan, agent, spent, run_id)
      return
    }
    const claimable = end.status === 'queued' ? 1 : 0
    const endedAt = end.status === 'queued' || end.status === 'suspended' ? null : input.now
    // prettier-ignore
    finish.run(
      lastSeq, nextSeq, crashFactor, usage, steps, plan, agent, spent, end.status, claimable, end.stop_reason, end.error,
      end.output, end.output_parsed, end.forced, end.pending_calls, endedAt, run_id,
    )
  }
}

/** Apart from the rest of the row: most commits warn of nothing, and need not read what is there. */
function createWarningWrites({ db }: WriteContext) {
  const find = db.prepare<[string], string | null>('SELECT warnings FROM runs WHERE id = ?').pluck()
  const update = db.prepare<[string, string]>('UPDATE runs SET warnings = ? WHERE id = ?')
  return (runId: string, warnings: readonly RunWarning[]): void => {
    const known = parseNullable<RunWarning[]>(find.get(runId) ?? null) ?? []
    update.run(JSON.stringify(addWarnings(known, warnings)), runId)
  }
}

/** What an end means beyond the run's row: approvals that are asked for, and a conversation that becomes free. */
function createEndings({ db, turns }: WriteContext) {
  const insertApproval = db.prepare<[string, string, string, ...NewApproval]>(
    `INSERT INTO approvals (owner, namespace, run_id, id, call_id, tool, arguments, reason, created_at, expires_at, question,
       status)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending')`,
  )
  const setDeadline = db.prepare('UPDATE runs SET calls_expire_at = ? WHERE id = ?')
  return ({ run_id, now }: CommitInput, end: CommitEnd, run: Standing): void => {
    if (end.calls_expire_at !== null) setDeadline.run(end.calls_expire_at, run_id)
    if (end.approvals) {
      for (const approval of end.approvals) insertApproval.run(run.owner, run.namespace, run_id, ...approval)
    }
    // A suspended run and one that is given back keep their conversation.
    if (end.status === 'suspended' || end.status === 'queued') return
    if (run.conversation_id !== null) turns.pass({ conversation_id: run.conversation_id, run_id, now })
  }
}
