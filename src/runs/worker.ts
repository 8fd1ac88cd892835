import type { Clock } from '../clock.ts'
import type { Wakes } from '../live/wake.ts'
import type { Logger } from '../logger.ts'
import type { Definitions, Store } from '../store/store.ts'
import type { Executor } from './executor.ts'
import type { Lease } from './lease.ts'

/** How often a worker looks by itself: what a lost wake-up costs. */
const pollMs = 1_000

/** Claims queued and orphaned runs while there is room. */
export interface Worker {
  start(): void
  /** Look now. Cheap; any number of calls while it looks are one. */
  poke(): void
  /** Claims nothing more. Resolves when a claim that was under way has been handed over. */
  stop(): Promise<void>
}

export function createWorker(options: {
  store: Store
  executor: Executor
  lease: Lease
  wakes: Wakes
  clock: Clock
  logger: Logger
  definitions: () => Definitions
  maxConcurrentRuns: number
}): Worker {
  const { store, executor, lease, wakes, clock, logger } = options
  let stopped = true
  let again = false
  let looking: Promise<void> | undefined
  let forgetPoll = () => {}
  let forgetWakes = () => {}

  const claimAll = async () => {
    while (!stopped && executor.active() < options.maxConcurrentRuns && lease.held()) {
      const now = clock.now()
      const { epoch } = lease
      if (!(await store.runs.hasWork({ epoch, now }))) return
      const claimed = await store.runs.claim({ epoch, definitions: options.definitions(), now })
      if (!claimed) return
      if (claimed.rescued)
        logger.warn({ run_id: claimed.run.id, attempt: claimed.run.attempt }, 'run rescued')
      executor.reserve(claimed.run.id).execute(claimed)
    }
  }
  const look = async () => {
    do {
      again = false
      try {
        await claimAll()
      } catch (error) {
        // The next poll tries again.
        logger.error({ err: error }, 'claiming runs failed')
      }
    } while (again && !stopped)
    looking = undefined
  }
  const poke = () => {
    if (stopped) return
    again = true
    looking ??= look()
  }
  const poll = () => {
    poke()
    forgetPoll = clock.after(pollMs, poll)
  }
  return {
    start() {
      stopped = false
      forgetWakes = wakes.onWork(poke)
      poll()
    },
    poke,
    async stop() {
      stopped = true
      forgetPoll()
      forgetWakes()
      await looking
    },
  }
}
