import type { RunEvent } from '../../events.ts'
import type { LogReader, Runs } from '../../runs/runs.ts'
import type { RunRecord } from '../../store/store.ts'

/**
 * A run's log from its start, for a client that has seen it up to `seen` and waits for what follows. A log's own reader ends
 * at the suspension a run is in; this one goes on behind it where the client has seen it.
 */
export function readResumed(options: { runs: Runs; run: RunRecord; seen: number }): LogReader {
  const { runs, run, seen } = options
  let reader = runs.read({ run, after: 0 })
  let onReady = () => {}
  let suspendedAt = Infinity

  function take(): RunEvent | undefined {
    const event = reader.take()
    if (event?.type === 'run.suspend') suspendedAt = event.seq
    if (suspendedAt <= seen && reader.ended && event && event.type !== 'run.end' && 'seq' in event) {
      const next = runs.read({ run, after: event.seq })
      reader.detach('server')
      reader = next
      reader.onReady = onReady
    }
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
