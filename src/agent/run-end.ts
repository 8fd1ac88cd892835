import { createId } from '../ids.ts'
import { toIsoDate } from '../clock.ts'
import type { ApprovalRequest, EventDraft, PendingCall } from '../events.ts'
import type { StopReason } from '../run-state.ts'
import type { Batch, Completion, RunContext, Suspension } from './context.ts'
import { allTotalsOf, costField, totalsOf } from './totals.ts'

/** An approval or a question as a commit takes it. */
export type NewApproval = Suspension['approvals'][number]

/** The batch that ends a run normally, with whatever else `batch` holds. */
export function completed(
  context: RunContext,
  input: { batch: Batch; stop: StopReason; output: string[]; parsed?: unknown; forced?: boolean },
): Batch {
  const { batch, stop, output, parsed } = input
  const forced = input.forced ? { forced: true as const } : {}
  const value = parsed === undefined ? {} : { output_parsed: parsed }
  const end: Completion = {
    status: 'completed',
    stop_reason: stop,
    error: null,
    output,
    ...value,
    ...forced,
  }
  const totals = totalsOf(context)
  const event: EventDraft = {
    type: 'run.end',
    status: 'completed',
    stop_reason: stop,
    ...forced,
    output,
    usage: context.totals.usage,
    ...costField(context.totals),
    steps: context.steps,
    error: null,
  }
  return { ...batch, ...totals, steps: context.steps, events: [...(batch.events ?? []), event], end }
}

/** The batch that suspends a run until people and the caller have answered. */
export function suspended(
  context: RunContext,
  input: { approvals: NewApproval[]; pending: PendingCall[] },
): Batch {
  const { approvals, pending } = input
  const shown = approvals.map(({ created_at: _at, expires_at_ms: _ms, ...approval }) => approval)
  return {
    ...allTotalsOf(context),
    events: [{ type: 'run.suspend', approvals: shown, tool_calls: pending }],
    end: { status: 'suspended', approvals, pending_calls: pending, calls_expire_at: expiryOf(context) },
  }
}

export function newApproval(
  context: RunContext,
  input: Pick<ApprovalRequest, 'call_id' | 'tool' | 'arguments' | 'reason' | 'question'>,
): NewApproval {
  const expiresAt = expiryOf(context)
  const { question, ...rest } = input
  return {
    id: createId('appr'),
    ...rest,
    ...(question ? { question } : {}),
    expires_at: expiresAt === null ? null : toIsoDate(expiresAt),
    created_at: context.clock.now(),
    expires_at_ms: expiresAt,
  }
}

/** Until when whoever is asked now may answer. */
function expiryOf({ agent, clock }: RunContext): number | null {
  return agent.approvalTimeoutMs === null ? null : clock.now() + agent.approvalTimeoutMs
}
