import type { Clock } from '../clock.ts'
import type { Logger } from '../logger.ts'
import type { Store } from '../store/store.ts'

/** This node's right to hold runs. Renewed three times in its length; lost for good once a renewal fails or comes late. */
export interface Lease {
  readonly epoch: number
  /** On a clock that never jumps: whether nobody else can have taken over yet. */
  held(): boolean
  /** Stops renewing and gives it up. */
  leave(): Promise<void>
}

export async function joinLease(options: {
  store: Store
  clock: Clock
  logger: Logger
  nodeId: string
  leaseMs: number
  /** Called once when the lease is lost. */
  onLost: () => void
}): Promise<Lease> {
  const { store, clock, logger, leaseMs } = options
  let renewedAt = clock.monotonic()
  const { epoch } = await store.nodes.join({ node_id: options.nodeId, lease_ms: leaseMs, now: clock.now() })
  let lost = false
  let left = false
  let forget = () => {}
  const late = () => store.nodes.leaseExpires && clock.monotonic() - renewedAt >= leaseMs
  const lose = () => {
    if (lost || left) return
    lost = true
    logger.error({ epoch }, 'lease lost: this node stops its runs')
    options.onLost()
  }
  const renew = async () => {
    const askedAt = clock.monotonic()
    try {
      if (await store.nodes.renew({ epoch, lease_ms: leaseMs, now: clock.now() })) renewedAt = askedAt
      else lose()
    } catch (error) {
      logger.warn({ err: error, epoch }, 'lease renewal failed')
    }
    if (late()) lose()
    if (!lost && !left) schedule()
  }
  const schedule = () => {
    forget = clock.after(leaseMs / 3, () => void renew())
  }
  if (store.nodes.leaseExpires) schedule()
  return {
    epoch,
    held: () => !lost && !left && !late(),
    async leave() {
      left = true
      forget()
      await store.nodes.leave({ epoch, now: clock.now() })
    },
  }
}
