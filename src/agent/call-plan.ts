import { createHash } from 'node:crypto'
import { AppError, type ErrorCode } from '../errors.ts'
import type { ToolCallItem } from '../items.ts'
import { traceOf } from '../logger.ts'
import { callAuthor } from './author-code.ts'
import type { CallApproval, RunContext } from './context.ts'
import { parseArguments } from './reply-builder.ts'
import type { ApprovalContext, Tool } from './tool.ts'

export interface PlacedCall {
  call: ToolCallItem
  step: number
  /** Place of the call in the reply, from 0. */
  index: number
}

/** What is to happen with one call of a reply. */
export type CallPlan = PlacedCall &
  (
    | { kind: 'run'; tool: Tool; input: unknown; approvalId: string | null }
    /** It never runs; the model reads why. */
    | { kind: 'refuse'; code: ErrorCode; message: string }
    | { kind: 'approve'; input: unknown; reason: CallApproval['reason'] }
    /** The caller runs it. */
    | { kind: 'caller'; input: unknown }
  )

/**
 * Decides about each call that has no result: prepare (does the tool exist, do the arguments fit), then authorise (does it
 * need a person's word, was it started by a holder that died). Nothing runs here. Never rejects: where a run is interrupted
 * meanwhile, its reply is still to be committed.
 */
export async function planCalls(context: RunContext, calls: readonly PlacedCall[]): Promise<CallPlan[]> {
  return Promise.all(
    calls.map(async (placed) => {
      try {
        return await planCall(context, placed)
      } catch (error) {
        // The author's own code: a schema or an approval policy that throws, or had not answered when the run was interrupted.
        if (!context.signal.aborted) {
          const cause = AppError.is(error) ? error.cause : error
          context.logger.error({ err: traceOf(cause), tool: placed.call.name }, 'checking a tool call failed')
        }
        const message = 'The call could not be checked.'
        return { ...placed, kind: 'refuse' as const, code: 'tool_failed' as const, message }
      }
    }),
  )
}

async function planCall(context: RunContext, placed: PlacedCall): Promise<CallPlan> {
  const { call } = placed
  const tool = context.agent.tools.find(({ name }) => name === call.name)
  if (!tool) return planForeign(context, placed)
  const approval = context.approvals.get(call.call_id)
  if (approval && approval.status !== 'approved') return refuseDecided(placed, approval)
  const written = approval
    ? (approval.decision?.arguments ?? approval.arguments)
    : parseArguments(call.arguments)
  const parsed = typeof written === 'string' ? notJson(written) : tool.parse(written)
  if (!parsed.ok) {
    if (context.agentChanged) warnChanged(context, call.name)
    return { ...placed, kind: 'refuse', code: 'tool_bad_arguments', message: parsed.message }
  }
  const input = parsed.value
  const run = (approvalId: string | null): CallPlan => ({ ...placed, kind: 'run', tool, input, approvalId })
  const record = context.calls.get(call.call_id)
  // An approval allows one start: one that the ledger names was used by a holder that died since.
  if (approval && approval.id !== record?.approval_id) return run(approval.id)
  if (record && tool.effect === 'write') {
    return { ...placed, kind: 'approve', input: written, reason: 'outcome_unknown' }
  }
  if (record) return run(record.approval_id)
  if (await callAuthor(context.signal, () => tool.needsApproval(input, approvalContext(context)))) {
    return { ...placed, kind: 'approve', input: written, reason: 'policy' }
  }
  return run(null)
}

function planForeign(context: RunContext, placed: PlacedCall): CallPlan {
  const { call } = placed
  if (context.options.tools?.some(({ name }) => name === call.name)) {
    return { ...placed, kind: 'caller', input: parseArguments(call.arguments) }
  }
  if (context.agentChanged) warnChanged(context, call.name)
  const known = context.agent.tools.map(({ name }) => name).join(', ')
  const message = `There is no tool named ${JSON.stringify(call.name)}. Known tools: ${known || 'none'}.`
  return { ...placed, kind: 'refuse', code: 'tool_unknown', message }
}

function refuseDecided(placed: PlacedCall, approval: CallApproval): CallPlan {
  const reason = approval.decision?.reason
  if (approval.status === 'rejected') {
    const message = `A person rejected this call.${reason ? ` Reason: ${reason}` : ''}`
    const code = approval.reason === 'outcome_unknown' ? 'outcome_unknown' : 'tool_rejected'
    const unknown = ' It had been started before and may have taken effect.'
    return {
      ...placed,
      kind: 'refuse',
      code,
      message: code === 'outcome_unknown' ? message + unknown : message,
    }
  }
  return { ...placed, kind: 'refuse', code: 'tool_expired', message: 'Nobody approved this call in time.' }
}

function warnChanged(context: RunContext, toolName: string): void {
  const message = `The agent changed while the run waited: the call of ${toolName} no longer fits.`
  context.log.defer({ events: [{ type: 'warning', code: 'agent_changed', message }] })
}

function notJson(text: string): { ok: false; message: string } {
  return { ok: false, message: `The arguments are not JSON of a sane depth: ${text.slice(0, 200)}` }
}

export function approvalContext(context: RunContext): ApprovalContext {
  return {
    principal: context.principal,
    namespace: context.principal.namespace,
    runId: context.runId,
    conversationId: context.conversationId,
    runContext: context.options.run_context ?? {},
  }
}

/** Whether a result of the ledger belongs to this very call. 16 hexadecimal digits. */
export function inputHash(name: string, input: unknown): string {
  return createHash('sha256')
    .update(`${name}\n${JSON.stringify(input)}`)
    .digest('hex')
    .slice(0, 16)
}
