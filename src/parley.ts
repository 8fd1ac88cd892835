import { join } from 'node:path'
import { z } from 'zod'
import { agentSchema } from './agent/agent-options.ts'
import type { Agent } from './agent/definitions.ts'
import { systemClock, type Clock } from './clock.ts'
import {
  assertHostIsSafe,
  loadSettings,
  optionSchema,
  readVariables,
  settingsTable,
  type Settings,
} from './config.ts'
import { openDirectory, type OpenDirectory } from './directory.ts'
import { createHttpApp, type HttpApp } from './http/app.ts'
import { createStreams, type Streams } from './http/streams.ts'
import { createId } from './ids.ts'
import { createInProcessTails } from './live/in-process/in-process-tails.ts'
import { createInProcessWakes } from './live/in-process/in-process-wakes.ts'
import { createLogger, withoutSecrets, type Logger } from './logger.ts'
import { demoModel } from './models/demo.ts'
import type { ModelInfo } from './models/model-info.ts'
import type { ProviderOptions } from './models/providers.ts'
import { createModelRegistry, type ModelRegistry } from './models/registry.ts'
import { clockSchema, DefinitionError, parseDefinition } from './parse-definition.ts'
import { nativeProtocol } from './protocols/native/routes.ts'
import type { ProtocolDeps } from './protocols/protocol.ts'
import { rootProtocol } from './protocols/root/routes.ts'
import { createEngine, type Engine } from './runs/engine.ts'
import type { Approvals, Conversations, Runs } from './runs/runs.ts'
import { openSqliteStore } from './store/sqlite/sqlite-store.ts'
import type { Store } from './store/store.ts'
import { keysAmong, secretsIn } from './secrets.ts'
import { version } from './version.ts'

/**
 * Every setting of `docs/settings.md` by its option's name; what is absent comes from the environment. But the keys of web
 * search: a tool has no server; `createWebSearch` takes them.
 */
export interface ParleyOptions extends Partial<Omit<Settings, 'webSearchApiKey' | 'serperApiKey'>> {
  /** At least one. The first answers routes that name none. */
  agents: readonly Agent[]
  /** Further OpenAI-compatible providers by the prefix of their models' names; or keys and limits of the built-in ones. */
  providers?: Record<string, ProviderOptions>
  /** What is known of models, by their full names: prices, windows, what they take. */
  models?: Record<string, ModelInfo>
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
 * Opens the store, takes the lease and starts to work. Rejects with a `SettingsError`, a `DefinitionError` (an option that is
 * none), or an `AppError`: `store_unavailable` (another process works on the same data), `model_not_configured`.
 */
export async function createParley(options: ParleyOptions): Promise<Parley> {
  parseDefinition({ what: 'createParley', schema: optionsSchema, options })
  const settings = mergeSettings(options)
  const clock = options.clock ?? systemClock
  const logger = withoutSecrets(options.logger ?? createLogger(settings.logLevel), secretsOf(settings))
  const agents = indexAgents(options.agents)
  const registry = createModelRegistry({
    ...registryOptions(settings),
    ...(options.providers ? { providers: options.providers } : {}),
    ...(options.models ? { models: options.models } : {}),
    logger,
    clock,
  })
  const defaultModel = defaultModelOf(settings, registry)
  const directory = openDirectory({
    agents,
    registry,
    defaultModel,
    demo: demoModel({ clock }),
    isDemo: registry.describe().providers.length === 0,
    stallTimeoutMs: settings.modelStallTimeoutMs,
    logger,
    clock,
  })
  const served = options.agents.map((agent) => ({
    name: agent.name,
    model: directory.modelsOf(agent, undefined)[0]?.id ?? '',
  }))
  const store = await openSqliteStore({ path: join(settings.dataDir, 'parley.db') }).catch(
    async (error: unknown) => {
      await directory.close()
      throw error
    },
  )
  try {
    const engine = await createEngine({
      store,
      tails: createInProcessTails(),
      wakes: createInProcessWakes(),
      clock,
      logger,
      agents,
      directory,
      definitions: directory.definitions,
      nodeId: createId('node'),
      ...settings,
    })
    const streams = createStreams({ clock, logger })
    const app = createApp({
      engine,
      store,
      settings,
      clock,
      logger,
      streams,
      agents,
      served,
      knownTools: directory.knownTools,
      defaultModel: defaultModel ?? 'demo',
    })
    const close = createClose({ engine, store, streams, registry, directory, settings })
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
    await Promise.all([store.close(), registry.close(), directory.close()])
    throw error
  }
}

const { webSearchApiKey: _brave, serperApiKey: _serper, ...settingRows } = settingsTable

const optionsSchema = z.strictObject({
  agents: z.array(agentSchema).min(1, 'give at least one agent'),
  ...Object.fromEntries(Object.entries(settingRows).map(([key, row]) => [key, optionSchema(row)])),
  // The registry looks into these.
  providers: z.looseObject({}).optional(),
  models: z.looseObject({}).optional(),
  logger: z
    .custom((value) => typeof value === 'object' && value !== null && 'child' in value, 'must be a logger')
    .optional(),
  clock: clockSchema.optional(),
})

function mergeSettings(options: ParleyOptions): Readonly<Settings> {
  const fromCode = Object.fromEntries(
    Object.entries(options).filter(
      ([key, value]) =>
        value !== undefined && !['agents', 'providers', 'models', 'logger', 'clock'].includes(key),
    ),
  )
  // Every key that is left is one of Settings, by the type of the options.
  const settings = Object.freeze({ ...loadSettings(), ...fromCode }) as Readonly<Settings>
  assertHostIsSafe(settings.host)
  return settings
}

/** What the log must not hold, whoever says it: of the settings, and of variables that are named like secrets. */
function secretsOf(settings: Settings): string[] {
  const own = Object.entries(settings).filter(([key]) => 'secret' in settingsTable[key as keyof Settings])
  const values = [...own.map(([, value]) => String(value)), ...keysAmong(readVariables())]
  return secretsIn(values.flatMap((value) => [value, ...value.split(',')]))
}

function indexAgents(list: readonly Agent[]): Map<string, Agent> {
  const agents = new Map<string, Agent>()
  for (const agent of list) {
    // What `agent()` is given is not what it gives: a spread with `model` would change nothing.
    if ('model' in agent) {
      throw new DefinitionError(
        `createParley: agent ${agent.name}: use "models", a list, to give a copy another model`,
      )
    }
    if (agents.has(agent.name)) throw new DefinitionError(`createParley: two agents are named ${agent.name}`)
    agents.set(agent.name, agent)
  }
  return agents
}

/** The providers that the settings name. */
export function registryOptions(settings: Settings): Parameters<typeof createModelRegistry>[0] {
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
    ...(settings.anthropicApiKey ? { anthropic: { apiKey: settings.anthropicApiKey } } : {}),
    ...(settings.googleApiKey ? { google: { apiKey: settings.googleApiKey } } : {}),
    ...(openaiApiKey || openaiBaseUrl
      ? {
          openai: {
            ...(openaiApiKey ? { apiKey: openaiApiKey } : {}),
            ...(openaiBaseUrl ? { baseURL: openaiBaseUrl } : {}),
          },
        }
      : {}),
  }
}

/** Model of agents that name none. Undefined: there is none to be had but the demo. */
function defaultModelOf({ llmDefaultModel }: Settings, registry: ModelRegistry): string | undefined {
  const hasOpenai = registry.describe().providers.some(({ name }) => name === 'openai')
  return llmDefaultModel ?? (hasOpenai ? 'openai/gpt-4o-mini' : undefined)
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
  knownTools: OpenDirectory['knownTools']
  defaultModel: string
}): HttpApp {
  const { engine, store, settings, clock, logger, streams, agents, served, knownTools, defaultModel } = input
  const [first] = served
  const deps: ProtocolDeps = {
    runs: engine.runs,
    conversations: engine.conversations,
    agents,
    knownTools,
    defaultAgent: first?.name ?? '',
    defaultModel,
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
  directory: OpenDirectory
  settings: Settings
}): Parley['close'] {
  const { engine, store, streams, registry, directory, settings } = input
  let closing: Promise<void> | undefined
  const closeAll = async (graceMs: number) => {
    await engine.drain(graceMs)
    streams.endAll()
    await engine.close()
    await Promise.all([store.close(), registry.close(), directory.close()])
  }
  return (graceMs = settings.shutdownGraceMs) => (closing ??= closeAll(graceMs))
}
