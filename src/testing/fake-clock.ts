import { setImmediate as immediate, setTimeout } from 'node:timers/promises'
import type { Clock } from '../clock.ts'

export interface FakeClock extends Clock {
  /**
   * Moves time on by `ms` and calls what falls due, in order of time and then of asking, each at its own moment. Before,
   * between and after the calls promises get their turn, so that what one call starts may set the next timer.
   */
  advance(ms: number): Promise<void>
  /**
   * Moves time on by `stepMs` (default 100) again and again until the promise is settled, and gives what it gives. For waits
   * whose length a test does not know, such as a back-off. A millisecond of real time is left to each step, for what is at
   * work on disk or on a socket: what takes longer sees more time pass than it should.
   */
  advanceUntil<T>(promise: Promise<T>, stepMs?: number): Promise<T>
  /** How many calls are waited for. */
  pending(): number
}

interface Timer {
  at: number
  call: () => void
}

/** Time that moves only when it is told to. Starts at `start`, milliseconds since 1970; default the start of 2026. */
export function createFakeClock(start: number = Date.UTC(2026, 0, 1)): FakeClock {
  let elapsed = 0
  // A set keeps the order of asking, which decides between timers of the same moment.
  const timers = new Set<Timer>()

  async function advance(ms: number): Promise<void> {
    const target = elapsed + ms
    for (;;) {
      await immediate()
      const next = earliest(timers)
      if (!next || next.at > target) break
      timers.delete(next)
      elapsed = Math.max(elapsed, next.at)
      next.call()
    }
    elapsed = Math.max(elapsed, target)
    await immediate()
  }

  return {
    now: () => start + elapsed,
    monotonic: () => elapsed,
    after(ms, call) {
      const timer = { at: elapsed + Math.max(0, ms), call }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    advance,
    async advanceUntil(promise, stepMs = 100) {
      let settled = false
      const settle = () => {
        settled = true
      }
      promise.then(settle, settle)
      while (!settled) {
        await advance(stepMs)
        await setTimeout(1)
      }
      return promise
    },
    pending: () => timers.size,
  }
}

function earliest(timers: Set<Timer>): Timer | undefined {
  let first: Timer | undefined
  for (const timer of timers) if (!first || timer.at < first.at) first = timer
  return first
}
