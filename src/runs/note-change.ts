import type { Tails } from '../live/tail.ts'
import type { Wakes } from '../live/wake.ts'
import type { RunRecord } from '../store/store.ts'

/** Tells readers of something that was committed to a run nobody holds, and workers where it is queued again. */
export function noteChange({ tails, wakes }: { tails: Tails; wakes: Wakes }, run: RunRecord): void {
  tails.wake(run.id)
  wakes.committed(run.id)
  if (run.status === 'queued') wakes.work()
}
