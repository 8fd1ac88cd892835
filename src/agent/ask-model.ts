import { sleep } from '../clock.ts'
import { AppError } from '../errors.ts'
import { createId } from '../ids.ts'
import type { MessageItem, ModelItem } from '../items.ts'
import { traceOf } from '../logger.ts'
import type { Model, ModelPart, ModelRequest } from '../models/model.ts'
import { orAborted } from './author-code.ts'
import type { RunContext } from './context.ts'
import type { ModelChoice } from './definitions.ts'
import { logModelFault } from './model-fault.ts'
import type { ReplyBuilder } from './reply-builder.ts'
import { filterReply } from './reply-filter.ts'
import { withoutForeignParts } from './request.ts'
import { failOver, type ModelLine } from './retry.ts'
import { runAfterModel, runBeforeModel } from './run-hooks.ts'
import { countUsage } from './totals.ts'

export interface Inquiry {
  instructions: string
  items: readonly ModelItem[]
  outputSchema?: Record<string, unknown>
  maxOutputTokens?: number
  /** Undefined: the agent's own. */
  model: ModelChoice | undefined
}

/** A hook refused what a model is asked, or what it said; `message` is the hook's. Ends the run as a refused reply does. */
export class RefusedInquiry extends Error {}

/**
 * The text of a reply that is not part of the run's answer: a plan, a summary, a choice. Nothing of it is shown; what it used
 * is counted. It passes the agent's hooks, falls over and tries again as a step does. Throws the coded error of the last try,
 * an `Interruption`, or a `RefusedInquiry`.
 */
export async function askModel(context: RunContext, inquiry: Inquiry): Promise<string> {
  const line: ModelLine = { models: modelsFor(context, inquiry), failures: new Map() }
  const request = await requestOf(context, inquiry)
  for (;;) {
    const [model] = line.models
    if (!model) throw new AppError('model_not_configured')
    try {
      return await askOnce(context, { model, request })
    } catch (error) {
      context.signal.throwIfAborted()
      if (error instanceof RefusedInquiry) throw error
      const failure = AppError.is(error) ? error : new AppError('internal', { cause: traceOf(error) })
      const waitMs = failOver(line, { model, failure, maxTries: context.agent.modelTries })
      const [next] = line.models
      logModelFault(context, { failure, model, ...(waitMs !== undefined && next && { next }) })
      if (waitMs === undefined) throw failure
      if (waitMs > 0) await sleep({ clock: context.clock, ms: waitMs, signal: context.signal })
      context.signal.throwIfAborted()
    }
  }
}

/** Those an inquiry may be put to, the first of them first. */
export function modelsFor(context: RunContext, { model }: Pick<Inquiry, 'model'>): readonly Model[] {
  return model === undefined ? context.models : [context.directory.modelFor(model)]
}

/** As the agent's hooks would have it: what may not reach a model must not reach it this way either. */
async function requestOf(context: RunContext, inquiry: Inquiry): Promise<ModelRequest> {
  const { maxOutputTokens } = inquiry
  const request: ModelRequest = {
    instructions: inquiry.instructions,
    items: inquiry.items,
    tools: [],
    settings: maxOutputTokens === undefined ? {} : { maxOutputTokens },
    ...(inquiry.outputSchema ? { outputSchema: inquiry.outputSchema } : {}),
  }
  if (context.agent.hooks.length === 0) return request
  const changed = await runBeforeModel(context, request)
  if ('refused' in changed) throw new RefusedInquiry(changed.refused)
  return changed.request
}

async function askOnce(
  context: RunContext,
  { model, request }: { model: Model; request: ModelRequest },
): Promise<string> {
  const collector = collectText()
  const reply = filterReply(context, collector)
  const signal = reply.stopped ? AbortSignal.any([context.signal, reply.stopped]) : context.signal
  const shown = { ...request, items: withoutForeignParts(model, request.items) }
  if (!context.directory.takesOutputSchema(model.id)) delete shown.outputSchema
  const call = { model, request: shown, reply }
  let began = false
  const emit = (part: ModelPart) => {
    began = true
    reply.push(part)
  }
  const end = await orAborted(model.stream(shown, { emit, signal }), signal).catch((error: unknown) => {
    if (began || context.signal.aborted) countUsage(context, { ...call, usage: null })
    throwIfRefused(reply.refusal?.())
    throw error
  })
  countUsage(context, { ...call, usage: end.usage })
  reply.finish()
  throwIfRefused(reply.refusal?.())
  const text = collector.text()
  if (context.agent.hooks.length > 0) {
    const item: MessageItem = { ...inquiryMessage(text), role: 'assistant' }
    throwIfRefused(await runAfterModel(context, { items: [item], reply: end }))
  }
  return text
}

function throwIfRefused(message: string | undefined): void {
  if (message !== undefined) throw new RefusedInquiry(message)
}

/** What a reply says, without events. */
function collectText(): ReplyBuilder & { text(): string } {
  let text = ''
  let written = 0
  return {
    push(part) {
      if (part.type === 'text') text += part.delta
      if ('delta' in part) written += part.delta.length
    },
    finish: () => [],
    abandon: () => [],
    streamed: () => false,
    written: () => written,
    text: () => text,
  }
}

/** A message for an inquiry: never stored. */
export function inquiryMessage(text: string): MessageItem {
  return { type: 'message', id: createId('item'), role: 'user', content: [{ type: 'text', text }] }
}
