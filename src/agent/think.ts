import { sleep } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { EventDraft } from '../events.ts'
import type { Item, ToolCallItem } from '../items.ts'
import { traceOf } from '../logger.ts'
import type { Model, ModelPart, ModelReply, ModelRequest, ModelStreamOptions } from '../models/model.ts'
import type { Usage } from '../run-state.ts'
import { callAuthor, orAborted } from './author-code.ts'
import type { RunContext } from './context.ts'
import { hookContext } from './hook-context.ts'
import { createReplyBuilder, type ReplyBuilder } from './reply-builder.ts'
import { prepareRequest } from './request.ts'

export type Thought =
  | {
      kind: 'reply'
      items: Item[]
      calls: ToolCallItem[]
      reply: ModelReply
      /** Goes with the commit of the reply. */
      stepEnd: EventDraft
    }
  /** A hook said no: to the request, or to a reply whose items were shown already and are kept. */
  | {
      kind: 'refused'
      message: string
      items: Item[]
      usage: Usage | null
      stepEnd: EventDraft | undefined
    }

/** The longest wait a provider may ask for; beyond it the run fails now rather than hang. */
const maxRetryAfterMs = 60_000
const firstBackoffMs = 500
const maxBackoffMs = 8_000

/**
 * One model reply for the run's next step, streamed into the log. Tries again what may pass. Throws the coded error of the
 * last try, or an `Interruption`; what was streamed by then is left with the log, as partial items.
 */
export async function think(context: RunContext, options: { offerTools: boolean }): Promise<Thought> {
  let prepared = await prepareRequest(context, options)
  if ('refused' in prepared) return refusedBefore(prepared.refused)
  context.signal.throwIfAborted()
  startStep(context)
  let trimmed = false
  for (let tries = 1; ; tries++) {
    const reply = createReplyBuilder({ log: context.log, provider: context.model.provider })
    try {
      return await askOnce(context, { request: prepared.request, reply })
    } catch (error) {
      if (context.signal.aborted) {
        keep(context, reply.abandon(), false)
        throw context.signal.reason
      }
      const failure = AppError.from(error)
      const trim = failure.code === 'context_length_exceeded' && prepared.turns > 0 && !trimmed
      if (!trim && (!failure.retryable || tries >= context.agent.modelTries || tooLong(failure))) {
        keep(context, reply.abandon(), false)
        throw failure
      }
      await noteRetry(context, { failure, reply, tries })
      if (trim) {
        trimmed = true
        prepared = await prepareRequest(context, { ...options, maxTurns: Math.floor(prepared.turns / 2) })
        if ('refused' in prepared) return refusedBefore(prepared.refused)
      } else {
        await sleep({ clock: context.clock, ms: backoffMs(failure, tries), signal: context.signal })
        context.signal.throwIfAborted()
      }
    }
  }
}

function refusedBefore(message: string): Thought {
  return { kind: 'refused', message, items: [], usage: null, stepEnd: undefined }
}

function startStep(context: RunContext): void {
  context.log.emit({ type: 'step.start', step: context.steps, model: context.model.id })
}

async function askOnce(
  context: RunContext,
  input: { request: ModelRequest; reply: ReplyBuilder },
): Promise<Thought> {
  const { clock } = context
  const { reply } = input
  const began = clock.monotonic()
  let firstAt: number | undefined
  const { signal, model } = context
  let over = false
  const emit = (part: ModelPart) => {
    // A model that goes on after its end, or after the signal, writes into nothing.
    if (over || signal.aborted) return
    firstAt ??= clock.monotonic()
    reply.push(part)
  }
  const end = await orAborted(startStream(model, input.request, { emit, signal }), signal).finally(() => {
    over = true
  })
  signal.throwIfAborted()
  const items = reply.finish()
  const stepEnd: EventDraft = {
    type: 'step.end',
    step: context.steps,
    finish_reason: end.finishReason,
    usage: end.usage,
    timings: {
      first_token: firstAt === undefined ? null : round(firstAt - began),
      total: round(clock.monotonic() - began),
    },
  }
  const { hooks } = context.agent
  const refusal =
    hooks.afterModel &&
    (await callAuthor(signal, () => hooks.afterModel?.({ items, reply: end }, hookContext(context))))
  if (refusal) {
    return { kind: 'refused', message: refusal.refuse.message, items, usage: end.usage, stepEnd }
  }
  const calls = items.filter((item) => item.type === 'tool_call')
  return { kind: 'reply', items, calls, reply: end, stepEnd }
}

/** What a model rejects with against its contract is a bug, and may hold the provider's words: they stay here. */
async function startStream(
  model: Model,
  request: ModelRequest,
  options: ModelStreamOptions,
): Promise<ModelReply> {
  try {
    return await model.stream(request, options)
  } catch (error) {
    throw AppError.is(error) ? error : new AppError('internal', { cause: traceOf(error) })
  }
}

/** Makes a new try explicit where readers saw something of the old one; else they need not know. */
async function noteRetry(
  context: RunContext,
  input: { failure: AppError; reply: ReplyBuilder; tries: number },
): Promise<void> {
  const { failure, reply, tries } = input
  const { code, cause } = failure
  context.logger.warn(
    { code, err: traceOf(cause), step: context.steps, tries },
    'model call failed, trying again',
  )
  if (!reply.streamed()) return
  keep(context, reply.abandon(), true)
  await context.log.commit({ events: [{ type: 'step.retry', step: context.steps, reason: failure.code }] })
  startStep(context)
}

function keep(context: RunContext, items: Item[], isVoid: boolean): void {
  context.log.defer({ items: items.map((item) => ({ step: context.steps, void: isVoid, item })) })
}

function tooLong(failure: AppError): boolean {
  return (failure.retryAfterMs ?? 0) > maxRetryAfterMs
}

function backoffMs(failure: AppError, tries: number): number {
  if (failure.retryAfterMs !== undefined) return failure.retryAfterMs
  const ceiling = Math.min(firstBackoffMs * 2 ** (tries - 1), maxBackoffMs)
  // Half fixed, half random: many runs that failed together do not come back together.
  return ceiling / 2 + (ceiling / 2) * Math.random()
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10
}
