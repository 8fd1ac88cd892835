import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Model, ResolveModel } from './model.ts'
import { createConnectionPool } from './openai-compatible/connection-pool.ts'
import type { ConnectionPool } from './openai-compatible/connection-pool.ts'
import { createOpenAICompatibleModel } from './openai-compatible/openai-compatible-model.ts'

export interface ProviderKey {
  name: string
  key: string
  weight?: number
}

/** An OpenAI-compatible server under a name of its own: `{ groq: { baseURL, keys } }` serves `groq/llama-3.3-70b`. */
export interface ProviderOptions {
  baseURL: string
  headers?: Record<string, string>
  /** The first is used. */
  keys?: readonly ProviderKey[]
}

export interface ModelRegistryOptions {
  providers?: Record<string, ProviderOptions>
  /** Takes `llm/…`, bare names, and whole strings that no other provider claims. */
  llm?: { baseURL: string; apiKey?: string; defaultModel?: string }
  openai?: { apiKey: string; baseURL?: string }
  /** Default 60 s. */
  stallTimeoutMs?: number
  clock?: Clock
}

export interface ModelRegistry {
  /** The model of a name. Throws `model_not_configured`, with a message that says what to set. */
  resolve: ResolveModel
  /** What is configured: never keys, nor what may be hidden in a URL. */
  describe(): ModelRegistryDescription
  /** Closes all connections to providers, also those in use. Idempotent. */
  close(): Promise<void>
}

export interface ModelRegistryDescription {
  /** What an agent without a model uses; null where nothing is set. A name for `resolve`. */
  defaultModel: string | null
  /** `origin` without path or credentials. */
  providers: { name: string; origin: string }[]
}

/** Throws `model_not_configured` at once where a provider's base URL or key cannot be used. */
export function createModelRegistry(options: ModelRegistryOptions): ModelRegistry {
  const providers = toProviders(options)
  const models = new Map<string, Model>()

  function resolve(name: string): Model {
    const known = models.get(name)
    if (known) return known
    const { provider, model } = locate(providers, name)
    const made = createOpenAICompatibleModel({
      provider: provider.name,
      id: name,
      model,
      baseURL: provider.baseURL,
      connections: provider.connections,
      ...(provider.apiKey !== undefined && { apiKey: provider.apiKey }),
      ...(provider.headers && { headers: provider.headers }),
      ...(options.stallTimeoutMs !== undefined && { stallTimeoutMs: options.stallTimeoutMs }),
      ...(options.clock && { clock: options.clock }),
      ...contextWindowOf(provider.name, model),
    })
    keep(models, name, made)
    return made
  }

  return {
    resolve,
    describe: () => ({
      defaultModel: options.llm?.defaultModel ? `llm/${options.llm.defaultModel}` : null,
      providers: [...providers.values()].map(({ name, baseURL }) => ({
        name,
        origin: new URL(baseURL).origin,
      })),
    }),
    async close() {
      await Promise.all([...providers.values()].map(({ connections }) => connections.close()))
    },
  }
}

interface Provider {
  readonly name: string
  readonly baseURL: string
  readonly apiKey: string | undefined
  readonly headers: Record<string, string> | undefined
  readonly connections: ConnectionPool
}

type Providers = ReadonlyMap<string, Provider>

function toProviders({ openai, llm, providers = {} }: ModelRegistryOptions): Providers {
  const made = new Map<string, Provider>()
  if (openai) {
    const baseURL = openai.baseURL ?? 'https://api.openai.com/v1'
    made.set('openai', toProvider('openai', { baseURL, keys: [{ name: 'default', key: openai.apiKey }] }))
  }
  if (llm) {
    const keys = llm.apiKey ? [{ name: 'default', key: llm.apiKey }] : []
    made.set('llm', toProvider('llm', { baseURL: llm.baseURL, keys }))
  }
  for (const [name, provider] of Object.entries(providers)) {
    if (!/^[a-zA-Z0-9_.-]+$/.test(name)) {
      throw new TypeError(`provider name ${JSON.stringify(name)}: use a-z A-Z 0-9 _ . -`)
    }
    made.set(name, toProvider(name, provider))
  }
  return made
}

function toProvider(name: string, { baseURL, headers, keys }: ProviderOptions): Provider {
  return { name, baseURL, headers, apiKey: keys?.[0]?.key, connections: createConnectionPool({ baseURL }) }
}

function locate(providers: Providers, name: string): { provider: Provider; model: string } {
  const slash = name.indexOf('/')
  const prefix = slash === -1 ? '' : name.slice(0, slash)
  const own = providers.get(prefix)
  if (own && slash + 1 < name.length) return { provider: own, model: name.slice(slash + 1) }
  const llm = providers.get('llm')
  // Not `llm/`: without the base URL it has no other meaning, with it it was found above.
  if (llm && name !== '' && prefix !== 'llm') return { provider: llm, model: name }
  throw new AppError('model_not_configured', { message: adviceFor(name, prefix) })
}

function adviceFor(name: string, prefix: string): string {
  const model = `The model ${JSON.stringify(name)} is not configured`
  if (name === '' || name === 'llm/') return 'The name of the model is empty.'
  if (prefix === 'openai')
    return `${model}: set OPENAI_API_KEY, or LLM_BASE_URL for a gateway that serves it.`
  if (prefix === 'anthropic' || prefix === 'google') {
    return `${model}: ${prefix}/… is not supported directly yet; set LLM_BASE_URL to a gateway that serves it.`
  }
  if (prefix === '' || prefix === 'llm') return `${model}: set LLM_BASE_URL.`
  return `${model}: configure a provider named ${JSON.stringify(prefix)}, or set LLM_BASE_URL.`
}

/** Names may come from requests: the cache must not grow with them. A model that falls out is simply made again. */
const maxModels = 1000

function keep(models: Map<string, Model>, name: string, model: Model): void {
  const oldest = models.keys().next()
  if (models.size >= maxModels && !oldest.done) models.delete(oldest.value)
  models.set(name, model)
}

/** Longer prefixes first. Models that are not listed have no known window. */
const openaiWindows: readonly (readonly [prefix: string, tokens: number])[] = [
  ['gpt-5-chat', 128_000],
  ['gpt-5', 400_000],
  ['gpt-4.1', 1_047_576],
  ['gpt-4o', 128_000],
  ['gpt-4-turbo', 128_000],
  ['gpt-3.5-turbo', 16_385],
  ['o4-mini', 200_000],
  ['o3', 200_000],
  ['o1-mini', 128_000],
  ['o1-preview', 128_000],
  ['o1', 200_000],
]

function contextWindowOf(provider: string, model: string): { contextWindow: number } | undefined {
  if (provider !== 'openai') return undefined
  const found = openaiWindows.find(([prefix]) => model.startsWith(prefix))
  return found && { contextWindow: found[1] }
}
