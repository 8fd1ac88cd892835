import type { AppError } from '../errors.ts'
import type { Model } from '../models/model.ts'
import { isAuthorFault } from './author-code.ts'

/** The longest wait a provider may ask for; beyond it the run fails now rather than hang. */
const maxRetryAfterMs = 60_000
const firstBackoffMs = 500
const maxBackoffMs = 8_000

/** The models that may be asked, the one that is asked next first, and how often each has failed. */
export interface ModelLine {
  models: readonly Model[]
  readonly failures: Map<Model, number>
}

/**
 * Moves a model that failed to the end of the line, or out of it where asking it again is no use. How long to wait before the
 * next one is asked, in milliseconds; undefined: nobody is left.
 */
export function failOver(
  line: ModelLine,
  input: { model: Model; failure: AppError; maxTries: number },
): number | undefined {
  const { model, failure } = input
  if (isAuthorFault(failure) || isFinal(failure)) return undefined
  const tries = (line.failures.get(model) ?? 0) + 1
  line.failures.set(model, tries)
  const others = line.models.filter((one) => one !== model)
  line.models = mayRetry(failure) && tries < input.maxTries ? [...others, model] : others
  const [next] = line.models
  if (!next) return undefined
  // A model that has not been asked yet need not wait for the one that failed.
  return line.failures.has(next) ? backoffMs(failure, tries) : 0
}

/**
 * A provider that refuses the content has judged it: others are not asked until one lets it pass. All else may be the model's
 * own: its key, its name, its window, what it cannot do, a bug of its client.
 */
function isFinal({ code }: AppError): boolean {
  return code === 'content_filter'
}

/** Whether the same model may be asked again. */
function mayRetry(failure: AppError): boolean {
  return failure.retryable && (failure.retryAfterMs ?? 0) <= maxRetryAfterMs
}

/** The wait before try number `tries` + 1, in milliseconds. */
function backoffMs(failure: AppError, tries: number): number {
  if (failure.retryAfterMs !== undefined) return Math.min(failure.retryAfterMs, maxRetryAfterMs)
  const ceiling = Math.min(firstBackoffMs * 2 ** (tries - 1), maxBackoffMs)
  // Half fixed, half random: many runs that failed together do not come back together.
  return ceiling / 2 + (ceiling / 2) * Math.random()
}
