import type { Clock } from '../clock.ts'
import { systemClock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Logger } from '../logger.ts'
import { silentLogger } from '../logger.ts'
import { createAiSdkModel } from './ai-sdk/ai-sdk-model.ts'
import { loadLanguageModel } from './ai-sdk/providers.ts'
import { createConcurrencyLimit, limitModel } from './concurrency-limit.ts'
import type { ConcurrencyLimit } from './concurrency-limit.ts'
import { createKeyRing } from './key-ring.ts'
import type { KeyRing, ProviderKey } from './key-ring.ts'
import { createKeyedModel } from './keyed-model.ts'
import { builtInInfo, checkInfos } from './model-info.ts'
import type { ModelInfo } from './model-info.ts'
import type { Model, ResolveModel } from './model.ts'
import { createConnectionPool } from './openai-compatible/connection-pool.ts'
import type { ConnectionPool } from './openai-compatible/connection-pool.ts'
import { createOpenAICompatibleModel } from './openai-compatible/openai-compatible-model.ts'
import { isOfAiSdk, toProviderSettings } from './providers.ts'
import type { BuiltInProviders, ProviderOptions, ProviderSettings } from './providers.ts'

export interface ModelRegistryOptions extends BuiltInProviders {
  /** Further ones by the prefix of their models' names, and what is to be different of the built-in ones. */
  providers?: Readonly<Record<string, ProviderOptions>>
  /** What is known of models, by their full names: `openai/gpt-4o-mini`. Comes before what is built in. */
  models?: Readonly<Record<string, ModelInfo>>
  /** Default 60 s. */
  stallTimeoutMs?: number
  /** Default: none. */
  logger?: Logger
  clock?: Clock
  /** From 0, below 1. For tests. */
  random?: () => number
}

export interface ModelRegistry {
  /** The model of a name. Throws `model_not_configured`, with a message that says what to set. */
  resolve: ResolveModel
  /** What is configured: never keys, nor what may be hidden in a URL. */
  describe(): ModelRegistryDescription
  /** What is known of a model by its id, as in `models`, also where it is none of ours. */
  infoOf: (id: string) => ModelInfo
  /** The providers that have a cap: calls in flight, and calls that wait for their turn. */
  gauges(): { provider: string; inFlight: number; waiting: number }[]
  /** Closes all connections to OpenAI-compatible providers, also those in use. Idempotent. */
  close(): Promise<void>
}

export interface ModelRegistryDescription {
  /** What an agent without a model uses; null where nothing is set. A name for `resolve`. */
  defaultModel: string | null
  /** `origin` without path or credentials. */
  providers: { name: string; origin: string }[]
}

/**
 * Throws at once where a provider cannot be used: `model_not_configured` (a base URL), `DefinitionError` (names, keys, caps of
 * the author's, and what is said of models).
 */
export function createModelRegistry(options: ModelRegistryOptions): ModelRegistry {
  const providers = toProviders(options)
  const models = new Map<string, Model>()
  checkInfos(options.models ?? {})
  const told = new Map(Object.entries(options.models ?? {}))
  const infos = new Map<string, ModelInfo>()
  // Asked for the price of every step.
  const infoOf = (name: string) => {
    const known = infos.get(name)
    if (known) return known
    const found = findInfo(told, { name, place: find(providers, name) })
    keep(infos, name, found)
    return found
  }

  return {
    resolve(name) {
      const known = models.get(name)
      if (known) return known
      const made = createModel(getPlace(providers, name), { name, info: infoOf(name), options })
      keep(models, name, made)
      return made
    },
    describe: () => ({
      defaultModel: options.llm?.defaultModel ? `llm/${options.llm.defaultModel}` : null,
      providers: [...providers.values()].map(({ name, origin }) => ({ name, origin })),
    }),
    infoOf,
    gauges: () =>
      [...providers.values()].flatMap(({ name, limit }) =>
        limit ? [{ provider: name, inFlight: limit.inFlight(), waiting: limit.waiting() }] : [],
      ),
    async close() {
      await Promise.all([...providers.values()].map(async ({ connections }) => connections?.close()))
    },
  }
}

interface Provider extends ProviderSettings {
  /** Undefined: there are not several keys. */
  readonly ring: KeyRing | undefined
  readonly limit: ConcurrencyLimit | undefined
  /** Undefined: a client of the AI SDK, which has its own. */
  readonly connections: ConnectionPool | undefined
}

type Providers = ReadonlyMap<string, Provider>

function toProviders(options: ModelRegistryOptions): Providers {
  const { clock = systemClock, logger = silentLogger, random = Math.random, providers = {} } = options
  return new Map(
    toProviderSettings(options, providers).map((settings) => {
      const { name, baseURL, keys, maxConcurrent } = settings
      const provider: Provider = {
        ...settings,
        ring: keys.length > 1 ? createKeyRing({ provider: name, keys, clock, logger, random }) : undefined,
        limit: maxConcurrent === undefined ? undefined : createConcurrencyLimit(maxConcurrent),
        connections: isOfAiSdk(name) || baseURL === undefined ? undefined : createConnectionPool({ baseURL }),
      }
      return [name, provider]
    }),
  )
}

/** Where a model is: its provider, and the name the provider knows it by. */
interface Place {
  provider: Provider
  model: string
}

function find(providers: Providers, name: string): Place | undefined {
  const { prefix, rest } = split(name)
  const own = providers.get(prefix)
  if (own && rest !== '') return { provider: own, model: rest }
  const llm = providers.get('llm')
  // Not `llm/`: without the base URL it has no other meaning, with it it was found above.
  return llm && name !== '' && prefix !== 'llm' ? { provider: llm, model: name } : undefined
}

function getPlace(providers: Providers, name: string): Place {
  const place = find(providers, name)
  if (place) return place
  throw new AppError('model_not_configured', { message: adviceFor(name, split(name).prefix) })
}

function split(name: string): { prefix: string; rest: string } {
  const slash = name.indexOf('/')
  return slash === -1
    ? { prefix: '', rest: name }
    : { prefix: name.slice(0, slash), rest: name.slice(slash + 1) }
}

const settingNames: ReadonlyMap<string, string> = new Map([
  ['openai', 'OPENAI_API_KEY'],
  ['anthropic', 'ANTHROPIC_API_KEY'],
  ['google', 'GOOGLE_GENERATIVE_AI_API_KEY'],
])

function adviceFor(name: string, prefix: string): string {
  const model = `The model ${JSON.stringify(name)} is not configured`
  if (name === '' || name === 'llm/') return 'The name of the model is empty.'
  if (prefix === '' || prefix === 'llm') return `${model}: set LLM_BASE_URL.`
  const setting = settingNames.get(prefix)
  if (setting) return `${model}: set ${setting}, or LLM_BASE_URL for a gateway that serves it.`
  return `${model}: configure a provider named ${JSON.stringify(prefix)}, or set LLM_BASE_URL.`
}

/** The author's word by the name as it is used, or with its provider's prefix; then what is built in. */
function findInfo(
  told: ReadonlyMap<string, ModelInfo>,
  { name, place }: { name: string; place: Place | undefined },
): ModelInfo {
  if (!place) return told.get(name) ?? {}
  const { provider, model } = place
  return { ...builtInInfo(provider.name, model), ...told.get(`${provider.name}/${model}`), ...told.get(name) }
}

interface CreateModelInput {
  name: string
  info: ModelInfo
  options: ModelRegistryOptions
}

/** One key and no cap: the bare model, with nothing around it. */
function createModel(place: Place, input: CreateModelInput): Model {
  const { ring, limit, keys } = place.provider
  const create = (key: ProviderKey | undefined) => createBareModel(place, { ...input, key })
  const model = ring ? createKeyedModel({ keys: ring.forModel(input.name), create }) : create(keys[0])
  return limit ? limitModel(model, limit) : model
}

function createBareModel(
  { provider, model }: Place,
  { name, info, options, key }: CreateModelInput & { key: ProviderKey | undefined },
): Model {
  const { baseURL, headers, connections } = provider
  const common = {
    provider: provider.name,
    id: name,
    ...(info.contextWindow !== undefined && { contextWindow: info.contextWindow }),
    ...(info.accepts && { accepts: info.accepts }),
    ...(options.stallTimeoutMs !== undefined && { stallTimeoutMs: options.stallTimeoutMs }),
    ...(options.clock && { clock: options.clock }),
  }
  if (connections) {
    const apiKey = key && { apiKey: key.key }
    const to = { model, baseURL: connections.baseURL, connections, ...apiKey, ...(headers && { headers }) }
    return createOpenAICompatibleModel({ ...common, ...to })
  }
  if (!isOfAiSdk(provider.name)) throw new Error(`the provider ${provider.name} has no connections`)
  const access = {
    apiKey: key?.key ?? '',
    ...(baseURL !== undefined && { baseURL }),
    ...(headers && { headers }),
  }
  const from = { provider: provider.name, model, ...access }
  return createAiSdkModel({ ...common, languageModel: () => loadLanguageModel(from) })
}

/** Names may come from requests: the cache must not grow with them. A model that falls out is simply made again. */
const maxModels = 1000

function keep<T>(known: Map<string, T>, name: string, made: T): void {
  const oldest = known.keys().next()
  if (known.size >= maxModels && !oldest.done) known.delete(oldest.value)
  known.set(name, made)
}
