import type { Agent } from '../agent/definitions.ts'
import type { Directory, RunContext } from '../agent/context.ts'
import { Interruption, type InterruptionReason } from '../agent/context.ts'
import { runLoop } from '../agent/loop.ts'
import { createTotals } from '../agent/totals.ts'
import type { Clock } from '../clock.ts'
import type { Item, PlacedItem } from '../items.ts'
import type { TailWriter, Tails } from '../live/tail.ts'
import type { Logger } from '../logger.ts'
import type { ClaimedRun, Definitions, RunRecord, Store } from '../store/store.ts'
import { endBare, endInterrupted, type Ending } from './endings.ts'
import { LogWriter } from './log-writer.ts'
import { openContext, type Opening } from './open-context.ts'

export interface ExecutorOptions {
  store: Store
  tails: Tails
  clock: Clock
  logger: Logger
  agents: ReadonlyMap<string, Agent>
  directory: Directory
  definitions: () => Definitions
  /** How long one attempt may take. */
  runTimeoutMs: number
  maxConcurrentRuns: number
  /** Whether the lease with this epoch is still ours, as far as we can tell. */
  holdsLease: (epoch: number) => boolean
  /** Called after each run that is over here, whatever became of it: there is a place free. */
  onDone: () => void
}

/** A place among the runs of this node, taken before a run is claimed so that there are never more than may be. */
export interface Slot {
  /** Drives the claimed run. `items` are its own, where they are at hand; else they are read. Never throws. */
  execute(claimed: ClaimedRun, items?: Item[]): void
  /** Gives the place back: nothing was claimed. */
  release(): void
}

/** Drives claimed runs. Knows nothing of callers. */
export interface Executor {
  /** Takes a place; undefined where all are taken. */
  reserve(): Slot | undefined
  /** Tells a run that is held here to stop. False: it is not, or not yet. */
  interrupt(runId: string, reason: InterruptionReason): boolean
  /** How many places are taken. */
  active(): number
  /** Waits until all places are free; the runs that are left after `graceMs` are given back to the queue. */
  drain(graceMs: number): Promise<void>
  /** Lets go of everything at once, writing nothing: the lease is lost. */
  abandon(): void
}

export function createExecutor(options: ExecutorOptions): Executor {
  const places = new Map<AbortController, Promise<void>>()
  const running = new Map<string, AbortController>()
  let stopped = false
  const interruptAll = (reason: InterruptionReason) => {
    stopped = true
    for (const controller of places.keys()) controller.abort(new Interruption(reason))
  }
  return {
    reserve() {
      if (places.size >= options.maxConcurrentRuns) return undefined
      const controller = new AbortController()
      const { promise: free, resolve } = Promise.withResolvers<void>()
      places.set(controller, free)
      const release = () => {
        places.delete(controller)
        resolve()
      }
      const execute = (claimed: ClaimedRun, items?: Item[]) => {
        const { run } = claimed
        running.set(run.id, controller)
        const mayWrite = () => !stopped && options.holdsLease(run.epoch ?? 0)
        // It never rejects.
        void executeRun(options, { claimed, items, controller, mayWrite }).finally(() => {
          if (running.get(run.id) === controller) running.delete(run.id)
          release()
          options.onDone()
        })
      }
      return { execute, release }
    },
    interrupt(runId, reason) {
      const controller = running.get(runId)
      controller?.abort(new Interruption(reason))
      return controller !== undefined
    },
    active: () => places.size,
    async drain(graceMs) {
      const forget = options.clock.after(graceMs, () => interruptAll('drain'))
      await Promise.all(places.values())
      forget()
    },
    abandon: () => interruptAll('fenced'),
  }
}

/** Never rejects: what goes wrong ends the run, and what cannot even do that is logged. */
async function executeRun(
  options: ExecutorOptions,
  input: {
    claimed: ClaimedRun
    items: Item[] | undefined
    controller: AbortController
    mayWrite: () => boolean
  },
): Promise<void> {
  const { claimed, controller } = input
  const { run } = claimed
  const logger = options.logger.child({ run_id: run.id, attempt: run.attempt })
  const tail = options.tails.open(run.id)
  const forgetTimeout = options.clock.after(options.runTimeoutMs, () =>
    controller.abort(new Interruption('timeout')),
  )
  const items: PlacedItem[] = []
  const log = openLog(options, { claimed, tail, items })
  const ending: Ending = {
    log,
    clock: options.clock,
    totals: createTotals(run, options.clock),
    steps: run.steps,
  }
  try {
    // Committed, but kept until the next commit: whoever asked for the run begins to read now.
    tail.append(claimed.start)
    const placed = await allItems(options, { run, items: input.items })
    for (const one of placed) if (one.parent_call_id === null) items.push(one)
    log.continueAfter(placed.length)
    const served = placed.length === items.length ? noneServed : groupServed(placed)
    await driveLoop(options, { claimed, items, served, log, logger, signal: controller.signal, ending })
  } catch (error) {
    logger.error({ err: error }, 'the store refused the end of the run; trying again')
    await endBare(ending, { clock: options.clock, mayWrite: input.mayWrite })
  } finally {
    forgetTimeout()
    tail.close()
  }
}

/** Runs the loop and ends what it leaves open. Throws only where the store refuses that. */
async function driveLoop(options: ExecutorOptions, input: Opening): Promise<void> {
  const { ending, logger } = input
  try {
    const context = await openContext(options, input)
    try {
      await runLoop(context)
    } finally {
      ending.steps = context.steps
    }
  } catch (error) {
    await endInterrupted(ending, { error, logger })
  }
}

async function allItems(
  options: ExecutorOptions,
  input: { run: RunRecord; items: Item[] | undefined },
): Promise<PlacedItem[]> {
  const { run, items } = input
  if (!items) return options.store.items.ofRun(run.id)
  const placed = { run_id: run.id, step: null, void: false, parent_call_id: null }
  return items.map((item, position) => ({ ...placed, position, item }))
}

const noneServed: RunContext['served'] = new Map()

/** What agents that served as tools made, by the call they served. */
function groupServed(items: readonly PlacedItem[]): RunContext['served'] {
  return Map.groupBy(
    items.filter((one) => one.parent_call_id !== null),
    (one) => one.parent_call_id ?? '',
  )
}

function openLog(
  options: ExecutorOptions,
  input: { claimed: ClaimedRun; tail: TailWriter; items: PlacedItem[] },
): LogWriter {
  const { run, start } = input.claimed
  const epoch = run.epoch ?? 0
  return new LogWriter({
    store: options.store,
    tail: input.tail,
    clock: options.clock,
    fence: { run_id: run.id, epoch, attempt: run.attempt },
    lastSeq: start.seq,
    items: input.items,
    holdsLease: () => options.holdsLease(epoch),
  })
}
