import type { AppError } from '../errors.ts'

/** The longest wait a provider may ask for; beyond it the run fails now rather than hang. */
const maxRetryAfterMs = 60_000
const firstBackoffMs = 500
const maxBackoffMs = 8_000

/** Whether the same model may be asked again. */
export function mayRetry(failure: AppError): boolean {
  return failure.retryable && (failure.retryAfterMs ?? 0) <= maxRetryAfterMs
}

/** The wait before try number `tries` + 1, in milliseconds. */
export function backoffMs(failure: AppError, tries: number): number {
  if (failure.retryAfterMs !== undefined) return Math.min(failure.retryAfterMs, maxRetryAfterMs)
  const ceiling = Math.min(firstBackoffMs * 2 ** (tries - 1), maxBackoffMs)
  // Half fixed, half random: many runs that failed together do not come back together.
  return ceiling / 2 + (ceiling / 2) * Math.random()
}
