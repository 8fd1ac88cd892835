import type { AppError } from '../errors.ts'
import { logFault, traceOf } from '../logger.ts'
import type { Model } from '../models/model.ts'
import type { RunContext } from './context.ts'

/** Logs that a model's call failed. `next`: which is asked instead, or again. */
export function logModelFault(
  context: RunContext,
  { failure, model, next }: { failure: AppError; model: Model; next?: Model },
): void {
  logFault(context.logger, {
    error: failure,
    message: next ? 'model call failed, trying again' : 'model call failed',
    fields: {
      step: context.steps,
      model: model.id,
      ...(next && { next: next.id }),
    },
    hint: isUnknownModel(failure) ? hintFor(model) : undefined,
  })
}

function hintFor({ provider, id }: Model): string {
  return `does ${provider} serve the model ${id}, and is its base URL right?`
}

/** Providers say 404, or name their fault: `model_not_found`, or the parameter `model`. */
function isUnknownModel({ cause }: AppError): boolean {
  const { status, provider } = traceOf(cause)
  if (status === 404) return true
  return status === 400 && (provider?.['param'] === 'model' || /model/.test(provider?.['code'] ?? ''))
}
