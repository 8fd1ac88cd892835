import type { CallApproval, CallRecord, Directory, RunContext } from '../agent/context.ts'
import { Interruption } from '../agent/context.ts'
import type { Agent } from '../agent/definitions.ts'
import { countTurns, maxHistoryBytes, maxHistoryRuns } from '../agent/history.ts'
import { runLoop } from '../agent/loop.ts'
import { modelsAtWork } from '../agent/route.ts'
import { limitsOfRun } from '../agent/totals.ts'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { ownerOf } from '../identity/principal.ts'
import { isHandoff, type PlacedItem } from '../items.ts'
import type { Logger } from '../logger.ts'
import type { ClaimedRun, Definitions, RunRecord, Store } from '../store/store.ts'
import type { Ending } from './endings.ts'
import type { LogWriter } from './log-writer.ts'

/** After so many rescues without a commit between them a run is given up. */
export const maxCrashes = 5

/** How many runs back it is looked who answered, past runs that ended before anybody was chosen. */
const maxUnrouted = 20

export interface ContextOptions {
  store: Store
  clock: Clock
  agents: ReadonlyMap<string, Agent>
  directory: Directory
  definitions: () => Definitions
}

/** What an attempt begins with. */
export interface Opening {
  claimed: ClaimedRun
  items: PlacedItem[]
  served: RunContext['served']
  log: LogWriter
  logger: Logger
  signal: AbortSignal
  ending: Ending
}

/** What the loop works with in one attempt. Throws where there is nothing to drive: cancelled, given up, without its agent. */
export async function openContext(options: ContextOptions, input: Opening): Promise<RunContext> {
  const { store, clock, agents, directory } = options
  const { claimed, items, served, log, logger, signal, ending } = input
  const { run } = claimed
  if (run.cancel) throw new Interruption('cancelled')
  if (run.crash_count >= maxCrashes) throw new AppError('crash_loop')
  const called = agents.get(run.agent)
  if (!called) throw new AppError('agent_gone')
  const active = run.active_agent === null ? undefined : directory.agentNamed(run.active_agent)
  const agent = active ?? called
  const past = run.attempt > 1 ? await readPast(store, run) : firstAttempt
  const history = openHistory(store, run)
  const handoffs = run.attempt > 1 ? items.filter(isHandoff) : []
  const context: RunContext = {
    runId: run.id,
    called,
    agent,
    models: modelsAtWork(directory, { agent, options: run.options }),
    directory,
    options: run.options,
    principal: ownerOf(run),
    conversationId: run.conversation_id,
    attempt: run.attempt,
    rescued: claimed.rescued,
    agentChanged: isChanged(options, { run, past, active }),
    history: () => history(context.agent),
    items,
    served,
    calls: past.calls,
    approvals: past.approvals,
    totals: ending.totals,
    budgets: limitsOfRun({ options: run.options, called, agent, totals: ending.totals }),
    toolsFound: null,
    handoffsLeft: called.maxHandoffs - handoffs.length,
    steps: run.steps,
    stepsBefore: (handoffs.at(-1)?.step ?? -1) + 1,
    parentCallId: null,
    unrouted: active ? null : await readRoute(options, { run, called }),
    drive: runLoop,
    log,
    runLog: log,
    warned: [...run.warnings],
    signal,
    clock,
    logger,
  }
  return context
}

function isChanged(
  options: ContextOptions,
  { run, past, active }: { run: RunRecord; past: Past; active: Agent | undefined },
): boolean {
  if (run.active_agent !== null && !active) return true
  return past.definition !== null && past.definition !== options.definitions()[run.agent]?.definition
}

/** Who answered in the conversation before. Null: there is nothing to choose. */
async function readRoute(
  { store, directory }: ContextOptions,
  { run, called }: { run: RunRecord; called: Agent },
): Promise<RunContext['unrouted']> {
  // It had one at work, who is not served any more.
  if (run.active_agent !== null) return { current: null, gone: run.active_agent }
  if (called.specialists.length === 0 && called.handoffs.length === 0) return null
  const name = await lastActive(store, run)
  const current = (name === null ? undefined : directory.agentNamed(name)) ?? null
  return { current, gone: current ? null : name }
}

/** Who was at work in the run that this one continues. What another agent was called for does not count. */
async function lastActive(store: Store, run: RunRecord): Promise<string | null> {
  let id = run.parent_run_id
  for (let looked = 0; id !== null && looked < maxUnrouted; looked++) {
    const before = await store.runs.load(id)
    if (before?.agent !== run.agent) return null
    if (before.active_agent !== null) return before.active_agent
    // It ran, and stayed with the agent that was called.
    if (before.steps > 0) return null
    id = before.parent_run_id
  }
  return null
}

/** Reads the past as far as an agent sends it; again where another agent sends more. */
function openHistory(store: Store, run: RunRecord): (agent: Agent) => ReturnType<RunContext['history']> {
  let read: { turns: number; history: ReturnType<RunContext['history']> } | undefined
  return ({ history }) => {
    if (run.parent_run_id === null) return Promise.resolve({ items: [], complete: true })
    // One more than is sent, so that leaving something out is noticed. A summary may stand further back.
    const { maxTurns = maxHistoryRuns, summarise } = history
    const turns = Math.min((summarise ? maxHistoryRuns : maxTurns) + 1, maxHistoryRuns)
    if (!read || read.turns < turns) read = { turns, history: readTurns(store, { run_id: run.id, turns }) }
    return read.history
  }
}

/** A turn is several runs where its caller had calls to answer. */
async function readTurns(
  store: Store,
  { run_id, turns }: { run_id: string; turns: number },
): ReturnType<RunContext['history']> {
  for (let runs = turns; ; runs = Math.min(runs * 2, maxHistoryRuns)) {
    const history = await store.items.history({ run_id, max_runs: runs, max_bytes: maxHistoryBytes })
    const isAllThatIsRead = history.complete || runs === maxHistoryRuns || countRuns(history.items) < runs
    if (isAllThatIsRead || countTurns(history.items) >= turns) return history
  }
}

function countRuns(items: readonly PlacedItem[]): number {
  return new Set(items.map(({ run_id }) => run_id)).size
}

interface Past {
  definition: string | null
  calls: Map<string, CallRecord>
  approvals: Map<string, CallApproval[]>
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
    approvals: Map.groupBy(approvals, ({ call_id }) => call_id),
  }
}
