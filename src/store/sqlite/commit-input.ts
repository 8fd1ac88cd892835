import type { Commit } from '../store.ts'
import type { CommitEnd, CommitInput } from './run-commit.ts'
import { toColumn } from './text-column.ts'

/** A commit as the writer thread takes it: flat, with JSON made here, once. */
export function encodeCommit(commit: Commit): CommitInput {
  const { fence, events, items, claims, settled, usage, spent, plan } = commit
  return {
    run_id: fence.run_id,
    epoch: fence.epoch,
    attempt: fence.attempt,
    first_seq: events[0]?.seq ?? 0,
    last_seq: events.at(-1)?.seq ?? 0,
    events: events.length === 0 ? '[]' : JSON.stringify(events),
    items: items?.length ? items.map(encodeItem) : null,
    claims: claims?.length
      ? claims.map((claim) => [claim.step, claim.index, claim.call_id, claim.effect, claim.approval_id])
      : null,
    settled: settled?.length ? settled.map(({ call_id, state }) => [call_id, state]) : null,
    usage: usage === undefined ? null : JSON.stringify(usage),
    spent: spent === undefined ? null : JSON.stringify(spent),
    steps: commit.steps ?? null,
    plan: plan === undefined ? null : JSON.stringify(plan),
    agent: commit.agent ?? null,
    warnings: commit.warnings ?? null,
    keep_crash_count: commit.recovery === true,
    end: commit.end ? encodeEnd(commit.end) : null,
    now: commit.now,
  }
}

function encodeItem({
  position,
  step,
  void: isVoid,
  parent_call_id,
  item,
}: NonNullable<Commit['items']>[number]): NonNullable<CommitInput['items']>[number] {
  const role = item.type === 'message' ? item.role : null
  const kind = isVoid ? 1 : parent_call_id === null ? 0 : 2
  return [position, step, kind, item.id, role, JSON.stringify(item), parent_call_id]
}

function encodeEnd(end: NonNullable<Commit['end']>): CommitEnd {
  const open = {
    stop_reason: null,
    error: null,
    output: null,
    output_parsed: null,
    forced: 0,
    pending_calls: '[]',
    calls_expire_at: null,
    approvals: null,
  }
  if (end.status === 'queued') return { ...open, status: 'queued' }
  if (end.status !== 'suspended') {
    const { status, stop_reason, error, output, output_parsed, forced } = end
    return {
      ...open,
      status,
      stop_reason,
      error: error === null ? null : JSON.stringify(error),
      output: JSON.stringify(output),
      output_parsed: output_parsed === undefined ? null : JSON.stringify(output_parsed),
      forced: forced ? 1 : 0,
    }
  }
  return {
    ...open,
    status: 'suspended',
    pending_calls: JSON.stringify(end.pending_calls),
    calls_expire_at: end.pending_calls.length > 0 ? end.calls_expire_at : null,
    approvals: end.approvals.map((approval) => [
      approval.id,
      approval.call_id,
      toColumn(approval.tool),
      // JSON has no undefined.
      JSON.stringify(approval.arguments ?? null),
      approval.reason,
      approval.created_at,
      approval.expires_at_ms,
      approval.question === undefined ? null : JSON.stringify(approval.question),
    ]),
  }
}
