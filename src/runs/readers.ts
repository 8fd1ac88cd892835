import type { Tails } from '../live/tail.ts'
import type { RunRecord, Store } from '../store/store.ts'
import { openLogReader } from './run-log.ts'
import type { LogReader } from './runs.ts'

/**
 * Opens readers and counts, per run, the clients that are attached: a run with `on_disconnect: cancel` is told of when the
 * last one has gone.
 */
export interface Readers {
  open(input: { run: RunRecord; after: number }): LogReader
  /** Runs with a client attached. */
  size(): number
}

export function createReaders(options: {
  store: Store
  tails: Tails
  /** The last client of this run went away before its end. */
  onAbandoned: (run: RunRecord) => void
}): Readers {
  const attached = new Map<string, number>()
  return {
    open({ run, after }) {
      attached.set(run.id, (attached.get(run.id) ?? 0) + 1)
      const onDetach = (left: 'client' | 'server', ended: boolean) => {
        const rest = (attached.get(run.id) ?? 1) - 1
        if (rest > 0) attached.set(run.id, rest)
        else attached.delete(run.id)
        const abandoned = rest === 0 && left === 'client' && !ended
        // Once a run was suspended or rescued, whoever asked for it has had an answer, or is gone: who watches it now may leave.
        const waitedFor = run.on_disconnect === 'cancel' && run.attempt <= 1
        if (abandoned && waitedFor) options.onAbandoned(run)
      }
      return openLogReader({ store: options.store, tails: options.tails, run, after, onDetach })
    },
    size: () => attached.size,
  }
}
