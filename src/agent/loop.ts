import type { EventDraft, PendingCall } from '../events.ts'
import type { ToolCallItem } from '../items.ts'
import type { StopReason } from '../run-state.ts'
import { act } from './act.ts'
import { RefusedInquiry } from './ask-model.ts'
import { exhaustedBudget, remindOfBudget, type Exhausted } from './budget.ts'
import { planCalls, type CallPlan, type PlacedCall } from './call-plan.ts'
import { conclude, filtered, refuseCalls, takeReply, type Progress, type Reply } from './conclude.ts'
import type { Batch, RunContext } from './context.ts'
import { countCorrections } from './output.ts'
import { plan } from './plan.ts'
import { parseArguments } from './reply-builder.ts'
import { route } from './route.ts'
import { completed, newApproval, suspended, type NewApproval } from './run-end.ts'
import { summarise } from './summarise.ts'
import { think, type Thought } from './think.ts'
import { planHandoff } from './handoff.ts'
import { warn } from './warn.ts'

/**
 * Route, plan, think, act, observe, until the run ends or waits for somebody: then it is committed so. Goes on wherever the committed
 * rows leave off. Throws an `Interruption`, the coded error of a model, or whatever a bug throws; the run is then still
 * open and the caller ends it.
 */
export async function runLoop(context: RunContext): Promise<void> {
  try {
    await takeSteps(context)
  } catch (error) {
    if (!(error instanceof RefusedInquiry)) throw error
    await endRefused(context, { message: error.message, items: [], stepEnd: undefined })
  }
}

async function takeSteps(context: RunContext): Promise<void> {
  if (context.attempt > 1 && (await recover(context)) === 'over') return
  if (context.unrouted) await route(context, context.unrouted)
  for (;;) {
    const exhausted = exhaustedBudget(context)
    if (exhausted !== undefined) return endAtBudget(context, exhausted)
    if (stepsCounted(context, context.steps) >= stepLimit(context)) return endAtSteps(context)
    await prepareStep(context)
    const thought = await think(context, { mayCall: true })
    if ((await observe(context, thought)) === 'over') return
  }
}

/** What comes before a model is asked: a summary of what no longer fits, the plan, a word on the budget. */
async function prepareStep(context: RunContext): Promise<void> {
  const { planning, history } = context.agent
  if (history.summarise) await summarise(context)
  if (planning) await plan(context)
  const reminder = remindOfBudget(context)
  if (!reminder) return
  await context.log.commit({ items: [{ step: context.steps, void: false, item: reminder }] })
}

/** Finishes the step that an earlier attempt left. */
async function recover(context: RunContext): Promise<Progress> {
  const open = openCalls(context)
  if (open.length === 0) {
    if (context.rescued && context.parentCallId === null) {
      const retry: EventDraft = { type: 'step.retry', step: context.steps, reason: 'node_lost' }
      await context.log.commit({ events: [retry], recovery: true })
    }
    return 'goes on'
  }
  const plans = await planCalls(context, open)
  const claims = claimsOf(plans)
  if (claims.length > 0) await context.log.commit({ claims, recovery: true })
  return carryOut(context, plans)
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

/** Commits a reply and carries out what it asks for. */
async function observe(context: RunContext, thought: Thought): Promise<Progress> {
  if (thought.kind === 'refused') {
    await endRefused(context, thought)
    return 'over'
  }
  // What a provider filters was not to be done either.
  const isOver = thought.calls.length === 0 || thought.reply.finishReason === 'content_filter'
  if (isOver) return conclude(context, thought, { stop: stopReasonOf(thought) })
  const step = context.steps
  const cut = thought.reply.finishReason === 'length' ? thought.calls.filter(mayBeCut) : []
  const placed = thought.calls.map((call, index) => ({ call, step, index }))
  const whole = cut.length === 0 ? placed : placed.filter(({ call }) => !cut.includes(call))
  const plans = await planCalls(context, whole)
  // Only now: the totals of a batch that waits would stand instead of newer ones of agents at work beside this one.
  const batch = takeReply(context, thought)
  refuseCalls(batch, { calls: cut, step, error: cutOff })
  batch.claims = claimsOf(plans)
  await context.log.commit(batch)
  return carryOut(context, plans)
}

const cutOff = {
  code: 'tool_bad_arguments',
  message:
    'The reply reached its output limit before the arguments of this call were whole: it was not carried out.',
}

/**
 * Whether the output limit may have cut a call: also one without arguments, which is what is left of a call that was cut behind
 * its name. Some providers and their clients make an empty object of that.
 */
function mayBeCut({ arguments: text }: ToolCallItem): boolean {
  const given = parseArguments(text)
  return typeof given !== 'object' || given === null || Object.keys(given).length === 0
}

/** Runs the calls of a step; then suspends, hands over, or ends with `client_tools`, where calls ask for that. */
async function carryOut(context: RunContext, plans: readonly CallPlan[]): Promise<Progress> {
  const asked = await act(context, plans)
  const approvals = [
    ...asked,
    ...plans.flatMap((one) => (one.kind === 'approve' ? [toApproval(context, one)] : [])),
  ]
  const callers = plans.flatMap((one) => (one.kind === 'caller' ? [toPending(one)] : []))
  const suspends = context.options.on_caller_tool === 'suspend'
  if (approvals.length > 0 || (callers.length > 0 && suspends)) {
    await context.log.commit(suspended(context, { approvals, pending: suspends ? callers : [] }))
    return 'over'
  }
  const handoff = planHandoff(context, plans)
  const batch = handoff?.batch ?? {}
  if (callers.length > 0) {
    await context.log.commit(
      completed(context, { batch, stop: 'client_tools', output: lastMessageIds(context) }),
    )
    return 'over'
  }
  if (handoff) await context.log.commit(batch)
  handoff?.complete()
  return 'goes on'
}

function toApproval(context: RunContext, one: Extract<CallPlan, { kind: 'approve' }>): NewApproval {
  const { call_id, name } = one.call
  return newApproval(context, { call_id, tool: name, arguments: one.input, reason: one.reason })
}

function toPending({ call, input }: Extract<CallPlan, { kind: 'caller' }>): PendingCall {
  return { call_id: call.call_id, name: call.name, arguments: input }
}

/** No steps are left: one last call of the model where the run may have it, else the run ends with what there is. */
async function endAtSteps(context: RunContext): Promise<void> {
  const force = context.options.force_answer ?? context.agent.forceAnswer
  const limit = `The limit of ${stepLimit(context)} steps was reached without a final answer.`
  warn(context, 'max_steps', force ? `${limit} Asking once more for an answer.` : limit)
  if (force) return forceAnswer(context, 'max_steps')
  await endWithWhatThereIs(context, 'max_steps')
}

/** A budget is used up. An answer without calls costs no tool calls; of all else there is nothing left. */
async function endAtBudget(context: RunContext, what: Exhausted): Promise<void> {
  const force = context.options.force_answer ?? context.agent.forceAnswer
  warn(context, 'budget', `The run has used up its budget: ${what}.`)
  if (force && what === 'toolCalls') return forceAnswer(context, 'budget')
  await endWithWhatThereIs(context, 'budget')
}

async function forceAnswer(context: RunContext, stop: StopReason): Promise<void> {
  for (;;) {
    const thought = await think(context, { mayCall: false })
    if (thought.kind === 'refused') return endRefused(context, thought)
    if ((await conclude(context, thought, { stop, forced: true })) === 'over') return
    const exhausted = exhaustedBudget(context)
    if (exhausted !== undefined && exhausted !== 'toolCalls') return endAtBudget(context, exhausted)
  }
}

async function endWithWhatThereIs(context: RunContext, stop: StopReason): Promise<void> {
  await context.log.commit(completed(context, { batch: {}, stop, output: lastMessageIds(context) }))
}

async function endRefused(
  context: RunContext,
  thought: Pick<Extract<Thought, { kind: 'refused' }>, 'message' | 'items' | 'stepEnd'>,
): Promise<void> {
  const step = context.steps
  if (thought.stepEnd) context.steps = step + 1
  const batch: Batch = {
    events: [...(thought.stepEnd ? [thought.stepEnd] : []), filtered(thought.message)],
    // Shown, but refused: kept for the replay and never sent to a model again.
    items: thought.items.map((item) => ({ step, void: true, item })),
  }
  await context.log.commit(completed(context, { batch, stop: 'content_filter', output: [] }))
}

function stopReasonOf(thought: Reply): StopReason {
  switch (thought.reply.finishReason) {
    case 'length':
      return 'max_output_tokens'
    case 'content_filter':
      return 'content_filter'
    default:
      return 'final'
  }
}

function lastMessageIds(context: RunContext): string[] {
  return context.items
    .filter((placed) => !placed.void && placed.item.type === 'message' && placed.step === context.steps - 1)
    .map(({ item }) => item.id)
}

function claimsOf(plans: readonly CallPlan[]): NonNullable<Batch['claims']> {
  return plans
    .filter((one) => one.kind === 'run')
    .map((one) => ({
      step: one.step,
      index: one.index,
      call_id: one.call.call_id,
      effect: one.tool.effect,
      approval_id: one.approvalId,
    }))
}

/** How many steps the run may have taken: an agent's own limit counts from where it took over, a request's from the start. */
function stepLimit(context: RunContext): number {
  const { agent, stepsBefore } = context
  const { max_steps: asked } = context.options
  const before = stepsCounted(context, stepsBefore)
  if (asked === undefined) return before + agent.maxSteps
  return Math.min(before + Math.min(asked, agent.overrides.maxStepsUpTo), asked)
}

/** Steps up to `end` without those whose answer was corrected: corrections have a limit of their own. */
function stepsCounted(context: RunContext, end: number): number {
  return end - countCorrections(context, end)
}
