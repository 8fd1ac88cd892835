import { AppError } from '../errors.ts'
import { parseBaseURL } from './base-url.ts'
import type { ProviderKey } from './key-ring.ts'

/**
 * A provider of models under the prefix of their names: `{ groq: { baseURL, keys } }` serves `groq/llama-3.3-70b`. The
 * built-in ones are `openai`, `llm`, `anthropic` and `google`; what is given here comes before their settings.
 */
export interface ProviderOptions {
  /** Needed where the name is not built in: an OpenAI-compatible server. */
  baseURL?: string
  /** Sent with each request. */
  headers?: Record<string, string>
  /** Several share the calls by weight, and stand in for each other. */
  keys?: readonly ProviderKey[]
  /** Calls in flight at the same time; more wait in order. Default: no limit. */
  maxConcurrent?: number
}

/** The settings of the built-in providers. A key may be several, separated by commas. */
export interface BuiltInProviders {
  openai?: { apiKey?: string; baseURL?: string }
  /** Takes `llm/…`, bare names, and whole strings that no other provider claims. */
  llm?: { baseURL: string; apiKey?: string; defaultModel?: string }
  anthropic?: { apiKey?: string; baseURL?: string }
  google?: { apiKey?: string; baseURL?: string }
}

/** A provider that can be asked. */
export interface ProviderSettings {
  readonly name: string
  /** For the two whose clients are the AI SDK's: absent means their own address. */
  readonly baseURL: string | undefined
  readonly origin: string
  readonly headers: Record<string, string> | undefined
  readonly keys: readonly ProviderKey[]
  readonly maxConcurrent: number | undefined
}

/** `a,b` as keys named `openai#1` and `openai#2`. */
export function toKeys(provider: string, text: string): ProviderKey[] {
  return text
    .split(',')
    .map((key) => key.trim())
    .filter((key) => key !== '')
    .map((key, i) => ({ name: `${provider}#${i + 1}`, key }))
}

/**
 * The providers that are configured, the built-in ones first. Throws `model_not_configured` where one has no base URL, and a
 * `TypeError` where names, keys or weights make no sense.
 */
export function toProviderSettings(
  builtIn: BuiltInProviders,
  providers: Readonly<Record<string, ProviderOptions>>,
): ProviderSettings[] {
  const others = Object.keys(providers).filter((name) => !isBuiltIn(name))
  return [...builtInNames, ...others].flatMap((name) => {
    const own = providers[name] ?? {}
    const given = isBuiltIn(name) ? builtIn[name] : undefined
    checkProvider(name, own)
    const keys = own.keys ?? toKeys(name, given?.apiKey ?? '')
    const baseURL = own.baseURL ?? given?.baseURL ?? (name === 'openai' ? openaiBaseURL : undefined)
    if (!isConfigured(name, { own, keys, baseURL })) return []
    const { headers, maxConcurrent } = own
    return [{ name, baseURL, origin: originOf(name, baseURL), headers, keys, maxConcurrent }]
  })
}

/** Whether the clients of the AI SDK speak to it. */
export function isOfAiSdk(name: string): name is 'anthropic' | 'google' {
  return name === 'anthropic' || name === 'google'
}

const builtInNames = ['openai', 'llm', 'anthropic', 'google'] as const

function isBuiltIn(name: string): name is (typeof builtInNames)[number] {
  return builtInNames.some((builtIn) => builtIn === name)
}

const openaiBaseURL = 'https://api.openai.com/v1'
const origins = {
  anthropic: 'https://api.anthropic.com',
  google: 'https://generativelanguage.googleapis.com',
}

/** A cap alone is no provider: then its names go to `LLM_BASE_URL`, as if nothing were said of it. */
function isConfigured(
  name: string,
  input: { own: ProviderOptions; keys: readonly ProviderKey[]; baseURL: string | undefined },
): boolean {
  const { own, keys, baseURL } = input
  if (isOfAiSdk(name)) return keys.length > 0
  if (name === 'openai') return keys.length > 0 || own.baseURL !== undefined || own.headers !== undefined
  if (name === 'llm') return baseURL !== undefined
  if (baseURL !== undefined) return true
  const message = `The model provider ${JSON.stringify(name)} needs a baseURL: it is not built in.`
  throw new AppError('model_not_configured', { message })
}

function originOf(name: string, baseURL: string | undefined): string {
  if (baseURL === undefined) return isOfAiSdk(name) ? origins[name] : ''
  return parseBaseURL(baseURL, `the model provider ${JSON.stringify(name)}`).origin
}

function checkProvider(name: string, { keys = [], maxConcurrent }: ProviderOptions): void {
  if (!/^[a-zA-Z0-9_.-]+$/.test(name)) {
    throw new TypeError(`provider name ${JSON.stringify(name)}: use a-z A-Z 0-9 _ . -`)
  }
  const fault = (what: string) => new TypeError(`provider ${JSON.stringify(name)}: ${what}`)
  if (maxConcurrent !== undefined && (!Number.isSafeInteger(maxConcurrent) || maxConcurrent < 1)) {
    throw fault('maxConcurrent must be a whole number from 1')
  }
  for (const { name: key, key: secret, weight = 1 } of keys) {
    if (!(weight > 0 && weight < Infinity)) throw fault(`the weight of key ${key} must be more than 0`)
    if (secret === '' && keys.length > 1) throw fault(`the key ${key} is empty`)
  }
  if (new Set(keys.map((key) => key.name)).size < keys.length) throw fault('two keys have the same name')
}
