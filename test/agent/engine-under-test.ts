import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { AgentOptions } from '../../src/agent/agent-options.ts'
import type { Agent } from '../../src/agent/definitions.ts'
import { agent } from '../../src/agent/agent.ts'
import { systemClock, type Clock } from '../../src/clock.ts'
import type { EventOf, EventType, RunEvent } from '../../src/events.ts'
import { anonymous, type Principal } from '../../src/identity/principal.ts'
import { createId } from '../../src/ids.ts'
import type { Item, PlacedItem } from '../../src/items.ts'
import { createInProcessTails } from '../../src/live/in-process/in-process-tails.ts'
import { createInProcessWakes } from '../../src/live/in-process/in-process-wakes.ts'
import { silentLogger, type Logger } from '../../src/logger.ts'
import { openDirectory, type OpenDirectory } from '../../src/directory.ts'
import { AppError } from '../../src/errors.ts'
import { demoModel } from '../../src/models/demo.ts'
import type { Model, ModelPrice } from '../../src/models/model.ts'
import { createEngine, type Engine, type EngineOptions } from '../../src/runs/engine.ts'
import { eventsOf, type CreateRunInput, type LogReader } from '../../src/runs/runs.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import type { Commit, CommitOutcome, RunRecord, Store } from '../../src/store/store.ts'
import type { FakeClock } from '../../src/testing/fake-clock.ts'

export interface EngineUnderTestOptions extends Partial<
  Pick<
    EngineOptions,
    | 'runTimeoutMs'
    | 'maxConcurrentRuns'
    | 'maxWaitingRuns'
    | 'maxQueuedRuns'
    | 'sessionTimeoutMs'
    | 'runLogRetentionMs'
  >
> {
  /** Model of an agent named `assistant`, with what `agent` adds to it. */
  model?: Model
  agent?: Omit<AgentOptions, 'name' | 'model'>
  agents?: readonly Agent[]
  /** Resolves the model names a request asks for. */
  models?: Record<string, Model>
  /** By model id. */
  prices?: Record<string, ModelPrice>
  clock?: Clock | FakeClock
  logger?: Logger
  /** Where another engine worked before. Default: a folder of its own. */
  dataDir?: string
  /** Changes what the engine sees of the store. */
  wrapStore?: (store: Store) => Store
  /** Stands between the engine and the store. */
  onCommit?: (commit: Commit, next: () => Promise<CommitOutcome>) => Promise<CommitOutcome>
}

export interface EngineUnderTest extends Engine {
  readonly store: Store
  readonly dataDir: string
  /** Every commit the store accepted, in order. */
  readonly commits: readonly Commit[]
  /** Accepts a run for the anonymous caller. */
  start(input?: string | StartInput): Promise<RunRecord>
  /** Every event up to where the stream ends. */
  events(run: RunRecord, after?: number): Promise<RunEvent[]>
  /** Waits for the end or the suspension, and gives the run as the store has it then. */
  settled(run: RunRecord): Promise<RunRecord>
  /** Starts, and waits for the end or the suspension. */
  finish(input?: string | StartInput): Promise<Finished>
  /** Attaches a reader and resolves it with the first event of that type; it stays attached. */
  reach<T extends EventType>(run: RunRecord, type: T): Promise<{ event: EventOf<T>; reader: LogReader }>
  /** The run as the store has it. */
  load(run: Pick<RunRecord, 'id'>): Promise<RunRecord>
  items(run: Pick<RunRecord, 'id'>): Promise<PlacedItem[]>
  text(run: RunRecord): Promise<string>
  /** Ends it as a shutdown does; also when the test is over. */
  stop(): Promise<void>
}

export type StartInput = Partial<Omit<CreateRunInput, 'input'>> & { input?: string | Item[] }

export interface Finished {
  run: RunRecord
  events: RunEvent[]
  types: string[]
  text: string
}

/** A whole engine over its own SQLite file, without HTTP. Ends with the test. */
export async function startEngine(options: EngineUnderTestOptions): Promise<EngineUnderTest> {
  const dataDir = options.dataDir ?? (await newDataDir())
  const clock = options.clock ?? systemClock
  const commits: Commit[] = []
  const opened = await openSqliteStore({ path: join(dataDir, 'parley.db') })
  const store = watchCommits(options.wrapStore?.(opened) ?? opened, { commits, onCommit: options.onCommit })
  const engine = await createEngine({ ...engineOptions(options), store, clock })
  let stopping: Promise<void> | undefined
  const stop = async () => {
    await drain(engine, clock)
    await engine.close()
    await store.close()
  }
  onTestFinished(async () => {
    await (stopping ??= stop())
    await rm(dataDir, { recursive: true, force: true })
  })
  return {
    ...engine,
    ...createConveniences(engine, store),
    store,
    dataDir,
    commits,
    stop: () => (stopping ??= stop()),
  }
}

let emptyFile: Promise<Buffer> | undefined

/** A folder with a data file whose schema is there already: migrating one anew is most of what a test would wait for. */
async function newDataDir(): Promise<string> {
  emptyFile ??= makeEmptyFile()
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-engine-'))
  await writeFile(join(dataDir, 'parley.db'), await emptyFile)
  return dataDir
}

async function makeEmptyFile(): Promise<Buffer> {
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-empty-'))
  const path = join(dataDir, 'parley.db')
  await (await openSqliteStore({ path })).close()
  const bytes = await readFile(path)
  await rm(dataDir, { recursive: true, force: true })
  return bytes
}

export function userMessage(text: string): Item {
  return { type: 'message', id: createId('item'), role: 'user', content: [{ type: 'text', text }] }
}

export function typesOf(events: readonly { type: string }[]): string[] {
  return events.map(({ type }) => type)
}

export function eventsOfType<T extends EventType>(events: readonly RunEvent[], type: T): EventOf<T>[] {
  return events.filter((event): event is EventOf<T> => event.type === type)
}

/** A request's items, each as a short text: `user: hi`, `call add {"a":1}`, `result 3`. */
export function transcript(request: { items: readonly Item[] } | undefined): string[] {
  return (request?.items ?? []).map((item) => {
    switch (item.type) {
      case 'message':
        return `${item.role}: ${item.content.map((part) => (part.type === 'text' ? part.text : part.type)).join('')}`
      case 'reasoning':
        return `reasoning: ${item.text}`
      case 'tool_call':
        return `call ${item.name} ${item.arguments}`
      case 'tool_result':
        return `result ${item.output}`
      case 'note':
        return `${item.kind}: ${item.text}`
      default:
        return item satisfies never
    }
  })
}

function createConveniences(engine: Engine, store: Store) {
  const start = async (input: string | StartInput = {}) => {
    const given = typeof input === 'string' ? { input } : input
    const text = given.input ?? 'hello'
    const { run } = await engine.runs.create({
      principal: anonymous,
      agent: 'assistant',
      ...given,
      input: typeof text === 'string' ? [userMessage(text)] : text,
    })
    return run
  }
  const load = async (run: Pick<RunRecord, 'id'>) => {
    const found = await store.runs.load(run.id)
    if (!found) throw new Error(`there is no run ${run.id}`)
    return found
  }
  const events = async (run: RunRecord, after = 0) => {
    const all: RunEvent[] = []
    for await (const event of eventsOf(engine.runs.read({ run, after }))) all.push(event)
    return all
  }
  const settled = async (run: RunRecord) => {
    await events(run)
    return load(run)
  }
  return {
    start,
    load,
    events,
    settled,
    async finish(input?: string | StartInput): Promise<Finished> {
      const started = await start(input)
      const all = await events(started)
      const run = await load(started)
      return { run, events: all, types: typesOf(all), text: await engine.runs.outputText(run) }
    },
    async reach<T extends EventType>(run: RunRecord, type: T) {
      const reader = engine.runs.read({ run, after: 0 })
      return { event: await nextOfType(reader, type), reader }
    },
    items: (run: Pick<RunRecord, 'id'>) => store.items.ofRun(run.id),
    text: (run: RunRecord) => engine.runs.outputText(run),
  }
}

/** The next event of that type from a reader, which stays attached. */
export function nextOfType<T extends EventType>(reader: LogReader, type: T): Promise<EventOf<T>> {
  return new Promise((resolve, reject) => {
    const look = () => {
      for (let event = reader.take(); event; event = reader.take()) {
        if (event.type === type) {
          reader.onReady = () => {}
          // Its type was just compared.
          return resolve(event as EventOf<T>)
        }
      }
      if (reader.error || reader.ended) reject(reader.error ?? new Error(`the log ended without ${type}`))
    }
    reader.onReady = look
    look()
  })
}

function engineOptions(options: EngineUnderTestOptions): Omit<EngineOptions, 'store' | 'clock'> {
  const { model, models = {} } = options
  const list = options.agents ?? [agent({ name: 'assistant', ...(model && { model }), ...options.agent })]
  const directory = directoryOf({
    agents: list,
    models,
    prices: options.prices ?? {},
    logger: options.logger,
  })
  return {
    tails: createInProcessTails(),
    wakes: createInProcessWakes(),
    logger: options.logger ?? silentLogger,
    agents: new Map(list.map((one) => [one.name, one])),
    directory,
    definitions: directory.definitions,
    nodeId: createId('node'),
    leaseMs: 10_000,
    // Time that a test moves runs ahead of the disk: no run may time out by that.
    runTimeoutMs: options.runTimeoutMs ?? (options.clock ? 10 ** 12 : 600_000),
    maxConcurrentRuns: options.maxConcurrentRuns ?? 256,
    maxWaitingRuns: options.maxWaitingRuns ?? 32,
    maxQueuedRuns: options.maxQueuedRuns ?? 1000,
    maxFileBytes: 5 * 1024 ** 2,
    sessionTimeoutMs: options.sessionTimeoutMs ?? 3_600_000,
    runLogRetentionMs: options.runLogRetentionMs ?? 30 * 24 * 3_600_000,
  }
}

/** What agents refer to, with models by name and nothing configured. */
export function directoryOf(input: {
  agents: readonly Agent[]
  models?: Record<string, Model>
  prices?: Record<string, ModelPrice>
  logger?: Logger | undefined
}): OpenDirectory {
  const { agents, models = {}, prices = {}, logger = silentLogger } = input
  return openDirectory({
    agents: new Map(agents.map((one) => [one.name, one])),
    registry: {
      resolve(name) {
        const found = models[name]
        if (!found) throw new AppError('model_not_configured')
        return found
      },
      infoOf: (id) => (prices[id] ? { price: prices[id] } : {}),
      describe: () => ({ defaultModel: null, providers: [] }),
      gauges: () => [],
      close: () => Promise.resolve(),
    },
    defaultModel: undefined,
    demo: demoModel(),
    isDemo: true,
    stallTimeoutMs: 60_000,
    logger,
    clock: systemClock,
  })
}

function watchCommits(
  store: Store,
  { commits, onCommit }: { commits: Commit[]; onCommit: EngineUnderTestOptions['onCommit'] },
): Store {
  const commit = async (input: Commit) => {
    const next = () => store.runs.commit(input)
    const outcome = await (onCommit ? onCommit(input, next) : next())
    if (outcome === 'ok') commits.push(input)
    return outcome
  }
  return { ...store, runs: { ...store.runs, commit } }
}

async function drain(engine: Engine, clock: Clock | FakeClock): Promise<void> {
  let drained = false
  const draining = engine.drain(0).finally(() => {
    drained = true
  })
  // Time stands still for a fake clock unless somebody moves it: past the grace of a drain, and of the tools.
  while ('advance' in clock && !drained) await clock.advance(1_000)
  await draining
}

/** Moves time on, a step at a time, until something has happened. */
export async function advanceUntil<T>(clock: FakeClock, promise: Promise<T>, stepMs = 100): Promise<T> {
  let over = false
  const end = () => {
    over = true
  }
  promise.then(end, end)
  while (!over) await clock.advance(stepMs)
  return promise
}

export function principal(owner: string, namespace = ''): Principal {
  return { owner, namespace, name: owner }
}
