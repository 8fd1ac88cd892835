import { createResumption } from './resumption.ts'
import type { ApprovalRow, RunRow } from './rows.ts'
import { approvalColumns } from './rows.ts'
import type { WriteContext } from './write-context.ts'

export interface DecideInput {
  owner: string
  namespace: string
  approval_id: string
  decision: 'approve' | 'reject' | 'answer'
  /** JSON of `{ by, reason?, arguments?, answer? }`. */
  details: string
  now: number
}

/** `events` is a JSON array. */
export type DecideOutput =
  | { outcome: 'not_found' }
  | { outcome: 'decided_before'; approval: ApprovalRow }
  | { outcome: 'ok'; approval: ApprovalRow; row: RunRow; events: string }

const statusAfter = {
  approve: 'approved',
  reject: 'rejected',
  answer: 'answered',
  expire: 'expired',
} as const

export function createApprovalWrites(context: WriteContext) {
  const { db, runs } = context
  const resumption = createResumption(context)
  const find = db
    .prepare<[string, string, string], ApprovalRow>(
      `SELECT ${approvalColumns} FROM approvals WHERE id = ? AND owner = ? AND namespace = ?`,
    )
    .raw()
  const findDue = db
    .prepare<[number, number], ApprovalRow>(
      `SELECT ${approvalColumns} FROM approvals
       WHERE status = 'pending' AND expires_at IS NOT NULL AND expires_at <= ? ORDER BY expires_at, id LIMIT ?`,
    )
    .raw()
  const update = db
    .prepare<[string, string, number, string], ApprovalRow>(
      `UPDATE approvals SET status = ?, decision = ?, decided_at = ? WHERE id = ? RETURNING ${approvalColumns}`,
    )
    .raw()

  const resolve = (input: {
    approval: ApprovalRow
    decision: keyof typeof statusAfter
    details: string
    now: number
  }) => {
    const { decision, details, now } = input
    const [id, , , run_id, call_id] = input.approval
    const approval = update.get(statusAfter[decision], details, now, id)
    if (!approval) throw new Error(`Approval ${id} went away.`)
    const event = {
      type: 'approval.resolve',
      approval_id: id,
      call_id,
      decision,
      // Made by JSON.stringify from an object.
      ...(JSON.parse(details) as object),
    }
    const { row, events } = resumption.append({
      run_id,
      events: [event],
      pending_calls: runs.get(run_id)[22],
    })
    return { approval, row, events }
  }

  return {
    'approvals.decide'(input: DecideInput): DecideOutput {
      const approval = find.get(input.approval_id, input.owner, input.namespace)
      if (!approval) return { outcome: 'not_found' }
      if (approval[8] !== 'pending') return { outcome: 'decided_before', approval }
      const { decision, details, now } = input
      return { outcome: 'ok', ...resolve({ approval, decision, details, now }) }
    },

    /** `details`: JSON of `{ by }`. Returns each run it changed, once, as it is after the last of its approvals. */
    'approvals.expire'(input: { now: number; limit: number; details: string }): RunRow[] {
      const changed = new Map<string, RunRow>()
      for (const approval of findDue.all(input.now, input.limit)) {
        const { row } = resolve({ approval, decision: 'expire', details: input.details, now: input.now })
        changed.set(row[0], row)
      }
      return [...changed.values()]
    },
  }
}
