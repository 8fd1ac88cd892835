import { join } from 'node:path'
import { definitionHash, type Agent } from './agent/agent.ts'
import { systemClock, type Clock } from './clock.ts'
import { assertHostIsSafe, loadSettings, type Settings } from './config.ts'
import { AppError } from './errors.ts'
import { createHttpApp, type HttpApp } from './http/app.ts'
import { createStreams, type Streams } from './http/streams.ts'
import { createId } from './ids.ts'
import { createInProcessTails } from './live/in-process/in-process-tails.ts'
import { createInProcessWakes } from './live/in-process/in-process-wakes.ts'
import { createLogger, type Logger } from './logger.ts'
import { demoModel } from './models/demo.ts'
import type { Model } from './models/model.ts'
import { createModelRegistry, type ModelRegistry, type ProviderOptions } from './models/registry.ts'
import { nativeProtocol } from './protocols/native/routes.ts'
import type { ProtocolDeps } from './protocols/protocol.ts'
import { rootProtocol } from './protocols/root/routes.ts'
import { createEngine, type Engine } from './runs/engine.ts'
import type { Approvals, Conversations, Runs } from './runs/runs.ts'
import { openSqliteStore } from './store/sqlite/sqlite-store.ts'
import type { Store } from './store/store.ts'
import { version } from './version.ts'

/** Every setting of `docs/settings.md` by its option's name; what is absent comes from the environment. */
export interface ParleyOptions extends Partial<Settings> {
  /** At least one. The first answers routes that name none. */
  agents: readonly Agent[]
  /** Further OpenAI-compatible providers, by the prefix of their models' names. */
  providers?: Record<string, ProviderOptions>
  logger?: Logger
  /** For tests. */
  clock?: Clock
}

/** A server without a listener: mount `fetch` anywhere. */
export interface Parley {
  readonly fetch: HttpApp['fetch']
  readonly runs: Runs
  readonly approvals: Approvals
  readonly conversations: Conversations
  /** Agents and the models they use, for people. */
  readonly agents: readonly { name: string; model: string }[]
  /** Where the data is, for people. */
  readonly dataLocation: string
  readonly settings: Readonly<Settings>
  readonly logger: Logger
  /** What leaks would show in: everything is 0 when nobody reads and nothing runs. */
  gauges(): { activeRuns: number; tails: number; readers: number; streams: number }
  /**
   * Drains: refuses new runs with 503, gives those that run up to `graceMs` (default: the setting), gives the rest back to
   * the queue, ends the streams, closes the store. Idempotent.
   */
  close(graceMs?: number): Promise<void>
}

/**
 * Opens the store, takes the lease and starts to work. Rejects with a `SettingsError`, or an `AppError`: `store_unavailable`
 * (another process works on the same data), `model_not_configured`.
 */
export async function createParley(options: ParleyOptions): Promise<Parley> {
  const settings = mergeSettings(options)
  const clock = options.clock ?? systemClock
  const logger = options.logger ?? createLogger(settings.logLevel)
  const agents = indexAgents(options.agents)
  const registry = createModelRegistry({
    ...registryOptions(settings),
    ...(options.providers ? { providers: options.providers } : {}),
    clock,
  })
  const modelOf = createModelOf({ registry, settings, demo: demoModel({ clock }) })
  const served = options.agents.map((agent) => ({ name: agent.name, model: modelOf(agent, undefined).id }))
  const store = await openSqliteStore({ path: join(settings.dataDir, 'parley.db') })
  try {
    const engine = await createEngine({
      store,
      tails: createInProcessTails(),
      wakes: createInProcessWakes(),
      clock,
      logger,
      agents,
      modelOf,
      definitions: definitionsOf(options.agents, modelOf),
      nodeId: createId('node'),
      ...settings,
    })
    const streams = createStreams({ clock, logger })
    const app = createApp({ engine, store, settings, clock, logger, streams, agents, served })
    const close = createClose({ engine, store, streams, registry, settings })
    return {
      fetch: app.fetch,
      runs: engine.runs,
      approvals: engine.approvals,
      conversations: engine.conversations,
      agents: served,
      dataLocation: store.location,
      settings,
      logger,
      gauges: () => ({ ...engine.gauges(), streams: streams.size }),
      close,
    }
  } catch (error) {
    await Promise.all([store.close(), registry.close()])
    throw error
  }
}

function mergeSettings(options: ParleyOptions): Readonly<Settings> {
  const fromCode = Object.fromEntries(
    Object.entries(options).filter(
      ([key, value]) => value !== undefined && !['agents', 'providers', 'logger', 'clock'].includes(key),
    ),
  )
  // Every key that is left is one of Settings, by the type of the options.
  const settings = Object.freeze({ ...loadSettings(), ...fromCode }) as Readonly<Settings>
  assertHostIsSafe(settings.host)
  return settings
}

function indexAgents(list: readonly Agent[]): Map<string, Agent> {
  if (list.length === 0) throw new TypeError('createParley: give at least one agent')
  const agents = new Map<string, Agent>()
  for (const agent of list) {
    if (agents.has(agent.name)) throw new TypeError(`createParley: two agents are named ${agent.name}`)
    agents.set(agent.name, agent)
  }
  return agents
}

function registryOptions(settings: Settings): Parameters<typeof createModelRegistry>[0] {
  const { llmBaseUrl, llmApiKey, llmDefaultModel, openaiApiKey, openaiBaseUrl } = settings
  return {
    stallTimeoutMs: settings.modelStallTimeoutMs,
    ...(llmBaseUrl
      ? {
          llm: {
            baseURL: llmBaseUrl,
            ...(llmApiKey ? { apiKey: llmApiKey } : {}),
            ...(llmDefaultModel ? { defaultModel: llmDefaultModel } : {}),
          },
        }
      : {}),
    ...(openaiApiKey
      ? { openai: { apiKey: openaiApiKey, ...(openaiBaseUrl ? { baseURL: openaiBaseUrl } : {}) } }
      : {}),
  }
}

type ModelOf = (agent: Agent, override: string | undefined) => Model

function createModelOf(input: { registry: ModelRegistry; settings: Settings; demo: Model }): ModelOf {
  const { registry, settings, demo } = input
  const configured = registry.describe().providers.length > 0
  const defaultModel = defaultModelOf(settings)
  return (agent, override) => {
    const model = override ?? agent.model ?? defaultModel
    if (typeof model === 'object') return model
    if (model === demo.id) return demo
    if (model !== undefined) return registry.resolve(model)
    if (!configured) return demo
    const message = `The agent ${JSON.stringify(agent.name)} names no model: set LLM_DEFAULT_MODEL.`
    throw new AppError('model_not_configured', { message })
  }
}

/** Model of agents that name none. Undefined: there is none to be had but the demo. */
function defaultModelOf({ llmDefaultModel, openaiApiKey }: Settings): string | undefined {
  return llmDefaultModel ?? (openaiApiKey ? 'openai/gpt-4o-mini' : undefined)
}

function definitionsOf(agents: readonly Agent[], modelOf: ModelOf) {
  const definitions = Object.fromEntries(
    agents.map((agent) => {
      const model = modelOf(agent, undefined).id
      return [agent.name, { definition: definitionHash(agent, model), model }]
    }),
  )
  return () => definitions
}

function createApp(input: {
  engine: Engine
  store: Store
  settings: Settings
  clock: Clock
  logger: Logger
  streams: Streams
  agents: ReadonlyMap<string, Agent>
  served: readonly { name: string; model: string }[]
}): HttpApp {
  const { engine, store, settings, clock, logger, streams, agents, served } = input
  const [first] = served
  const deps: ProtocolDeps = {
    runs: engine.runs,
    conversations: engine.conversations,
    agents,
    defaultAgent: first?.name ?? '',
    defaultModel: defaultModelOf(settings) ?? 'demo',
    clock,
    streams,
    requestWaitMs: settings.requestWaitMs,
  }
  return createHttpApp({
    version,
    clock,
    logger,
    maxBodyBytes: settings.maxBodyBytes,
    loopbackOnly: true,
    streams,
    countConversations: () => store.conversations.count(clock.now()),
    ping: () => store.ping(),
    isDraining: () => engine.draining(),
    mounts: [nativeProtocol.mount(deps), rootProtocol.mount(deps)],
  })
}

function createClose(input: {
  engine: Engine
  store: Store
  streams: Streams
  registry: ModelRegistry
  settings: Settings
}): Parley['close'] {
  const { engine, store, streams, registry, settings } = input
  let closing: Promise<void> | undefined
  const closeAll = async (graceMs: number) => {
    await engine.drain(graceMs)
    streams.endAll()
    await engine.close()
    await Promise.all([store.close(), registry.close()])
  }
  return (graceMs = settings.shutdownGraceMs) => (closing ??= closeAll(graceMs))
}
