import type { ApprovalRequest, EventDraft } from '../events.ts'
import { createId } from '../ids.ts'
import { toIsoDate } from '../clock.ts'
import type { ToolCallItem } from '../items.ts'
import { addUsage, type StopReason } from '../run-state.ts'
import { act } from './act.ts'
import { inputHash, planCalls, type CallPlan, type PlacedCall } from './call-plan.ts'
import type { Batch, RunContext, RunOutcome } from './context.ts'
import { think, type Thought } from './think.ts'

/**
 * Think, act, observe, until the run ends or waits for somebody: then it is committed so. Goes on wherever the committed
 * rows leave off. Throws an `Interruption`, the coded error of a model, or whatever a bug throws; the run is then still
 * open and the caller ends it.
 */
export async function runLoop(context: RunContext): Promise<void> {
  if (context.attempt > 1 && (await recover(context))) return
  const maxSteps = stepLimit(context)
  while (context.steps < maxSteps) {
    const thought = await think(context, { offerTools: true })
    if (await observe(context, thought)) return
  }
  await endAtLimit(context, maxSteps)
}

/** Finishes the step that an earlier attempt left. True: the run has ended or waits. */
async function recover(context: RunContext): Promise<boolean> {
  const open = openCalls(context)
  if (open.length === 0) {
    if (context.rescued) {
      const retry: EventDraft = { type: 'step.retry', step: context.steps, reason: 'node_lost' }
      await context.log.commit({ events: [retry], recovery: true })
    }
    return false
  }
  const plans = await planCalls(context, open)
  const claims = claimsOf(plans)
  if (claims.length > 0) await context.log.commit({ claims, recovery: true })
  await act(context, plans)
  return pause(context, plans)
}

/** Calls of the last committed reply that have no result. */
function openCalls(context: RunContext): PlacedCall[] {
  const step = context.steps - 1
  const results = new Set<string>()
  const calls: ToolCallItem[] = []
  for (const placed of context.items) {
    if (placed.void) continue
    if (placed.item.type === 'tool_result') results.add(placed.item.call_id)
    else if (placed.item.type === 'tool_call' && placed.step === step) calls.push(placed.item)
  }
  return calls.map((call, index) => ({ call, step, index })).filter(({ call }) => !results.has(call.call_id))
}

/** Commits a reply and carries out what it asks for. True: the run has ended or waits. */
async function observe(context: RunContext, thought: Thought): Promise<boolean> {
  if (thought.kind === 'refused') {
    await endRefused(context, thought)
    return true
  }
  const step = context.steps
  const batch = takeReply(context, thought)
  if (thought.calls.length === 0) {
    const stop = stopReasonOf(thought)
    if (stop === 'content_filter') batch.events?.push(filtered('The model provider filtered the answer.'))
    await context.log.commit(completed(context, { batch, stop, output: messageIds(thought) }))
    return true
  }
  const plans = await planCalls(
    context,
    thought.calls.map((call, index) => ({ call, step, index })),
  )
  batch.claims = claimsOf(plans)
  await context.log.commit(batch)
  await act(context, plans)
  return pause(context, plans)
}

/** The batch that commits a reply; the run's totals move on with it. */
function takeReply(context: RunContext, thought: Extract<Thought, { kind: 'reply' }>): Batch {
  const step = context.steps
  context.steps = step + 1
  if (thought.reply.usage) context.usage = addUsage(context.usage, thought.reply.usage)
  return {
    events: [thought.stepEnd],
    items: thought.items.map((item) => ({ step, void: false, item })),
    usage: context.usage,
    steps: context.steps,
  }
}

/** Suspends, or ends with `client_tools`, where calls wait for somebody else. */
async function pause(context: RunContext, plans: readonly CallPlan[]): Promise<boolean> {
  const approvals = plans.filter((plan) => plan.kind === 'approve')
  const callers = plans.filter((plan) => plan.kind === 'caller')
  const suspends = context.options.on_caller_tool === 'suspend'
  if (approvals.length > 0 || (callers.length > 0 && suspends)) {
    await suspend(context, { approvals, callers: suspends ? callers : [] })
    return true
  }
  if (callers.length === 0) return false
  const batch: Batch = { events: [], usage: context.usage, steps: context.steps }
  await context.log.commit(
    completed(context, { batch, stop: 'client_tools', output: lastMessageIds(context) }),
  )
  return true
}

async function suspend(
  context: RunContext,
  input: {
    approvals: Extract<CallPlan, { kind: 'approve' }>[]
    callers: Extract<CallPlan, { kind: 'caller' }>[]
  },
): Promise<void> {
  const now = context.clock.now()
  const { approvalTimeoutMs } = context.agent
  const expiresAt = approvalTimeoutMs === null ? null : now + approvalTimeoutMs
  const approvals = input.approvals.map((plan): ApprovalRequest => ({
    id: createId('appr'),
    call_id: plan.call.call_id,
    tool: plan.call.name,
    arguments: plan.input,
    reason: plan.reason,
    expires_at: expiresAt === null ? null : toIsoDate(expiresAt),
  }))
  const pending = input.callers.map((plan) => ({
    call_id: plan.call.call_id,
    name: plan.call.name,
    arguments: plan.input,
  }))
  await context.log.commit({
    events: [{ type: 'run.suspend', approvals, tool_calls: pending }],
    end: {
      status: 'suspended',
      approvals: approvals.map((approval) => ({ ...approval, created_at: now, expires_at_ms: expiresAt })),
      pending_calls: pending,
    },
  })
}

/** No steps are left: one last call without tools where the run may have it, else the run ends with what there is. */
async function endAtLimit(context: RunContext, maxSteps: number): Promise<void> {
  const force = context.options.force_answer ?? context.agent.forceAnswer
  const message = `The limit of ${maxSteps} steps was reached without a final answer.${force ? ' Asking once more without tools.' : ''}`
  context.log.defer({ events: [{ type: 'warning', code: 'max_steps', message }] })
  if (!force) {
    const batch: Batch = { events: [], usage: context.usage, steps: context.steps }
    await context.log.commit(
      completed(context, { batch, stop: 'max_steps', output: lastMessageIds(context) }),
    )
    return
  }
  const thought = await think(context, { offerTools: false })
  if (thought.kind === 'refused') return endRefused(context, thought)
  const batch = takeReply(context, thought)
  const output = messageIds(thought)
  await context.log.commit(completed(context, { batch, stop: 'max_steps', output, forced: true }))
}

async function endRefused(
  context: RunContext,
  thought: Extract<Thought, { kind: 'refused' }>,
): Promise<void> {
  const events = thought.stepEnd ? [thought.stepEnd] : []
  const step = context.steps
  if (thought.stepEnd) context.steps = step + 1
  if (thought.usage) context.usage = addUsage(context.usage, thought.usage)
  const batch: Batch = {
    events: [...events, filtered(thought.message)],
    // Shown, but refused: kept for the replay and never sent to a model again.
    items: thought.items.map((item) => ({ step, void: true, item })),
    usage: context.usage,
    steps: context.steps,
  }
  await context.log.commit(completed(context, { batch, stop: 'content_filter', output: [] }))
}

function filtered(message: string): EventDraft {
  return { type: 'warning', code: 'content_filter', message }
}

function completed(
  context: RunContext,
  input: { batch: Batch; stop: StopReason; output: string[]; forced?: boolean },
): Batch {
  const { batch, stop, output } = input
  const forced = input.forced ? { forced: true as const } : {}
  const end: RunOutcome = { status: 'completed', stop_reason: stop, error: null, output, ...forced }
  const event: EventDraft = {
    type: 'run.end',
    status: 'completed',
    stop_reason: stop,
    ...forced,
    output,
    usage: context.usage,
    steps: context.steps,
    error: null,
  }
  return { ...batch, events: [...(batch.events ?? []), event], end }
}

function stopReasonOf(thought: Extract<Thought, { kind: 'reply' }>): StopReason {
  switch (thought.reply.finishReason) {
    case 'length':
      return 'max_output_tokens'
    case 'content_filter':
      return 'content_filter'
    default:
      return 'final'
  }
}

function messageIds(thought: Extract<Thought, { kind: 'reply' }>): string[] {
  return thought.items.filter((item) => item.type === 'message').map(({ id }) => id)
}

function lastMessageIds(context: RunContext): string[] {
  return context.items
    .filter((placed) => !placed.void && placed.item.type === 'message' && placed.step === context.steps - 1)
    .map(({ item }) => item.id)
}

function claimsOf(plans: readonly CallPlan[]): NonNullable<Batch['claims']> {
  return plans
    .filter((plan) => plan.kind === 'run')
    .map((plan) => ({
      step: plan.step,
      index: plan.index,
      call_id: plan.call.call_id,
      input_hash: inputHash(plan.call.name, plan.input),
      effect: plan.tool.effect,
      approval_id: plan.approvalId,
    }))
}

function stepLimit(context: RunContext): number {
  return Math.min(context.options.max_steps ?? context.agent.maxSteps, context.agent.overrides.maxStepsUpTo)
}
