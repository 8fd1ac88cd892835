import type { RunEvent } from '../events.ts'
import type { LogReader, Runs } from '../runs/runs.ts'
import type { RunRecord } from '../store/store.ts'

export interface ReadRunOptions {
  runs: Runs
  run: RunRecord
  /** Events up to here are left out. */
  after: number
  /** The client saw the log up to here before, a suspension there included. Default `after`. */
  seen?: number
}

/**
 * A reader for a client's stream. One of the log ends at every suspension; this one passes those that the client has seen or
 * that were resolved when it came, so that the log of a run that was suspended and went on is one stream.
 */
export function readRun(options: ReadRunOptions): LogReader {
  const { runs, run, after } = options
  // A run that is suspended now has its suspension as its last event.
  const resolved = run.status === 'suspended' ? run.last_seq - 1 : run.last_seq
  const passed = Math.max(options.seen ?? after, resolved)
  let reader = runs.read({ run, after })
  let onReady = () => {}

  function take(): RunEvent | undefined {
    const event = reader.take()
    if (event?.type !== 'run.suspend' || event.seq > passed) return event
    reader.detach('server')
    reader = runs.read({ run, after: event.seq })
    reader.onReady = onReady
    return event
  }

  return {
    runId: run.id,
    take,
    get onReady() {
      return onReady
    },
    set onReady(call) {
      onReady = call
      reader.onReady = call
    },
    get ended() {
      return reader.ended
    },
    get error() {
      return reader.error
    },
    detach: (left) => reader.detach(left),
  }
}
