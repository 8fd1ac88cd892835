import { sleep } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { EventDraft } from '../events.ts'
import type { Item, ToolCallItem } from '../items.ts'
import { traceOf } from '../logger.ts'
import type { Model, ModelPart, ModelReply, ModelRequest, ModelStreamOptions } from '../models/model.ts'
import { orAborted } from './author-code.ts'
import type { RunContext } from './context.ts'
import { logModelFault } from './model-fault.ts'
import { createReplyBuilder, type ReplyBuilder } from './reply-builder.ts'
import { filterReply } from './reply-filter.ts'
import { prepareRequest, takesInput } from './request.ts'
import { failOver, type ModelLine } from './retry.ts'
import { runAfterModel } from './run-hooks.ts'
import { countUsage, totalsOf } from './totals.ts'

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
      stepEnd: EventDraft | undefined
    }

interface Attempts extends ModelLine {
  /** The history was cut once more, to so many turns. */
  maxTurns: number | undefined
}

/**
 * One model reply for the run's next step, streamed into the log. Tries again what may pass, and falls over to the agent's
 * next model. Throws the coded error of the last try, or an `Interruption`; what was streamed by then is left with the log, as
 * partial items.
 */
export async function think(context: RunContext, options: { mayCall: boolean }): Promise<Thought> {
  const attempts: Attempts = { models: modelsInLine(context), failures: new Map(), maxTurns: undefined }
  for (let started = false; ; started = true) {
    const model = firstOf(attempts)
    const prepared = await prepareRequest(context, {
      model,
      ...options,
      ...(attempts.maxTurns === undefined ? {} : { maxTurns: attempts.maxTurns }),
    })
    if ('refused' in prepared) return refusedBefore(prepared.refused)
    context.signal.throwIfAborted()
    if (!started) startStep(context, model)
    const { provider } = model
    const reply = filterReply(context, createReplyBuilder({ log: context.log, provider }))
    try {
      const thought = await askOnce(context, { model, request: prepared.request, reply })
      context.models = attempts.models
      return thought
    } catch (error) {
      if (context.signal.aborted) {
        keep(context, reply.abandon(), false)
        throw context.signal.reason
      }
      const failure = AppError.from(error)
      const next = nextAttempt(context, { attempts, model, failure, turns: prepared.turns })
      if (!next) {
        keep(context, reply.abandon(), false)
        logModelFault(context, { failure, model })
        throw failure
      }
      await noteRetry(context, { failure, reply, model, next: firstOf(attempts) })
      if (next.waitMs > 0) await sleep({ clock: context.clock, ms: next.waitMs, signal: context.signal })
      context.signal.throwIfAborted()
    }
  }
}

/** One that stands in must be able to take what the caller sends; that the first cannot is the caller's to know. */
function modelsInLine(context: RunContext): readonly Model[] {
  if (context.models.length < 2) return context.models
  return context.models.filter((model, index) => index === 0 || takesInput(context, model))
}

function firstOf({ models }: Attempts): Model {
  const [model] = models
  if (!model) throw new AppError('model_not_configured')
  return model
}

function refusedBefore(message: string): Thought {
  return { kind: 'refused', message, items: [], stepEnd: undefined }
}

function startStep(context: RunContext, model: Model): void {
  context.log.emit({ type: 'step.start', step: context.steps, model: model.id })
}

/**
 * What is tried after a failure: the same model with less history, the next model at once, or the same again after a wait.
 * Undefined: nothing is left to try.
 */
function nextAttempt(
  context: RunContext,
  input: { attempts: Attempts; model: Model; failure: AppError; turns: number },
): { waitMs: number } | undefined {
  const { attempts, model, failure, turns } = input
  if (failure.code === 'context_length_exceeded' && turns > 0 && attempts.maxTurns === undefined) {
    attempts.maxTurns = Math.floor(turns / 2)
    return { waitMs: 0 }
  }
  const waitMs = failOver(attempts, { model, failure, maxTries: context.agent.modelTries })
  return waitMs === undefined ? undefined : { waitMs }
}

async function askOnce(
  context: RunContext,
  input: { model: Model; request: ModelRequest; reply: ReplyBuilder },
): Promise<Thought> {
  const { clock } = context
  const { model, reply } = input
  const signal = reply.stopped ? AbortSignal.any([context.signal, reply.stopped]) : context.signal
  const began = clock.monotonic()
  const call = { model, request: input.request, reply }
  let firstAt: number | undefined
  let over = false
  const emit = (part: ModelPart) => {
    // A model that goes on after its end, or after the signal, writes into nothing.
    if (over || signal.aborted) return
    firstAt ??= clock.monotonic()
    reply.push(part)
  }
  const end = await orAborted(startStream(model, input.request, { emit, signal }), signal)
    .catch((error: unknown) => {
      if (reply.refusal?.() !== undefined) return endOfRefused
      // Providers charge for what they began: part of a reply, or one that was under way when the run was interrupted.
      if (firstAt !== undefined || context.signal.aborted) countUsage(context, { ...call, usage: null })
      throw error
    })
    .finally(() => {
      over = true
    })
  // Also of a reply that comes with the cancel: it has to be paid for.
  const cost = countUsage(context, { ...call, usage: end.usage })
  context.signal.throwIfAborted()
  const items = reply.finish()
  const stepEnd: EventDraft = {
    type: 'step.end',
    step: context.steps,
    finish_reason: end.finishReason,
    usage: end.usage,
    ...(cost === undefined ? {} : { cost }),
    timings: {
      first_token: firstAt === undefined ? null : round(firstAt - began),
      total: round(clock.monotonic() - began),
    },
  }
  let refusal = reply.refusal?.()
  if (refusal === undefined && context.agent.hooks.length > 0) {
    refusal = await runAfterModel(context, { items, reply: end })
  }
  if (refusal !== undefined) return { kind: 'refused', message: refusal, items, stepEnd }
  const calls = items.filter((item) => item.type === 'tool_call')
  return { kind: 'reply', items, calls, reply: end, stepEnd }
}

/** A filter's refusal ends the model's call: how much it used is not known. */
const endOfRefused: ModelReply = { finishReason: 'content_filter', usage: null }

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

/** Makes a new try explicit where readers saw something of the old one, or where another model takes over. */
async function noteRetry(
  context: RunContext,
  input: { failure: AppError; reply: ReplyBuilder; model: Model; next: Model },
): Promise<void> {
  const { failure, reply, model, next } = input
  logModelFault(context, { failure, model, next })
  const falls = model !== next
  if (!falls && !reply.streamed()) return
  keep(context, reply.abandon(), true)
  const events: EventDraft[] = [{ type: 'step.retry', step: context.steps, reason: failure.code }]
  if (falls) {
    const message = `${model.id} failed (${failure.code}); ${next.id} is asked instead.`
    events.push({ type: 'warning', code: 'model_fallback', message })
  }
  await context.log.commit({ events, ...totalsOf(context) })
  startStep(context, next)
}

function keep(context: RunContext, items: Item[], isVoid: boolean): void {
  context.log.defer({ items: items.map((item) => ({ step: context.steps, void: isVoid, item })) })
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10
}
