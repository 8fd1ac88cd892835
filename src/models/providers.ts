import { z } from 'zod'
import { AppError } from '../errors.ts'
import { parseDefinition } from '../parse-definition.ts'
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

const keysSchema = z
  .array(
    z.strictObject({
      name: z.string().min(1),
      key: z.string(),
      weight: z.number().positive().optional(),
    }),
  )
  .refine((keys) => keys.length < 2 || keys.every(({ key }) => key !== ''), 'one of several is empty')
  .refine((keys) => new Set(keys.map(({ name }) => name)).size === keys.length, 'two have the same name')

const providersSchema = z.record(
  z.string().regex(/^[a-zA-Z0-9_.-]+$/, 'a name is made of a-z A-Z 0-9 _ . -'),
  z.strictObject({
    baseURL: z.string().optional(),
    headers: z.record(z.string(), z.string()).optional(),
    keys: keysSchema.optional(),
    maxConcurrent: z.int().min(1).optional(),
  }),
)

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
 * `DefinitionError` where names, keys or weights make no sense.
 */
export function toProviderSettings(
  builtIn: BuiltInProviders,
  providers: Readonly<Record<string, ProviderOptions>>,
): ProviderSettings[] {
  parseDefinition({ what: 'providers', schema: providersSchema, options: providers })
  const others = Object.keys(providers).filter((name) => !isBuiltIn(name))
  return [...builtInNames, ...others].flatMap((name) => {
    const own = providers[name] ?? {}
    const given = isBuiltIn(name) ? builtIn[name] : undefined
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
