import type { ErrorCode } from '../errors.ts'
import type { ToolCallItem } from '../items.ts'
import { logFault } from '../logger.ts'
import { callAuthor } from './author-code.ts'
import { sharing, turn, type TimeLeft } from './bounded.ts'
import type { CallApproval, RunContext } from './context.ts'
import { cutEnd } from './cut-text.ts'
import type { Agent, AnyTool, ApprovalContext } from './definitions.ts'
import { parseArguments } from './reply-builder.ts'
import { toolsOf, handoffTarget } from './toolbox.ts'
import { warn } from './warn.ts'

export interface PlacedCall {
  call: ToolCallItem
  step: number
  /** Place of the call in the reply, from 0. */
  index: number
}

/** What is to happen with one call of a reply. */
export type CallPlan = PlacedCall &
  /** `written`: the arguments as JSON, before the tool's schema and hooks had their say. */
  (
    | { kind: 'run'; tool: AnyTool; input: unknown; written: unknown; approvalId: string | null }
    /** It never runs; the model reads why. */
    | { kind: 'refuse'; code: ErrorCode; message: string }
    | { kind: 'approve'; input: unknown; reason: 'policy' | 'outcome_unknown' }
    /** The caller runs it. */
    | { kind: 'caller'; input: unknown }
    /** The run is handed to another agent, once everything else of the reply is done. */
    | { kind: 'handoff'; to: Agent; why: string }
  )

/** What the checks of one reply may take together, of those that may take long. */
const maxChecksMs = 500

/**
 * Decides about each call that has no result: prepare (does the tool exist, do the arguments fit), then authorise (does it
 * need a person's word, was it started by a holder that died). Nothing runs here. Never rejects: where a run is interrupted
 * meanwhile, its reply is still to be committed.
 */
export async function planCalls(context: RunContext, calls: readonly PlacedCall[]): Promise<CallPlan[]> {
  try {
    return await planAll(context, calls, await toolsOf(context))
  } catch (error) {
    return calls.map((placed) => planUnchecked(context, placed, error))
  }
}

type Tools = ReadonlyMap<string, AnyTool>

async function planAll(context: RunContext, calls: readonly PlacedCall[], tools: Tools): Promise<CallPlan[]> {
  const time: TimeLeft = { ms: maxChecksMs }
  const plans: Promise<CallPlan>[] = []
  for (const placed of calls) {
    // Only for those that come after a check that may take long: others have nothing to do with it.
    if (time.ms < maxChecksMs) await turn()
    const plan = planCall(context, placed, { tools, time })
    plans.push(plan.catch((error: unknown) => planUnchecked(context, placed, error)))
  }
  return Promise.all(plans)
}

/** The author's own code: a schema or an approval policy that throws, or had not answered when the run was interrupted. */
function planUnchecked(context: RunContext, placed: PlacedCall, error: unknown): CallPlan {
  if (!context.signal.aborted) {
    const fields = { tool: placed.call.name }
    logFault(context.logger, { error, message: 'checking a tool call failed', fields, level: 'error' })
  }
  return { ...placed, kind: 'refuse', code: 'tool_failed', message: 'The call could not be checked.' }
}

/** The arguments are checked before anything is waited for. */
async function planCall(
  context: RunContext,
  placed: PlacedCall,
  { tools, time }: { tools: Tools; time: TimeLeft },
): Promise<CallPlan> {
  const { call } = placed
  const tool = tools.get(call.name)
  if (!tool) return planForeign(context, placed, tools)
  const approvals = context.approvals.get(call.call_id) ?? []
  const decided = approvals.findLast(({ reason }) => reason !== 'question')
  if (decided && decided.status !== 'approved') return refuseDecided(placed, decided)
  const written = decided
    ? (decided.decision?.arguments ?? decided.arguments)
    : parseArguments(call.arguments)
  const parsed = typeof written === 'string' ? notJson(written) : sharing(time, () => tool.parse(written))
  if (!parsed.ok) {
    return refuseMisfit(context, placed, { code: 'tool_bad_arguments', message: parsed.message })
  }
  const input = parsed.value
  const run = (approvalId: string | null): CallPlan => ({
    ...placed,
    kind: 'run',
    tool,
    input,
    written,
    approvalId,
  })
  const record = context.calls.get(call.call_id)
  const latest = approvals.at(-1)
  // A person's word, an answer to its question too, allows one start: one that the ledger names was used by a holder that
  // died since.
  if (latest && latest.id !== record?.approval_id) return run(latest.id)
  if (record && tool.effect === 'write') {
    return { ...placed, kind: 'approve', input: written, reason: 'outcome_unknown' }
  }
  if (record) return run(record.approval_id)
  if (await callAuthor(context.signal, () => tool.needsApproval(input, approvalContext(context)))) {
    return { ...placed, kind: 'approve', input: written, reason: 'policy' }
  }
  return run(null)
}

/** A call of something that is no tool of the agent's. */
function planForeign(context: RunContext, placed: PlacedCall, tools: Tools): CallPlan {
  const { call } = placed
  const to = handoffTarget(context, call.name)
  if (to) return { ...placed, kind: 'handoff', to, why: reasonOf(call) }
  if (context.options.tools?.some(({ name }) => name === call.name)) {
    return { ...placed, kind: 'caller', input: parseArguments(call.arguments) }
  }
  const known = [...tools.keys()].join(', ')
  const message = `There is no tool named ${JSON.stringify(call.name)}. Known tools: ${known || 'none'}.`
  return refuseMisfit(context, placed, { code: 'tool_unknown', message })
}

const mayHaveTakenEffect = ' It had been started before and may have taken effect.'

/** The call does not fit the agent: it never did, or the agent is another one than when the call was made. */
function refuseMisfit(
  context: RunContext,
  placed: PlacedCall,
  { code, message }: { code: ErrorCode; message: string },
): CallPlan {
  const { call } = placed
  // Its reply is committed already: an earlier attempt made it.
  const isOld = placed.step < context.steps
  if (context.agentChanged && isOld) warnChanged(context, call.name)
  if (!mayHaveBegun(context, call.call_id)) return { ...placed, kind: 'refuse', code, message }
  return { ...placed, kind: 'refuse', code: 'outcome_unknown', message: message + mayHaveTakenEffect }
}

/** Whether a write was started before. Where its next start was given back unused, only the question about the first tells. */
function mayHaveBegun({ calls, approvals }: RunContext, callId: string): boolean {
  if (calls.get(callId)?.effect === 'write') return true
  return approvals.get(callId)?.some(({ reason }) => reason === 'outcome_unknown') === true
}

/** Why the model hands over, as far as it says so. */
function reasonOf(call: ToolCallItem): string {
  const parsed = parseArguments(call.arguments)
  const told = typeof parsed === 'object' && parsed !== null && 'reason' in parsed ? parsed.reason : undefined
  return typeof told === 'string' ? cutEnd(told, 500) : ''
}

/** A call that nobody let run, or not again. */
function refuseDecided(placed: PlacedCall, approval: CallApproval): CallPlan {
  const isRejected = approval.status === 'rejected'
  const reason = isRejected ? approval.decision?.reason : undefined
  const message = isRejected
    ? `A person rejected this call.${reason ? ` Reason: ${reason}` : ''}`
    : 'Nobody approved this call in time.'
  if (approval.reason === 'outcome_unknown') {
    return { ...placed, kind: 'refuse', code: 'outcome_unknown', message: message + mayHaveTakenEffect }
  }
  return { ...placed, kind: 'refuse', code: isRejected ? 'tool_rejected' : 'tool_expired', message }
}

function warnChanged(context: RunContext, toolName: string): void {
  const message = `The agent changed while the run waited: the call of ${toolName} no longer fits.`
  warn(context, 'agent_changed', message)
}

function notJson(text: string): { ok: false; message: string } {
  return { ok: false, message: `The arguments are not JSON of a sane depth: ${cutEnd(text, 200)}` }
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
