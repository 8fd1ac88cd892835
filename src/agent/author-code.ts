import { AppError } from '../errors.ts'

/**
 * Calls the author's own code around the loop: a hook, an instructions function, an approval policy. What it throws is
 * `internal`, whatever it is. Rejects with the signal's reason as soon as that fires: such code cannot be made to end.
 */
export async function callAuthor<T>(signal: AbortSignal, call: () => T | Promise<T>): Promise<T> {
  try {
    return await orAborted(startCall(call), signal)
  } catch (error) {
    signal.throwIfAborted()
    throw authorFault(error)
  }
}

const faults = new WeakSet<AppError>()

export function authorFault(cause: unknown): AppError {
  const fault = new AppError('internal', { cause })
  faults.add(fault)
  return fault
}

/** Whether the author's code threw it: no other model is asked then. */
export function isAuthorFault(error: AppError): boolean {
  return faults.has(error)
}

async function startCall<T>(call: () => T | Promise<T>): Promise<T> {
  return call()
}

/** The promise, or the signal's reason as soon as it fires: not everybody obeys. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
