import type { Clock } from '../../clock.ts'
import { systemClock } from '../../clock.ts'
import type { InputKind, Model } from '../model.ts'
import { checkHeader, secretsOf } from '../provider-secrets.ts'
import { createConnectionPool } from './connection-pool.ts'
import type { ConnectionPool } from './connection-pool.ts'
import { ReplyStream } from './reply-stream.ts'
import { encodeRequest } from './request.ts'

export interface OpenAICompatibleModelOptions {
  /** Whose dialect and whose `providerData`: `openai`, `llm`, or a configured name. */
  provider: string
  /** The full name: `openai/gpt-4o-mini`. */
  id: string
  /** As the provider knows it: `gpt-4o-mini`. */
  model: string
  /** Where `/chat/completions` lives: `https://api.openai.com/v1`. */
  baseURL: string
  /** Sent as a bearer token. Absent: no `authorization` header, unless `headers` has one. */
  apiKey?: string
  /** Sent with each request. They win over ours. */
  headers?: Record<string, string>
  /** Silence, from the request or the last byte, after which a call fails with `model_timeout`. Default 60 s. */
  stallTimeoutMs?: number
  /** Tokens, where known. */
  contextWindow?: number
  /** What a message may hold beside text, where known. */
  accepts?: readonly InputKind[]
  /** Shared with other models of the same base URL; whoever made it closes it. Absent: the model has its own. */
  connections?: ConnectionPool
  clock?: Clock
}

export interface OpenAICompatibleModel extends Model {
  /** Closes the model's own connections; those that were given to it stay. */
  close(): Promise<void>
}

/**
 * A model behind `POST {baseURL}/chat/completions`: OpenAI, and the servers that speak as it does (LiteLLM, vLLM, Ollama,
 * OpenRouter…). Throws `model_not_configured` where base URL, key or headers cannot be sent.
 */
export function createOpenAICompatibleModel(options: OpenAICompatibleModelOptions): OpenAICompatibleModel {
  const connections = options.connections ?? createConnectionPool({ baseURL: options.baseURL })
  const headers = encodeHeaders(options)
  const secrets = secretsOf(options)
  const stallTimeoutMs = options.stallTimeoutMs ?? 60_000
  const clock = options.clock ?? systemClock
  const dialect = { provider: options.provider, model: options.model }
  return {
    provider: options.provider,
    id: options.id,
    ...(options.contextWindow !== undefined && { contextWindow: options.contextWindow }),
    ...(options.accepts && { accepts: options.accepts }),
    // Other servers take a schema, and keep to it or not.
    ...(options.provider === 'openai' && { enforcesOutputSchema: true }),
    stream(request, { emit, signal }) {
      return new Promise((resolve, reject) => {
        const stream = new ReplyStream({ emit, signal, resolve, reject, stallTimeoutMs, clock, secrets })
        stream.start(connections, {
          path: '/chat/completions',
          headers,
          body: Buffer.from(encodeRequest(request, dialect)),
          handler: stream,
        })
      })
    },
    async close() {
      if (!options.connections) await connections.close()
    },
  }
}

/** Encoded once: every request of the model sends the same. */
function encodeHeaders(options: OpenAICompatibleModelOptions): readonly string[] {
  const headers = new Map<string, string>([
    ['content-type', 'application/json'],
    ['accept', 'text/event-stream, application/json'],
    ['accept-encoding', 'identity'],
    ['user-agent', 'parley'],
  ])
  if (options.apiKey) headers.set('authorization', `Bearer ${options.apiKey}`)
  for (const [name, value] of Object.entries(options.headers ?? {})) headers.set(name.toLowerCase(), value)
  for (const [name, value] of headers) checkHeader(name, value)
  return [...headers].flat()
}
