import type { Model } from './model.ts'

/** So many tasks at the same time; the others wait, first come, first served. */
export interface ConcurrencyLimit {
  /**
   * Runs the task when there is a place for it. A task that still waits when the signal fires leaves the queue at once,
   * never runs, and the promise rejects with the signal's reason. How long the queue is, is up to who asks: each run of an
   * agent makes one call at a time.
   */
  run<T>(task: () => Promise<T>, options: { signal: AbortSignal }): Promise<T>
  inFlight(): number
  waiting(): number
}

/** `max`: a whole number from 1. */
export function createConcurrencyLimit(max: number): ConcurrencyLimit {
  let inFlight = 0
  /** In the order of asking. Each is called once, when a place is its own. */
  const waiting = new Set<() => void>()

  function enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (inFlight < max) {
      inFlight++
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const start = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        waiting.delete(start)
        // The reason is the caller's own.
        reject(signal.reason as Error)
      }
      waiting.add(start)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  /** The place goes to the next in line as it is: nobody who asks in between can take it. */
  function exit(): void {
    const next = waiting.values().next()
    if (next.done) inFlight--
    else {
      waiting.delete(next.value)
      next.value()
    }
  }

  return {
    async run(task, { signal }) {
      await enter(signal)
      try {
        signal.throwIfAborted()
        return await task()
      } finally {
        exit()
      }
    },
    inFlight: () => inFlight,
    waiting: () => waiting.size,
  }
}

/** The same model under a limit. Its own timeouts begin when its turn has come. */
export function limitModel(model: Model, limit: ConcurrencyLimit): Model {
  return {
    ...model,
    stream: (request, options) => limit.run(() => model.stream(request, options), options),
  }
}
