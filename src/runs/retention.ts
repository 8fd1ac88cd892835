import type { Clock } from '../clock.ts'
import type { Logger } from '../logger.ts'
import type { RunRecord, Store } from '../store/store.ts'
import { expireSuspensions } from './expiry.ts'

const sweepMs = 60_000
/** Rows per batch: small, so that no run waits long behind a sweep. */
const batch = 200

/** The housekeeping of a node: expires approvals and calls of callers' tools, ends idle sessions, prunes what is older than its retention. */
export interface Retention {
  start(): void
  stop(): Promise<void>
  /** One full round, now. */
  sweep(): Promise<void>
}

export function createRetention(options: {
  store: Store
  clock: Clock
  logger: Logger
  runLogRetentionMs: number
  onChange: (run: RunRecord) => void
}): Retention {
  const { store, clock, logger } = options
  let stopped = true
  let forget = () => {}
  let sweeping: Promise<void> | undefined

  const round = async () => {
    await expireSuspensions({ store, clock, onChange: options.onChange, limit: batch })
    for (;;) {
      const now = clock.now()
      const touched = await store.retention.prune({
        now,
        log_before: now - options.runLogRetentionMs,
        limit: batch,
      })
      if (touched === 0) break
    }
  }
  const sweep = () => {
    sweeping ??= round()
      .catch((error: unknown) => logger.error({ err: error }, 'housekeeping failed'))
      .finally(() => {
        sweeping = undefined
      })
    return sweeping
  }
  const schedule = () => {
    forget = clock.after(sweepMs, () => {
      void sweep().then(() => {
        if (!stopped) schedule()
      })
    })
  }
  return {
    start() {
      stopped = false
      schedule()
    },
    async stop() {
      stopped = true
      forget()
      await sweeping
    },
    sweep,
  }
}
