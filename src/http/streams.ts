import type { Clock } from '../clock.ts'
import type { Logger } from '../logger.ts'
import type { RequestState } from './request.ts'

/** An answer that is open for as long as its run: a stream, or a request that waits. */
export interface OpenStream {
  /** Ticks since something was written. The stream sets it to 0. */
  idleTicks: number
  /** Writes a comment, unless something is being written anyway. */
  beat(): void
  /** The node shuts down: tell the client that the run goes on without it. */
  end(): void
}

/** Every open stream of this node: one timer beats for all of them, and one call ends them. */
export interface Streams {
  add(stream: OpenStream): void
  remove(stream: OpenStream): void
  /** For a shutdown: ends all streams, and every later one as soon as it opens. */
  endAll(): void
  /** Logs a fault of ours that broke a stream. */
  report(error: unknown, request: RequestState): void
  readonly size: number
}

const tickMs = 5000
/** A silent stream is beaten after 10 to 15 seconds: proxies often close at 30 or 60. */
const beatAfterTicks = 3

/** The timer runs only while a stream is open. */
export function createStreams(options: { clock: Clock; logger: Logger }): Streams {
  const { clock, logger } = options
  const open = new Set<OpenStream>()
  let ended = false
  let stopTimer: (() => void) | undefined

  function tick() {
    stopTimer = clock.after(tickMs, tick)
    for (const stream of open) {
      if (++stream.idleTicks >= beatAfterTicks) {
        stream.idleTicks = 0
        stream.beat()
      }
    }
  }

  return {
    add(stream) {
      open.add(stream)
      stopTimer ??= clock.after(tickMs, tick)
      if (ended) stream.end()
    },
    remove(stream) {
      open.delete(stream)
      if (open.size > 0) return
      stopTimer?.()
      stopTimer = undefined
    },
    endAll() {
      ended = true
      // A stream that ends leaves the set; a set may lose entries while it is walked.
      for (const stream of open) stream.end()
    },
    report(error, request) {
      logger.error({ err: error, request_id: request.id, run_id: request.runId }, 'a stream failed')
    },
    get size() {
      return open.size
    },
  }
}
