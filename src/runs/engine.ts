import type { Directory } from '../agent/context.ts'
import type { Agent } from '../agent/definitions.ts'
import type { Clock } from '../clock.ts'
import { ownerOf } from '../identity/principal.ts'
import type { Tails } from '../live/tail.ts'
import type { Wakes } from '../live/wake.ts'
import type { Logger } from '../logger.ts'
import type { Definitions, RunRecord, Store } from '../store/store.ts'
import { createApprovalService } from './approvals.ts'
import { cancelRun } from './cancels.ts'
import { createConversationService } from './conversations.ts'
import { createExecutor } from './executor.ts'
import { joinLease } from './lease.ts'
import { noteChange } from './note-change.ts'
import { createReaders } from './readers.ts'
import { createRetention } from './retention.ts'
import { createRunService, type RunServiceOptions } from './run-service.ts'
import type { Approvals, Conversations, Runs } from './runs.ts'
import { createWorker } from './worker.ts'

export interface EngineOptions {
  store: Store
  tails: Tails
  wakes: Wakes
  clock: Clock
  logger: Logger
  agents: ReadonlyMap<string, Agent>
  directory: Directory
  definitions: () => Definitions
  nodeId: string
  leaseMs: number
  runTimeoutMs: number
  maxConcurrentRuns: number
  maxWaitingRuns: number
  maxQueuedRuns: number
  /** Of one picture or file that comes as data. */
  maxFileBytes: number
  sessionTimeoutMs: number
  runLogRetentionMs: number
}

/** A node at work: the services that callers use, over everything that moves runs forward. */
export interface Engine {
  readonly runs: Runs
  readonly approvals: Approvals
  readonly conversations: Conversations
  draining(): boolean
  gauges(): { activeRuns: number; tails: number; readers: number }
  /** Takes no more runs, waits for those it has, gives back what is left after `graceMs`. */
  drain(graceMs: number): Promise<void>
  /** Gives up the lease and stops. After `drain`. */
  close(): Promise<void>
}

/** Takes the node's lease, rescues what earlier holders left, and starts to work. Only wires. */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { store, tails, wakes, clock, logger } = options
  let draining = false
  const lease = await joinLease({
    ...options,
    onLost: () => {
      draining = true
      executor.abandon()
    },
  })
  const onChange = (run: RunRecord) => noteChange({ tails, wakes }, run)
  const executor = createExecutor({
    ...options,
    holdsLease: (epoch) => epoch === lease.epoch && lease.held(),
    onDone: () => worker.poke(),
  })
  const worker = createWorker({ ...options, executor, lease })
  const readers = createReaders({
    store,
    tails,
    onAbandoned: (run) => {
      cancelRun(service, {
        scope: ownerOf(run),
        runId: run.id,
        actor: 'client',
        reason: 'disconnected',
      }).catch((error: unknown) =>
        logger.error({ err: error, run_id: run.id }, 'cancelling an abandoned run failed'),
      )
    },
  })
  const service: RunServiceOptions = {
    ...options,
    executor,
    readers,
    lease,
    draining: () => draining,
  }
  const runs = createRunService(service)
  const retention = createRetention({ ...options, onChange })
  const forgets = [
    wakes.onCancel((runId) => void executor.interrupt(runId, 'cancelled')),
    wakes.onCommitted((runId) => tails.wake(runId)),
  ]
  worker.start()
  retention.start()
  return {
    runs,
    approvals: createApprovalService({ ...options, onChange }),
    conversations: createConversationService({ store, clock, runs }),
    draining: () => draining,
    gauges: () => ({ activeRuns: executor.active(), tails: tails.size(), readers: readers.size() }),
    async drain(graceMs) {
      draining = true
      await worker.stop()
      await executor.drain(graceMs)
    },
    async close() {
      for (const forget of forgets) forget()
      await retention.stop()
      await lease.leave()
      await wakes.close()
    },
  }
}
