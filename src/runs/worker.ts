import type { Clock } from '../clock.ts'
import type { Wakes } from '../live/wake.ts'
import type { Logger } from '../logger.ts'
import type { Definitions, Store } from '../store/store.ts'
import type { Executor, Slot } from './executor.ts'
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
}): Worker {
  const { store, executor, lease, wakes, clock, logger } = options
  let stopped = true
  let again = false
  let looking: Promise<void> | undefined
  let forgetPoll = () => {}
  let forgetWakes = () => {}

  const claimAll = async () => {
    while (lease.held()) {
      const { epoch } = lease
      if (!(await store.runs.hasWork({ epoch, now: clock.now() })) || stopped) return
      const slot = executor.reserve()
      if (!slot || !(await claimInto(slot, epoch))) return
    }
  }
  const claimInto = async (slot: Slot, epoch: number): Promise<boolean> => {
    const input = { epoch, definitions: options.definitions(), now: clock.now() }
    const claimed = await store.runs.claim(input).catch((error: unknown) => {
      slot.release()
      throw error
    })
    if (!claimed) {
      slot.release()
      return false
    }
    const { run, rescued } = claimed
    if (rescued) logger.warn({ run_id: run.id, attempt: run.attempt }, 'run rescued')
    slot.execute(claimed)
    return true
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
