import { sleep } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { ApprovalQuestion, ToolProgressEvent } from '../events.ts'
import { logFault } from '../logger.ts'
import type { RunError } from '../run-state.ts'
import type { CallPlan } from './call-plan.ts'
import { approvalContext } from './call-plan.ts'
import type { RunContext } from './context.ts'
import { cutText } from './cut-text.ts'
import type { Answer, Question, ToolContext } from './definitions.ts'
import { graceMs } from './grace.ts'
import { answersIn, maxQuestions, toAnswer, toApprovalQuestion } from './question.ts'
import type { NewApproval } from './run-end.ts'
import { cacheFor } from './tool-cache.ts'

export type ToolOutcome =
  | { kind: 'result'; output: string; error?: RunError; settled: 'committed' | 'unknown' }
  /** The run was interrupted and the tool did not end within its second. */
  | { kind: 'lost' }
  /** It wants to know something before it goes on. */
  | { kind: 'question'; question: ApprovalQuestion }
  /** An agent that serves as the tool waits for these. */
  | { kind: 'asks'; approvals: NewApproval[] }

const maxErrorChars = 2_000
/** The wait before a further try doubles up to this. */
const maxRetryDelayMs = 60_000

type Plan = Extract<CallPlan, { kind: 'run' }>
type Ending =
  | { ended: 'value'; value: unknown }
  | { ended: 'thrown'; error: unknown }
  | { ended: 'timeout' | 'lost' }
  | { ended: 'question'; question: ApprovalQuestion }

/**
 * Runs one tool. Whatever it does, throwing, hanging or answering with too much, comes back as a result the model can
 * read. A `write` whose end we did not see is `outcome_unknown`, so that the model is not invited to repeat it.
 */
export async function executeTool(context: RunContext, plan: Plan): Promise<ToolOutcome> {
  const cache = cacheFor(context, plan)
  const kept = cache?.find()
  if (kept !== undefined) return { kind: 'result', output: kept, settled: 'committed' }
  const ending = await settleWithRetries(context, plan)
  switch (ending.ended) {
    case 'value': {
      const outcome = succeed(plan, ending.value)
      if (outcome.kind === 'result' && !outcome.error) cache?.keep(outcome.output)
      return outcome
    }
    case 'thrown':
      return fail(context, plan, ending.error)
    case 'timeout':
      return timedOut(plan)
    case 'lost':
      return { kind: 'lost' }
    case 'question':
      return { kind: 'question', question: ending.question }
    default:
      return ending satisfies never
  }
}

async function settleWithRetries(context: RunContext, plan: Plan): Promise<Ending> {
  const { times, delayMs } = plan.tool.retries
  for (let failures = 0; ; failures++) {
    const ending = await settle(context, plan)
    if (!isWorthRetrying(ending) || failures >= times || context.signal.aborted) return ending
    const waitMs = Math.min(delayMs * 2 ** failures, maxRetryDelayMs)
    noteFailure(context, { plan, ending, waitMs })
    await sleep({ clock: context.clock, ms: waitMs, signal: context.signal })
    if (context.signal.aborted) return { ended: 'lost' }
  }
}

function noteFailure(
  { logger }: RunContext,
  { plan, ending, waitMs }: { plan: Plan; ending: Ending; waitMs: number },
): void {
  const { call_id, name: tool } = plan.call
  const fields = { tool, call_id, wait_ms: waitMs }
  const message = 'tool failed, trying again'
  if (ending.ended === 'thrown') logFault(logger, { error: ending.error, message, fields })
  else logger.warn({ ...fields, err: ending.ended }, message)
}

/** A tool that throws a coded error says itself whether the same may go well later. */
function isWorthRetrying(ending: Ending): boolean {
  if (ending.ended !== 'thrown') return ending.ended === 'timeout'
  return !AppError.is(ending.error) || ending.error.retryable
}

/** Resolves with the first of: the tool's end, its timeout, its question, a second after the run was interrupted. */
function settle(context: RunContext, plan: Plan): Promise<Ending> {
  const { clock } = context
  const controller = new AbortController()
  return new Promise((resolve) => {
    const forgets: (() => void)[] = []
    let over = false
    const end = (ending: Ending) => {
      over = true
      for (const forget of forgets) forget()
      resolve(ending)
    }
    const interrupt = () => {
      controller.abort(context.signal.reason)
      forgets.push(clock.after(graceMs, () => end({ ended: 'lost' })))
    }
    if (plan.tool.timeoutMs !== null) {
      forgets.push(
        clock.after(plan.tool.timeoutMs, () => {
          controller.abort(new DOMException('The tool took too long.', 'TimeoutError'))
          end({ ended: context.signal.aborted ? 'lost' : 'timeout' })
        }),
      )
    }
    context.signal.addEventListener('abort', interrupt)
    forgets.push(() => context.signal.removeEventListener('abort', interrupt))
    if (context.signal.aborted) interrupt()
    const progress: ToolContext['progress'] = (shown) => {
      if (!over) context.log.progress(progressEvent(plan.call.call_id, shown))
    }
    const ask = asker(context, {
      plan,
      signal: controller.signal,
      isOver: () => over,
      giveUp(question, reason) {
        end({ ended: 'question', question })
        controller.abort(reason)
      },
    })
    call(plan, toolContext(context, { plan, signal: controller.signal, progress, ask })).then(
      (value) => end({ ended: 'value', value }),
      // A tool that gives up because the run was interrupted has told us nothing of what it did before.
      (error: unknown) => end(context.signal.aborted ? { ended: 'lost' } : { ended: 'thrown', error }),
    )
  })
}

async function call(plan: Plan, context: ToolContext): Promise<unknown> {
  return plan.tool.execute(plan.input, context)
}

/** Takes what progress is made of and nothing else: a tool in JavaScript must not be able to write other events. */
function progressEvent(
  call_id: string,
  { progress, total, message }: Parameters<ToolContext['progress']>[0],
): ToolProgressEvent {
  return {
    type: 'tool.progress',
    call_id,
    ...(Number.isFinite(progress) ? { progress } : {}),
    ...(Number.isFinite(total) ? { total } : {}),
    ...(typeof message === 'string' ? { message } : {}),
  }
}

function toolContext(
  context: RunContext,
  input: { plan: Plan } & Pick<ToolContext, 'signal' | 'progress' | 'ask'>,
): ToolContext {
  const { plan, signal, progress, ask } = input
  const { call_id } = plan.call
  const base = context.parentCallId === null ? context.runId : `${context.runId}-${context.parentCallId}`
  return {
    ...approvalContext(context),
    signal,
    idempotencyKey: `${base}-${plan.step}-${plan.index}`,
    callId: call_id,
    progress,
    ask,
    log: (message, fields) => context.logger.info({ tool: plan.tool.name, call_id, fields }, message),
  }
}

/** `ask` of one try: what was answered is given, anything else is asked and the try given up. */
function asker(
  context: RunContext,
  options: {
    plan: Plan
    signal: AbortSignal
    isOver: () => boolean
    giveUp: (question: ApprovalQuestion, reason: DOMException) => void
  },
): ToolContext['ask'] {
  const { plan, signal, isOver, giveUp } = options
  const answers = answersIn(context.approvals.get(plan.call.call_id))
  const ask = async (given: Question): Promise<Answer> => {
    signal.throwIfAborted()
    if (isOver()) throw new Error('The tool has ended: its call cannot ask any more.')
    const question = toApprovalQuestion(given)
    const answered = answers.take(question)
    if (answered) return toAnswer(answered)
    if (answers.count >= maxQuestions) throw new Error(`A call may ask ${maxQuestions} times.`)
    const reason = new DOMException('The run waits for an answer; the tool runs again then.', 'AbortError')
    giveUp(question, reason)
    throw reason
  }
  return (given) => {
    const asked = ask(given)
    // A tool that does not wait for what it asks must not end the process.
    asked.catch((error: unknown) => {
      if (error !== signal.reason)
        logFault(context.logger, { error, message: 'asking failed', fields: { tool: plan.tool.name } })
    })
    return asked
  }
}

function succeed(plan: Plan, value: unknown): ToolOutcome {
  let output: string
  try {
    output = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  } catch {
    // A result that has no JSON (a cycle, a bigint) is the tool's fault; it did run.
    const message = 'The tool ran, but its result cannot be written as JSON.'
    return {
      kind: 'result',
      output: `Error: ${message}`,
      error: { code: 'tool_failed', message },
      settled: 'committed',
    }
  }
  return { kind: 'result', output: cutText(output, plan.tool.maxOutputChars), settled: 'committed' }
}

/** Codes that a tool may give its failure by throwing an `AppError`. */
const ownCodes: readonly string[] = [
  'tool_failed',
  'tool_timeout',
  'tool_refused',
  'tool_bad_arguments',
  'outcome_unknown',
]

function fail(context: RunContext, plan: Plan, error: unknown): ToolOutcome {
  logFault(context.logger, { error, message: 'tool failed', fields: { tool: plan.tool.name } })
  if (AppError.is(error) && ownCodes.includes(error.code)) return failWith(error.code, textOf(error))
  // The text is the tool author's word to the model; the event carries only the code's own.
  const output = `Error: ${cutText(textOf(error) || 'The tool failed.', maxErrorChars)}`
  return {
    kind: 'result',
    output,
    error: { code: 'tool_failed', message: 'The tool failed.' },
    settled: 'committed',
  }
}

/** What was thrown, in words. Anything can be thrown, also what has none. */
function textOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error)
  } catch {
    return ''
  }
}

function timedOut(plan: Plan): ToolOutcome {
  const seconds = (plan.tool.timeoutMs ?? 0) / 1000
  const message = `No answer within ${seconds} s.`
  if (plan.tool.effect !== 'write') return failWith('tool_timeout', message)
  const unknown = 'Whether the call took effect is not known: do not repeat it before you have checked.'
  return failWith('outcome_unknown', `${message} ${unknown}`)
}

/** A failure whose text anybody may read. */
function failWith(code: string, text: string): ToolOutcome {
  const message = cutText(text, maxErrorChars)
  const isUnknown = code === 'outcome_unknown'
  return {
    kind: 'result',
    output: isUnknown ? message : `Error: ${message}`,
    error: { code, message },
    settled: isUnknown ? 'unknown' : 'committed',
  }
}
