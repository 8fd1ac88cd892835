import { sleep } from '../clock.ts'
import { traceOf } from '../logger.ts'
import type { ToolProgressEvent } from '../events.ts'
import type { RunError } from '../run-state.ts'
import type { CallPlan } from './call-plan.ts'
import { approvalContext } from './call-plan.ts'
import type { RunContext } from './context.ts'
import type { Answer, Question, ToolContext } from './definitions.ts'
import type { NewApproval } from './run-end.ts'
import { cachedResult, keepResult } from './tool-cache.ts'

export type ToolOutcome =
  | { kind: 'result'; output: string; error?: RunError; settled: 'committed' | 'unknown' }
  /** The run was interrupted and the tool did not end within its second. */
  | { kind: 'lost' }
  /** It wants to know something before it goes on. */
  | { kind: 'question'; question: Question; input: unknown }
  /** An agent that serves as the tool waits for these. */
  | { kind: 'asks'; approvals: NewApproval[] }

/** How long a tool may go on after its signal fired because the run was interrupted. */
const graceMs = 1_000
const maxErrorChars = 2_000

type Plan = Extract<CallPlan, { kind: 'run' }>
type Ending =
  | { ended: 'value'; value: unknown }
  | { ended: 'thrown'; error: unknown }
  | { ended: 'timeout' | 'lost' }
  | { ended: 'question'; question: Question }

/**
 * Runs one tool. Whatever it does, throwing, hanging or answering with too much, comes back as a result the model can
 * read. A `write` whose end we did not see is `outcome_unknown`, so that the model is not invited to repeat it.
 */
export async function executeTool(context: RunContext, plan: Plan): Promise<ToolOutcome> {
  const kept = cachedResult(context, plan)
  if (kept !== undefined) return { kind: 'result', output: kept, settled: 'committed' }
  const ending = await settleWithRetries(context, plan)
  switch (ending.ended) {
    case 'value': {
      const outcome = succeed(plan, ending.value)
      if (outcome.kind === 'result' && !outcome.error) keepResult(context, plan, outcome.output)
      return outcome
    }
    case 'thrown':
      return fail(context, plan, ending.error)
    case 'timeout':
      return timedOut(plan)
    case 'lost':
      return { kind: 'lost' }
    case 'question':
      return { kind: 'question', question: ending.question, input: plan.input }
    default:
      return ending satisfies never
  }
}

async function settleWithRetries(context: RunContext, plan: Plan): Promise<Ending> {
  const { times, delayMs } = plan.tool.retries
  for (let failures = 0; ; failures++) {
    const ending = await settle(context, plan)
    const failed = ending.ended === 'thrown' || ending.ended === 'timeout'
    if (!failed || failures >= times || context.signal.aborted) return ending
    if (ending.ended === 'thrown') {
      context.logger.warn({ err: traceOf(ending.error), tool: plan.tool.name }, 'tool failed, trying again')
    }
    await sleep({ clock: context.clock, ms: delayMs * 2 ** failures, signal: context.signal })
    if (context.signal.aborted) return { ended: 'lost' }
  }
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
    const answers = answersOf(context, plan.call.call_id)
    const ask: ToolContext['ask'] = async (question) => {
      const answer = answers.shift()
      if (answer) return answer
      const given = new DOMException('The run waits for an answer; the tool runs again then.', 'AbortError')
      controller.abort(given)
      end({ ended: 'question', question })
      throw given
    }
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

/** What people answered to the questions of a call, in the order it asked them. */
function answersOf(context: RunContext, callId: string): Answer[] {
  const questions = (context.approvals.get(callId) ?? []).filter(({ reason }) => reason === 'question')
  return questions.map(({ status, decision }): Answer => {
    if (status === 'answered') return { action: 'accept', content: decision?.answer }
    if (status !== 'rejected') return { action: 'cancel' }
    return { action: 'decline', ...(decision?.reason === undefined ? {} : { reason: decision.reason }) }
  })
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

function fail(context: RunContext, plan: Plan, error: unknown): ToolOutcome {
  context.logger.warn({ err: traceOf(error), tool: plan.tool.name }, 'tool failed')
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
  if (plan.tool.effect === 'write') {
    const message = `No answer within ${seconds} s. Whether the call took effect is not known: do not repeat it before you have checked.`
    return {
      kind: 'result',
      output: message,
      error: { code: 'outcome_unknown', message },
      settled: 'unknown',
    }
  }
  const message = `No answer within ${seconds} s.`
  return {
    kind: 'result',
    output: `Error: ${message}`,
    error: { code: 'tool_timeout', message },
    settled: 'committed',
  }
}

/** Keeps the beginning and says how much is missing. Never ends in half a character. */
export function cutText(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text
  const kept = text.slice(0, maxChars).replace(/[\uD800-\uDBFF]$/, '')
  return `${kept}\n[cut: ${text.length - kept.length} of ${text.length} characters are missing]`
}
