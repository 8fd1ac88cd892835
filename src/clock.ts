/** The source of time. Everything that waits or dates takes one, so that tests can hold it still. */
export interface Clock {
  /** Milliseconds since 1970, as people count them. May jump. */
  now(): number
  /** Milliseconds on a clock that never jumps. Only differences mean something. */
  monotonic(): number
  /** Calls once after `ms`. The returned function forgets the call; calling it late or twice is harmless. */
  after(ms: number, call: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms)
    return () => clearTimeout(timer)
  },
}

/** Resolves after `ms`, or at once when the signal fires. Never rejects: the caller looks at the signal. */
export function sleep(options: { clock: Clock; ms: number; signal?: AbortSignal }): Promise<void> {
  const { clock, ms, signal } = options
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const finish = () => {
      forget()
      signal?.removeEventListener('abort', finish)
      resolve()
    }
    const forget = clock.after(ms, finish)
    signal?.addEventListener('abort', finish)
  })
}

/** A date on our wires: RFC 3339, UTC, milliseconds. */
export function toIsoDate(ms: number): string {
  return new Date(ms).toISOString()
}
