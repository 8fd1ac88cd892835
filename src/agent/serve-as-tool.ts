import { AppError } from '../errors.ts'
import type { EventDraft } from '../events.ts'
import { createId } from '../ids.ts'
import { textOf, type PlacedItem } from '../items.ts'
import { logOutcome } from '../logger.ts'
import type { CallPlan } from './call-plan.ts'
import type { Batch, Completion, NewItem, RunContext, StepLog, Suspension } from './context.ts'
import { Interruption } from './context.ts'
import { cutText } from './cut-text.ts'
import type { Agent } from './definitions.ts'
import type { ToolOutcome } from './execute-tool.ts'
import { checkAnswer, outputInvalid, outputOf } from './output.ts'
import { createServedTotals, limitsOf } from './totals.ts'

type Plan = Extract<CallPlan, { kind: 'run' }>

/**
 * Lets an agent do the work of a tool call, within the same run: its items, calls and usage are the run's, under the call's id,
 * and what it shows is live progress of the call. It goes on where an earlier attempt left it. Its approvals, questions and
 * warnings are the run's.
 */
export async function serveCall(
  context: RunContext,
  { plan, agent }: { plan: Plan; agent: Agent },
): Promise<ToolOutcome> {
  const served = openServed(context, { plan, agent })
  let value: unknown
  try {
    if (isAnswered(served.context)) value = await checkAgain(served.context)
    else await context.drive(served.context)
  } catch (error) {
    if (isOver(context, error)) throw error
    return failed(context, plan, error)
  }
  const end = served.end()
  if (end?.status === 'suspended') return { kind: 'asks', approvals: end.approvals }
  value ??= end?.output_parsed
  const answer = value === undefined ? answerOf(served.context, end) : JSON.stringify(value)
  const output = cutText(answer, plan.tool.maxOutputChars)
  return { kind: 'result', output, settled: 'committed' }
}

interface Served {
  context: RunContext
  /** How its loop ended; undefined where it had before. */
  end(): Completion | Suspension | undefined
}

function openServed(context: RunContext, { plan, agent }: { plan: Plan; agent: Agent }): Served {
  const callId = plan.call.call_id
  const items: PlacedItem[] = [taskItem(context, plan), ...(context.served.get(callId) ?? [])]
  const { log, end } = openLog(context, { callId, items, agent })
  const { run_context } = context.options
  const totals = createServedTotals(context.totals, context.clock)
  const served: RunContext = {
    ...context,
    called: agent,
    agent,
    models: context.directory.modelsOf(agent, undefined),
    options: run_context === undefined ? {} : { run_context },
    history: () => Promise.resolve({ items: [], complete: true }),
    items,
    totals,
    budgets: [...context.budgets, ...limitsOf([agent], totals)],
    toolsFound: null,
    steps: stepsOf(items),
    stepsBefore: 0,
    unrouted: null,
    parentCallId: callId,
    log,
    logger: context.logger.child({ agent: agent.name, call_id: callId }),
  }
  return { context: served, end }
}

/** What it is asked to do. Not stored: it is the call's arguments. */
function taskItem(context: RunContext, plan: Plan): PlacedItem {
  // Parsed by the tool that `asTool()` made.
  const { task } = plan.input as { task: string }
  return {
    run_id: context.runId,
    position: -1,
    step: null,
    void: false,
    parent_call_id: plan.call.call_id,
    item: { type: 'message', id: createId('item'), role: 'user', content: [{ type: 'text', text: task }] },
  }
}

/**
 * Its way into the run's log: what it is warned of is the run's, what else it shows is progress of the call, what it commits
 * belongs to the call.
 */
function openLog(
  context: RunContext,
  { callId, items, agent }: { callId: string; items: PlacedItem[]; agent: Agent },
): { log: StepLog; end: Served['end'] } {
  const outer = context.log
  let ended: Completion | Suspension | undefined
  const show = (event: EventDraft) => {
    if (!isOfTheRun(event)) outer.progress({ type: 'tool.progress', call_id: callId, event: { ...event } })
  }
  // What an agent made that serves this one as a tool is tagged already.
  const tag = (batch: Pick<Batch, 'items' | 'events'>, isVoid: boolean) => {
    const tagged: Pick<Batch, 'items' | 'events'> = {}
    const place = (item: NewItem) => ({ parentCallId: callId, ...item, void: isVoid || item.void })
    if (batch.items) tagged.items = batch.items.map(place)
    const warnings = batch.events?.filter(isOfTheRun) ?? []
    if (warnings.length > 0) {
      tagged.events = warnings.map((event) => ({ ...event, message: `${agent.name}: ${event.message}` }))
    }
    return tagged
  }
  const log: StepLog = {
    emit: show,
    progress: (event) => outer.progress({ type: 'tool.progress', call_id: callId, event: { ...event } }),
    defer(batch) {
      for (const event of batch.events ?? []) show(event)
      // Of a reply that was cut or will not do. The call's result comes later: an attempt between must not take it for an answer.
      const left: Pick<Batch, 'items' | 'events' | 'settled'> = tag(batch, true)
      if (batch.settled) left.settled = batch.settled
      outer.defer(left)
    },
    async commit({ events = [], end, agent: _agent, plan: _plan, steps: _steps, ...batch }) {
      if (end && end.status !== 'queued') ended = end
      // Nor must it half an answer.
      const isHalf = ended !== undefined && ended.status !== 'suspended' && !isWhole(ended)
      const rest: Batch = { ...batch, ...tag({ ...batch, events }, isHalf) }
      // A suspension alone has nothing to write: the run's own says it.
      if (Object.keys(rest).some((key) => key !== 'usage' && key !== 'spent')) await outer.commit(rest)
      for (const { step, void: isVoid, item, parentCallId } of batch.items ?? []) {
        if (parentCallId !== undefined) continue
        const position = items.length
        items.push({ run_id: context.runId, position, step, void: isVoid, parent_call_id: callId, item })
      }
      for (const event of events) show(event)
    },
  }
  return { log, end: () => ended }
}

/** Its own answer's: the call's result says what became of that. Readers of the run would take them for the run's answer. */
const warningsOfAnswer: readonly string[] = ['output_invalid', 'max_steps', 'budget', 'content_filter']

function isOfTheRun(event: EventDraft): event is Extract<EventDraft, { type: 'warning' }> {
  return event.type === 'warning' && !warningsOfAnswer.includes(event.code)
}

function stepsOf(items: readonly PlacedItem[]): number {
  let steps = 0
  for (const { step, void: isVoid, item } of items) {
    // Notes stand before the reply of their step; what is void is of a try whose step is still to come.
    if (step !== null && !isVoid && item.type !== 'note') steps = Math.max(steps, step + 1)
  }
  return steps
}

/** Whether an earlier attempt saw its whole answer: the last thing that was said, and nothing was called. */
function isAnswered(served: RunContext): boolean {
  const last = served.items.findLast((placed) => !placed.void)
  if (!last || last.step === null || last.step !== served.steps - 1) return false
  if (last.item.type !== 'message' && last.item.type !== 'reasoning') return false
  return !served.items.some(({ item, step }) => item.type === 'tool_call' && step === last.step)
}

/** The value of an answer that an earlier attempt saw; undefined where it need not satisfy a schema. */
async function checkAgain(served: RunContext): Promise<unknown> {
  const output = outputOf(served)
  if (!output) return undefined
  const items = served.items
    .filter((one) => one.step === served.steps - 1 && !one.void)
    .map(({ item }) => item)
  const verdict = await checkAnswer(served, { output, items, cut: false })
  if (verdict.ok) return verdict.value
  throw outputInvalid(verdict)
}

/** What the model that called it reads. `end` is undefined where an earlier attempt saw the answer. */
function answerOf(served: RunContext, end: Completion | undefined): string {
  const last = served.steps - 1
  const text = served.items
    .filter(({ item, step, void: isVoid }) => item.type === 'message' && step === last && !isVoid)
    .map(({ item }) => (item.type === 'message' ? textOf(item) : ''))
    .join('')
  if (!end || isWhole(end)) return text === '' ? 'The agent gave no answer.' : text
  // Half an answer must not pass for a whole one.
  const note = `[The agent ended before it had an answer: ${end.stop_reason}.]`
  return text === '' ? note : `${text}\n${note}`
}

function isWhole({ stop_reason, forced, output_parsed }: Completion): boolean {
  return stop_reason === 'final' || forced === true || output_parsed !== undefined
}

/** The run was interrupted, or its log cannot be written: not the agent's failure. */
function isOver({ signal }: RunContext, error: unknown): boolean {
  if (signal.aborted || error instanceof Interruption) return true
  return AppError.is(error) && error.code === 'store_unavailable'
}

/** Its failure is the tool's: the model reads that it failed, not what a provider said. */
function failed(context: RunContext, plan: Plan, error: unknown): ToolOutcome {
  const failure = AppError.from(error)
  const { code, message } = failure
  const fields = { tool: plan.tool.name }
  if (code === 'internal')
    logOutcome(context.logger, { error, message: 'agent as tool failed: bug', fields, level: 'error' })
  else logOutcome(context.logger, { error, message: 'agent as tool failed', fields })
  return {
    kind: 'result',
    output: `Error: ${message}`,
    error: { code: 'tool_failed', message },
    settled: 'committed',
  }
}
