import { sleep } from '../clock.ts'
import { AppError } from '../errors.ts'
import { createId } from '../ids.ts'
import type { MessageItem, ModelItem } from '../items.ts'
import { traceOf } from '../logger.ts'
import type { Model, ModelPart, ModelRequest } from '../models/model.ts'
import { orAborted } from './author-code.ts'
import type { RunContext } from './context.ts'
import type { ModelChoice } from './definitions.ts'
import { backoffMs, mayRetry } from './retry.ts'
import { runBeforeModel } from './run-hooks.ts'
import { countUsage } from './totals.ts'

export interface Inquiry {
  instructions: string
  items: readonly ModelItem[]
  outputSchema?: Record<string, unknown>
  /** Undefined: the agent's own. */
  model: ModelChoice | undefined
}

/** A hook refused that a model is asked; `message` is what it said. Ends the run as a refused reply does. */
export class RefusedInquiry extends Error {}

/**
 * The text of a reply that is not part of the run's answer: a plan, a summary, a choice. Nothing of it is shown; what it used
 * is counted. Falls over and tries again as a step does. Throws the coded error of the last try, an `Interruption`, or a
 * `RefusedInquiry`.
 */
export async function askModel(context: RunContext, inquiry: Inquiry): Promise<string> {
  const models = inquiry.model === undefined ? context.models : [context.directory.modelFor(inquiry.model)]
  const request = await requestOf(context, inquiry)
  const maxTries = context.agent.modelTries * models.length
  for (let tries = 1; ; tries++) {
    const model = models[(tries - 1) % models.length]
    if (!model) throw new AppError('model_not_configured')
    try {
      return await askOnce(context, { model, request })
    } catch (error) {
      context.signal.throwIfAborted()
      const failure = AppError.is(error) ? error : new AppError('internal', { cause: traceOf(error) })
      const last = tries >= maxTries
      if (last || (models.length === 1 && !mayRetry(failure))) throw failure
      const { code, cause } = failure
      context.logger.warn(
        { code, err: traceOf(cause), model: model.id, tries },
        'model call failed, trying again',
      )
      // Another model is asked at once; the same one after a wait.
      if (tries % models.length === 0) {
        await sleep({ clock: context.clock, ms: backoffMs(failure, tries), signal: context.signal })
        context.signal.throwIfAborted()
      }
    }
  }
}

/** As the agent's hooks would have it: what may not reach a model must not reach it this way either. */
async function requestOf(context: RunContext, inquiry: Inquiry): Promise<ModelRequest> {
  const request: ModelRequest = {
    instructions: inquiry.instructions,
    items: inquiry.items,
    tools: [],
    settings: {},
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
  const { signal } = context
  let text = ''
  const emit = (part: ModelPart) => {
    if (part.type === 'text') text += part.delta
  }
  const reply = await orAborted(model.stream(request, { emit, signal }), signal)
  countUsage(context, model.id, reply.usage)
  return text
}

/** A message for an inquiry: never stored. */
export function inquiryMessage(text: string): MessageItem {
  return { type: 'message', id: createId('item'), role: 'user', content: [{ type: 'text', text }] }
}
