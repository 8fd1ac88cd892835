import { createParser } from 'eventsource-parser'
import { onTestFinished } from 'vitest'
import type { ModelChoice } from '../../../src/agent/definitions.ts'
import { systemClock, type Clock } from '../../../src/clock.ts'
import type { RunEvent } from '../../../src/events.ts'
import type { ProviderOptions } from '../../../src/models/providers.ts'
import {
  createTestServer,
  type TestServer,
  type TestServerOptions,
} from '../../../src/testing/test-server.ts'
import { createAnthropicServer } from '../stand-ins/anthropic-server.ts'
import { createGoogleServer } from '../stand-ins/google-server.ts'
import { createOpenAIServer } from '../stand-ins/openai-server.ts'
import { createScriptedStandIn } from '../stand-ins/scripted-stand-in.ts'
import type { StandIn } from '../stand-ins/stand-in.ts'
import { travelAgent } from './travel-agent.ts'

export interface Provider {
  name: 'scripted' | 'llm' | 'openai' | 'anthropic' | 'google'
  start(): Promise<StandIn>
  model(standIn: StandIn): ModelChoice
  /** How a server is told of it. */
  options(standIn: StandIn, key: string): TestServerOptions
  /** In what it differs from the others. Everything else holds for all. */
  differs: Deviations
}

export interface Deviations {
  /** Has a wire: a socket that closes, a key that may be wrong. */
  wire: boolean
  /** Shows what it thinks. OpenAI counts its reasoning in chat completions, and shows none. */
  showsReasoning: boolean
  /** Signs what it thinks and wants it back. The wire of chat completions has no field for it. */
  signs: boolean
  /** A result can be marked as an error. In chat completions the text alone says so. */
  marksToolErrors: boolean
  /** A refused prompt is an error of the request, or an answer without content that a filter stopped. */
  blockedPrompt: 'error' | 'answer'
  /** What the wire makes of `reasoningEffort: 'medium'`. */
  mediumReasoning: unknown
  /** Takes a temperature while it thinks. Anthropic does not, and it is left out. */
  temperatureWithReasoning: boolean
  /**
   * Goes on with an answer that the caller began. Newer models of Anthropic's do not, nor does any while it thinks, nor
   * Google's: they refuse the request, and the run says so.
   */
  continuesAnswers: boolean
  /** Finds out itself what an image is. Google must be told, by the part or by the end of the address. */
  takesUntypedAddresses: boolean
  /** The limit holds for what is thought as well. Anthropic's has the budget for thinking added to it. */
  limitIsExact: boolean
}

const asChatCompletions = {
  wire: true,
  signs: false,
  marksToolErrors: false,
  blockedPrompt: 'error',
  mediumReasoning: 'medium',
  temperatureWithReasoning: true,
  continuesAnswers: true,
  takesUntypedAddresses: true,
  limitIsExact: true,
} as const

function named(name: string, provider: (baseURL: string, key: string) => ProviderOptions) {
  return (standIn: StandIn, key: string): TestServerOptions => ({
    providers: { [name]: provider(standIn.baseURL, key) },
  })
}

export const providers: readonly Provider[] = [
  {
    name: 'scripted',
    start: () => Promise.resolve(createScriptedStandIn()),
    // The one model that has no name for a registry: it is given itself.
    model: (standIn) => (standIn as ReturnType<typeof createScriptedStandIn>).model,
    options: () => ({}),
    differs: {
      wire: false,
      showsReasoning: true,
      signs: true,
      marksToolErrors: true,
      blockedPrompt: 'error',
      mediumReasoning: 'medium',
      temperatureWithReasoning: true,
      continuesAnswers: true,
      takesUntypedAddresses: true,
      limitIsExact: true,
    },
  },
  {
    name: 'llm',
    start: () => createOpenAIServer('llm'),
    model: () => 'llm/qwen3',
    options: ({ baseURL }, key) => ({ llmBaseUrl: baseURL, llmApiKey: key }),
    differs: { ...asChatCompletions, showsReasoning: true },
  },
  {
    name: 'openai',
    start: () => createOpenAIServer('openai'),
    model: () => 'openai/gpt-5-mini',
    options: ({ baseURL }, key) => ({ openaiBaseUrl: baseURL, openaiApiKey: key }),
    differs: { ...asChatCompletions, showsReasoning: false },
  },
  {
    name: 'anthropic',
    start: createAnthropicServer,
    model: () => 'anthropic/claude-sonnet-4-5',
    options: named('anthropic', (baseURL, key) => ({ baseURL, keys: [{ name: 'test', key }] })),
    differs: {
      wire: true,
      showsReasoning: true,
      signs: true,
      marksToolErrors: true,
      blockedPrompt: 'answer',
      mediumReasoning: { type: 'enabled', budget_tokens: 19_200 },
      temperatureWithReasoning: false,
      continuesAnswers: false,
      takesUntypedAddresses: true,
      limitIsExact: false,
    },
  },
  {
    name: 'google',
    start: createGoogleServer,
    model: () => 'google/gemini-3.5-flash',
    options: named('google', (baseURL, key) => ({ baseURL, keys: [{ name: 'test', key }] })),
    differs: {
      wire: true,
      showsReasoning: true,
      signs: true,
      marksToolErrors: true,
      blockedPrompt: 'answer',
      mediumReasoning: { thinkingLevel: 'medium', includeThoughts: true },
      temperatureWithReasoning: true,
      continuesAnswers: false,
      takesUntypedAddresses: false,
      limitIsExact: true,
    },
  },
]

export function providerNamed(name: Provider['name']): Provider {
  return providers.find((provider) => provider.name === name)!
}

// What a test looks at is checked by its expectations.
// oxlint-disable-next-line typescript/no-explicit-any
export type Json = any

export interface Served {
  standIn: StandIn
  server: TestServer
  /** Every wait that was begun, in milliseconds. */
  waits: readonly number[]
  /** A run, to its end. */
  run: (body: object) => Promise<Json>
  /** A run as it is streamed. */
  stream: (body: object) => Promise<RunEvent[]>
  items: (conversationId: string) => Promise<Json[]>
}

/** The travel agent on a real server, its model at a stand-in. Both go with the test. */
export async function serve(
  provider: Provider,
  options: { key?: string; model?: ModelChoice } = {},
): Promise<Served> {
  const standIn = await provider.start()
  const waits: number[] = []
  const server = await createTestServer({
    agents: [travelAgent(options.model ?? provider.model(standIn))],
    clock: createHastyClock(waits),
    ...provider.options(standIn, options.key ?? standIn.key),
  })
  onTestFinished(async () => {
    await server.close()
    await standIn.close()
  })
  return { standIn, waits, ...clientOf(server) }
}

export function clientOf(server: TestServer): Omit<Served, 'standIn' | 'waits'> {
  return {
    server,
    run: async (body) => (await post(server, body)).json(),
    stream: async (body) => eventsIn(await (await post(server, { ...body, stream: true })).text()),
    async items(conversationId) {
      const response = await fetch(`${server.url}/v1/conversations/${conversationId}/items?order=asc`)
      return ((await response.json()) as Json).data
    },
  }
}

export function post(server: TestServer, body: object, init: { signal?: AbortSignal } = {}) {
  return fetch(`${server.url}/v1/agents/travel/runs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...init,
  })
}

/** The body of a response as it comes. */
export interface Body {
  /** All that was read so far, as soon as it holds the text. Throws where the body ends before. */
  until(text: string): Promise<string>
  /** All, when the body has ended. */
  rest(): Promise<string>
  cancel(): Promise<void>
}

export function bodyOf(response: Response): Body {
  if (!response.body) throw new Error('a response without a body')
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let read = ''
  return {
    async until(text) {
      while (!read.includes(text)) {
        const { done, value } = await reader.read()
        if (done) throw new Error(`the body ends without ${text}: ${read}`)
        read += value
      }
      return read
    },
    async rest() {
      for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) read += chunk.value
      return read
    },
    cancel: () => reader.cancel(),
  }
}

function eventsIn(wire: string): RunEvent[] {
  const events: RunEvent[] = []
  createParser({ onEvent: ({ data }) => events.push(JSON.parse(data) as RunEvent) }).feed(wire)
  return events
}

export function deltasOf(events: readonly RunEvent[], type: 'text.delta' | 'reasoning.delta'): string {
  return events.map((event) => (event.type === type ? event.delta : '')).join('')
}

/** A wait that a provider asks for, and nothing else in the program. In milliseconds. */
export const askedWaitMs = 7000

/** The waits before another try are over in no time; all that bounds something is as long as ever. */
function createHastyClock(waits: number[]): Clock {
  return {
    ...systemClock,
    after(ms, call) {
      waits.push(ms)
      return systemClock.after(ms < 1000 || ms === askedWaitMs ? 0 : ms, call)
    },
  }
}
