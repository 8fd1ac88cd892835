import type { Agent } from '../agent/agent.ts'
import type { CallApproval, CallRecord, RunContext } from '../agent/context.ts'
import { Interruption, type InterruptionReason } from '../agent/context.ts'
import { maxHistoryRuns } from '../agent/history.ts'
import { runLoop } from '../agent/loop.ts'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { ownerOf } from '../identity/principal.ts'
import type { Item, PlacedItem } from '../items.ts'
import type { TailWriter, Tails } from '../live/tail.ts'
import type { Logger } from '../logger.ts'
import type { Model } from '../models/model.ts'
import type { ClaimedRun, Definitions, RunRecord, Store } from '../store/store.ts'
import { endBare, endInterrupted, type Ending } from './endings.ts'
import { LogWriter } from './log-writer.ts'

/** After so many rescues without a commit between them a run is given up. */
export const maxCrashes = 5

export interface ExecutorOptions {
  store: Store
  tails: Tails
  clock: Clock
  logger: Logger
  agents: ReadonlyMap<string, Agent>
  /** The model a run of this agent uses. Throws `model_not_configured`. */
  modelOf: (agent: Agent, override: string | undefined) => Model
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
  const ending: Ending = { log, usage: run.usage, steps: run.steps }
  try {
    // Committed, but kept until the next commit: whoever asked for the run begins to read now.
    tail.append(claimed.start)
    items.push(...(await ownItems(options, { run, items: input.items })))
    log.continueAfter(items.length)
    await driveLoop(options, { claimed, items, log, logger, signal: controller.signal, ending })
  } catch (error) {
    logger.error({ err: error }, 'the store refused the end of the run; trying again')
    await endBare(ending, { clock: options.clock, mayWrite: input.mayWrite })
  } finally {
    forgetTimeout()
    tail.close()
  }
}

/** Runs the loop and ends what it leaves open. Throws only where the store refuses that. */
async function driveLoop(
  options: ExecutorOptions,
  input: Parameters<typeof openContext>[1] & { ending: Ending },
): Promise<void> {
  const { ending, logger } = input
  try {
    const context = await openContext(options, input)
    try {
      await runLoop(context)
    } finally {
      ending.usage = context.usage
      ending.steps = context.steps
    }
  } catch (error) {
    await endInterrupted(ending, { error, logger })
  }
}

async function ownItems(
  options: ExecutorOptions,
  input: { run: RunRecord; items: Item[] | undefined },
): Promise<PlacedItem[]> {
  const { run, items } = input
  if (!items) return options.store.items.ofRun(run.id)
  return items.map((item, position) => ({ run_id: run.id, position, step: null, void: false, item }))
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

async function openContext(
  options: ExecutorOptions,
  input: { claimed: ClaimedRun; items: PlacedItem[]; log: LogWriter; logger: Logger; signal: AbortSignal },
): Promise<RunContext> {
  const { store, clock, agents } = options
  const { claimed, items, log, logger, signal } = input
  const { run } = claimed
  if (run.cancel) throw new Interruption('cancelled')
  if (run.crash_count >= maxCrashes) throw new AppError('crash_loop')
  const agent = agents.get(run.agent)
  if (!agent) throw new AppError('agent_gone')
  const model = options.modelOf(agent, run.options.model)
  const past = run.attempt > 1 ? await readPast(store, run) : firstAttempt
  let history: ReturnType<RunContext['history']> | undefined
  return {
    runId: run.id,
    agent,
    model,
    options: run.options,
    principal: ownerOf(run),
    conversationId: run.conversation_id,
    attempt: run.attempt,
    rescued: claimed.rescued,
    agentChanged:
      past.definition !== null && past.definition !== options.definitions()[agent.name]?.definition,
    history: () => (history ??= readHistory(store, { run, maxTurns: agent.history.maxTurns })),
    items,
    calls: past.calls,
    approvals: past.approvals,
    usage: run.usage,
    steps: run.steps,
    log,
    signal,
    clock,
    logger,
  }
}

async function readHistory(
  store: Store,
  input: { run: RunRecord; maxTurns: number | undefined },
): ReturnType<RunContext['history']> {
  const { run } = input
  if (run.parent_run_id === null) return { items: [], complete: true }
  // One more than is sent, so that leaving something out is noticed.
  const max_runs = Math.min((input.maxTurns ?? maxHistoryRuns) + 1, maxHistoryRuns)
  return store.items.history({ run_id: run.id, max_runs })
}

interface Past {
  definition: string | null
  calls: Map<string, CallRecord>
  approvals: Map<string, CallApproval>
}

const firstAttempt: Past = { definition: null, calls: new Map(), approvals: new Map() }

/** What earlier attempts left: the ledger, the decisions, the definition the run began with. */
async function readPast(store: Store, run: RunRecord): Promise<Past> {
  const [ledger, approvals, log] = await Promise.all([
    store.ledger.ofRun(run.id),
    store.approvals.ofRun(run.id),
    store.log.read({ run_id: run.id, after: 0, max_batches: 1 }),
  ])
  const first = log.events[0]
  return {
    definition: first?.type === 'run.start' ? first.definition : null,
    calls: new Map(ledger.map((record) => [record.call_id, record])),
    // Oldest first: the latest of a call stays.
    approvals: new Map(approvals.map((approval) => [approval.call_id, approval])),
  }
}
