import { createAnthropic } from '@ai-sdk/anthropic'
import { createGoogle } from '@ai-sdk/google'
import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4Prompt,
  LanguageModelV4StreamPart,
  LanguageModelV4ToolCall,
} from '@ai-sdk/provider'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createAnthropicServer } from './anthropic-server.ts'
import { createGoogleServer } from './google-server.ts'
import { signaturesOf } from './seen-request.ts'
import type { StandIn } from './stand-in.ts'

/*
 * The stand-ins themselves, read by the clients that read the real services: what these understand is what the services
 * say. Nothing of Parley takes part.
 */

interface Service {
  name: string
  start(): Promise<StandIn>
  client(standIn: StandIn, key: string): LanguageModelV4
}

const services: readonly Service[] = [
  {
    name: 'anthropic',
    start: createAnthropicServer,
    client: ({ baseURL }, apiKey) => createAnthropic({ baseURL, apiKey })('claude-sonnet-4-5'),
  },
  {
    name: 'google',
    start: createGoogleServer,
    client: ({ baseURL }, apiKey) => createGoogle({ baseURL, apiKey })('gemini-3.5-flash'),
  },
]

const question: LanguageModelV4Prompt = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: [{ type: 'text', text: 'Weather in Oslo?' }] },
]
const weather = {
  type: 'function' as const,
  name: 'get_weather',
  description: 'The weather.',
  inputSchema: { type: 'object' as const, properties: { city: { type: 'string' as const } } },
}

const thinking = {
  anthropic: { thinking: { type: 'enabled', budgetTokens: 1024 } },
  google: { thinkingConfig: { thinkingLevel: 'low', includeThoughts: true } },
}

async function start(service: Service): Promise<{ standIn: StandIn; model: LanguageModelV4 }> {
  const standIn = await service.start()
  onTestFinished(() => standIn.close())
  return { standIn, model: service.client(standIn, standIn.key) }
}

type Part<T extends LanguageModelV4StreamPart['type']> = Extract<LanguageModelV4StreamPart, { type: T }>

async function ask(
  model: LanguageModelV4,
  options: Partial<LanguageModelV4CallOptions> = {},
): Promise<LanguageModelV4StreamPart[]> {
  const { stream } = await model.doStream({
    prompt: question,
    tools: [weather],
    providerOptions: thinking,
    ...options,
  })
  const parts: LanguageModelV4StreamPart[] = []
  for await (const part of stream) parts.push(part)
  return parts
}

function of<T extends LanguageModelV4StreamPart['type']>(
  parts: readonly LanguageModelV4StreamPart[],
  type: T,
): Part<T>[] {
  return parts.filter((part): part is Part<T> => part.type === type)
}

const joined = (parts: readonly { delta: string }[]) => parts.map(({ delta }) => delta).join('')

/** The reply as an assistant's message: what a client sends back. */
function replay(parts: readonly LanguageModelV4StreamPart[]): LanguageModelV4Prompt[number] {
  const content: Extract<LanguageModelV4Prompt[number], { role: 'assistant' }>['content'] = []
  for (const start of of(parts, 'reasoning-start')) {
    const deltas = of(parts, 'reasoning-delta').filter(({ id }) => id === start.id)
    const signed = [start, ...deltas].findLast(({ providerMetadata }) => providerMetadata)?.providerMetadata
    content.push({
      type: 'reasoning',
      text: joined(deltas),
      ...(signed ? { providerOptions: signed } : {}),
    })
  }
  for (const call of of(parts, 'tool-call')) {
    content.push({
      type: 'tool-call',
      toolCallId: call.toolCallId,
      toolName: call.toolName,
      input: JSON.parse(call.input) as unknown,
      ...(call.providerMetadata ? { providerOptions: call.providerMetadata } : {}),
    })
  }
  return { role: 'assistant', content }
}

function resultsOf(calls: readonly LanguageModelV4ToolCall[]): LanguageModelV4Prompt[number] {
  return {
    role: 'tool',
    content: calls.map(({ toolCallId, toolName }) => ({
      type: 'tool-result',
      toolCallId,
      toolName,
      output: { type: 'text', value: 'rain' },
    })),
  }
}

describe.for(services)('the stand-in for $name', (service) => {
  test('streams text in several deltas, with usage and the reason of its end', async () => {
    const { standIn, model } = await start(service)
    standIn.reply({
      text: 'It is raining in Oslo.',
      usage: { input: 100, cached: 40, output: 30, reasoning: 20 },
    })
    const parts = await ask(model)
    expect(joined(of(parts, 'text-delta'))).toBe('It is raining in Oslo.')
    expect(of(parts, 'text-delta')).toHaveLength(5)
    expect(of(parts, 'error')).toEqual([])
    expect(of(parts, 'finish')).toMatchObject([
      {
        finishReason: { unified: 'stop' },
        usage: {
          inputTokens: { total: 100, cacheRead: 40 },
          outputTokens: { total: 30, reasoning: 20 },
        },
      },
    ])
    expect(standIn.seen[0]).toMatchObject({
      key: standIn.key,
      system: 'Be brief.',
      content: [{ from: 'user', type: 'text', text: 'Weather in Oslo?' }],
      tools: [{ name: 'get_weather', description: 'The weather.', parameters: weather.inputSchema }],
    })
    expect(await standIn.seen[0]?.outcome).toBe('ended')
  })

  test('calls tools in parallel and takes what was thought back with their results', async () => {
    const { standIn, model } = await start(service)
    const calls = ['Oslo', 'Rome'].map((city) => ({ name: 'get_weather', arguments: { city } }))
    standIn.reply({ reasoning: 'Two cities.', toolCalls: calls }, { text: 'Rain, rain.' })
    const parts = await ask(model)
    expect(joined(of(parts, 'reasoning-delta'))).toBe('Two cities.')
    expect(of(parts, 'finish')[0]?.finishReason.unified).toBe('tool-calls')
    const called = of(parts, 'tool-call')
    expect(called.map(({ input }) => JSON.parse(input) as unknown)).toEqual([
      { city: 'Oslo' },
      { city: 'Rome' },
    ])
    await ask(model, { prompt: [...question, replay(parts), resultsOf(called)] })
    expect(standIn.refusals).toEqual([])
    expect(signaturesOf(standIn.seen[1]!)).toEqual(standIn.signatures)
    expect(standIn.seen[1]!.content.slice(-4)).toMatchObject([
      { type: 'tool_call', call: 0, name: 'get_weather', arguments: { city: 'Oslo' } },
      { type: 'tool_call', call: 1, name: 'get_weather', arguments: { city: 'Rome' } },
      { type: 'tool_result', call: 0, output: 'rain' },
      { type: 'tool_result', call: 1, output: 'rain' },
    ])
  })

  test.for([
    {
      what: 'a step whose signature was dropped',
      spoil: (prompt: LanguageModelV4Prompt) => {
        const message = prompt[2]
        if (message?.role !== 'assistant') throw new Error('not the reply')
        const content = message.content
          .filter(({ type }) => type !== 'reasoning')
          .map((part) => ({ ...part, providerOptions: {} }))
        return prompt.with(2, { ...message, content })
      },
      words: /thinking|thought_signature/,
    },
    {
      what: 'a signature it never gave',
      spoil: (prompt: LanguageModelV4Prompt) =>
        JSON.parse(
          JSON.stringify(prompt).replaceAll(/("(?:signature|thoughtSignature)":")[^"]*/g, '$1Zm9yZ2Vk'),
        ) as LanguageModelV4Prompt,
      words: /signature/,
    },
    {
      what: 'a call without its result',
      spoil: (prompt: LanguageModelV4Prompt) =>
        prompt.with(-1, { role: 'user', content: [{ type: 'text', text: 'And now?' }] }),
      words: /tool_result|function response/,
    },
    {
      what: 'a result without its call',
      spoil: (prompt: LanguageModelV4Prompt) => prompt.toSpliced(2, 1),
      words: /tool_use|function response/,
    },
  ])('refuses $what', async ({ spoil, words }) => {
    const { standIn, model } = await start(service)
    standIn.reply({ reasoning: 'A city.', toolCalls: [{ name: 'get_weather', arguments: { city: 'Oslo' } }] })
    const parts = await ask(model)
    const prompt = [...question, replay(parts), resultsOf(of(parts, 'tool-call'))]
    await expect(ask(model, { prompt: spoil(prompt) })).rejects.toMatchObject({ statusCode: 400 })
    expect(standIn.refusals).toEqual([expect.stringMatching(words)])
  })

  test('takes an answer schema in the provider’s own field', async () => {
    const { standIn, model } = await start(service)
    standIn.reply({ text: '{"city":"Oslo"}' })
    const schema = {
      type: 'object' as const,
      properties: { city: { type: 'string' as const } },
      required: ['city'],
      additionalProperties: false,
    }
    const parts = await ask(model, { responseFormat: { type: 'json', schema } })
    expect(joined(of(parts, 'text-delta'))).toBe('{"city":"Oslo"}')
    expect(standIn.seen[0]?.output).toMatchObject({ by: 'native', schema: { properties: schema.properties } })
  })

  test('sees images, as data and by address', async () => {
    const { standIn, model } = await start(service)
    standIn.reply({ text: 'A cat.' })
    const url = new URL('https://example.com/cat.png')
    await ask(model, {
      prompt: [
        {
          role: 'user',
          content: [
            { type: 'file', mediaType: 'image/png', data: { type: 'data', data: 'aGk=' } },
            { type: 'file', mediaType: 'image/png', data: { type: 'url', url } },
          ],
        },
      ],
    })
    expect(standIn.seen[0]?.content).toEqual([
      { from: 'user', type: 'image', media: { mediaType: 'image/png', base64: 'aGk=' } },
      { from: 'user', type: 'image', media: { url: url.href } },
    ])
  })

  test('says that a filter stopped the answer, or the prompt', async () => {
    const { standIn, model } = await start(service)
    standIn.reply({ text: 'Well', finish: 'filtered' }, { blocked: true }, { text: 'Long', finish: 'length' })
    for (const reason of ['content-filter', 'content-filter', 'length']) {
      expect(of(await ask(model), 'finish')[0]?.finishReason.unified).toBe(reason)
    }
  })

  test.for([
    { kind: 'rate_limited', status: [429] },
    { kind: 'overloaded', status: [529, 503] },
    { kind: 'server_error', status: [500] },
    { kind: 'too_long', status: [400] },
    { kind: 'not_found', status: [404] },
  ] as const)('fails with $kind', async ({ kind, status }) => {
    const { standIn, model } = await start(service)
    standIn.reply({ error: { kind, message: 'as told' } })
    const error: unknown = await ask(model).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ name: 'AI_APICallError', message: 'as told' })
    expect(status).toContain((error as { statusCode: number }).statusCode)
  })

  test('lets nobody in with another key', async () => {
    const { standIn } = await start(service)
    const error: unknown = await ask(service.client(standIn, 'wrong')).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ name: 'AI_APICallError' })
    expect(String(error)).toMatch(/key/)
    expect(standIn.seen).toEqual([])
  })

  test('fails within a stream', async () => {
    const { standIn, model } = await start(service)
    standIn.reply({ text: 'It is', error: { kind: 'overloaded', in: 'stream' } })
    const parts = await ask(model)
    expect(joined(of(parts, 'text-delta'))).toBe('It is')
    expect(of(parts, 'error')[0]?.error).toMatchObject({
      message: expect.stringMatching(/overloaded/i) as string,
    })
  })

  test.for(['before', 'after'] as const)('breaks the connection %s the content', async (cut) => {
    const { standIn, model } = await start(service)
    standIn.reply({ text: 'It is', cut })
    await expect(ask(model)).rejects.toThrow()
  })

  test('is silent until its client goes', async () => {
    const { standIn, model } = await start(service)
    standIn.reply({ text: 'It is', hang: 'after' })
    const controller = new AbortController()
    const { stream } = await model.doStream({ prompt: question, abortSignal: controller.signal })
    const reader = stream.getReader()
    while ((await reader.read()).value?.type !== 'text-delta');
    controller.abort()
    expect(await standIn.seen[0]?.outcome).toBe('closed')
    await reader.cancel().catch(() => undefined)
  })
})

test('Anthropic’s own: what was sealed comes back, and an open schema is asked for by a tool', async () => {
  const { standIn, model } = await start(services[0]!)
  standIn.reply({ sealed: true, text: '{"a":1}' })
  const parts = await ask(model, {
    tools: [],
    providerOptions: { anthropic: { thinking: { type: 'adaptive' } } },
    responseFormat: { type: 'json', schema: { type: 'object', additionalProperties: true } },
  })
  expect(standIn.seen[0]).toMatchObject({
    output: { by: 'tool', tool: 'json' },
    tools: [],
    toolChoice: 'required',
  })
  expect(joined(of(parts, 'text-delta'))).toBe('{"a":1}')
  standIn.reply({ text: 'Good.' })
  await ask(model, { prompt: [...question, replay(parts), ...question.slice(1)] })
  expect(signaturesOf(standIn.seen[1]!)).toEqual(standIn.signatures)
})

test('Google’s own: a file it made, and its signature at the end of an answer', async () => {
  const { standIn, model } = await start(services[1]!)
  standIn.reply({ reasoning: 'A cat.', text: 'Here.', file: { mediaType: 'image/png', base64: 'aGk=' } })
  const parts = await ask(model)
  expect(of(parts, 'file')).toMatchObject([{ mediaType: 'image/png', data: { type: 'data', data: 'aGk=' } }])
  const signed = parts.flatMap((part) =>
    'providerMetadata' in part ? (part.providerMetadata?.google?.thoughtSignature ?? []) : [],
  )
  expect(new Set(signed)).toEqual(new Set(standIn.signatures))
})
