import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { AppError } from '../../src/errors.ts'
import type { ErrorCode } from '../../src/errors.ts'
import type { ModelItem } from '../../src/items.ts'
import { createAiSdkModel } from '../../src/models/ai-sdk/ai-sdk-model.ts'
import { loadLanguageModel } from '../../src/models/ai-sdk/providers.ts'
import type { Model, ModelRequest } from '../../src/models/model.ts'
import { collectReply, greeting } from './collect-reply.ts'
import { itemsOf } from './language-model.ts'
import { createAnthropicServer } from './stand-ins/anthropic-server.ts'
import { createGoogleServer } from './stand-ins/google-server.ts'
import type { StandInErrorKind } from './stand-ins/reply.ts'
import { plainContentOf, signaturesOf } from './stand-ins/seen-request.ts'
import type { StandIn } from './stand-ins/stand-in.ts'

type Provider = 'anthropic' | 'google'

function modelOf(provider: Provider, options: { model: string; apiKey: string; baseURL: string }): Model {
  return createAiSdkModel({
    provider,
    id: `${provider}/${options.model}`,
    languageModel: () => loadLanguageModel({ provider, ...options }),
  })
}

const services = [
  { provider: 'anthropic', model: 'claude-sonnet-4-5', start: createAnthropicServer },
  { provider: 'google', model: 'gemini-3.5-flash', start: createGoogleServer },
] as const

type Service = (typeof services)[number]

async function setUp({ provider, model, start }: Service): Promise<{ standIn: StandIn; model: Model }> {
  const standIn = await start()
  onTestFinished(() => standIn.close())
  return { standIn, model: modelOf(provider, { model, apiKey: standIn.key, baseURL: standIn.baseURL }) }
}

const weather = {
  name: 'get_weather',
  description: 'The weather.',
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
}

async function failureOf(promise: Promise<unknown>): Promise<AppError> {
  const error: unknown = await promise.catch((reason: unknown) => reason)
  if (AppError.is(error)) return error
  throw new Error('not an AppError', { cause: error })
}

describe.each(services)('$provider', (service) => {
  test('says text, and counts its tokens', async () => {
    const { standIn, model } = await setUp(service)
    standIn.reply({ text: 'Hello over there', usage: { input: 12, output: 7, cached: 4 } })
    const { decoded } = await collectReply(model, { request: { ...greeting, instructions: 'Be brief.' } })
    expect(decoded).toMatchObject({
      text: 'Hello over there',
      finishReason: 'stop',
      usage: { input_tokens: 12, output_tokens: 7, total_tokens: 19, cached_input_tokens: 4 },
    })
    expect(await standIn.request(0)).toMatchObject({ system: 'Be brief.', model: service.model })
  })

  test('takes back its reasoning, calls and results, each with its own signature', async () => {
    const { standIn, model } = await setUp(service)
    const calls = ['Oslo', 'Rome'].map((city) => ({ name: 'get_weather', arguments: { city } }))
    standIn.reply({ reasoning: 'Two cities.', text: 'I look.', toolCalls: calls }, { text: 'Warm.' })
    const request: ModelRequest = {
      ...greeting,
      tools: [weather],
      settings: { reasoningEffort: 'low', maxOutputTokens: 4000 },
    }
    const { parts, decoded } = await collectReply(model, { request })
    expect(decoded).toMatchObject({
      reasoning: 'Two cities.',
      text: 'I look.',
      finishReason: 'tool_calls',
      calls: calls.map(({ name, arguments: args }) => ({ name, arguments: JSON.stringify(args) })),
    })
    const made = itemsOf(parts, service.provider)
    const results = made.flatMap((item, i): ModelItem[] =>
      item.type === 'tool_call'
        ? [{ type: 'tool_result', id: `item_${i}`, call_id: item.call_id, output: `r${i}` }]
        : [],
    )
    const again = { ...request, items: [...greeting.items, ...made, ...results] }
    expect((await collectReply(model, { request: again })).decoded.text).toBe('Warm.')
    expect(standIn.refusals).toEqual([])
    const seen = await standIn.request(1)
    expect(standIn.signatures.length).toBeGreaterThan(0)
    expect(signaturesOf(seen)).toEqual(standIn.signatures)
    expect(plainContentOf(seen)).toMatchObject([
      { from: 'user', text: 'Hi' },
      { from: 'assistant', type: 'text', text: 'I look.' },
      { type: 'tool_call', call: 0, arguments: { city: 'Oslo' } },
      { type: 'tool_call', call: 1, arguments: { city: 'Rome' } },
      { type: 'tool_result', call: 0 },
      { type: 'tool_result', call: 1 },
    ])
  })

  test.each<[StandInErrorKind, ErrorCode, boolean]>([
    ['unauthorized', 'model_auth_failed', false],
    ['rate_limited', 'model_rate_limited', true],
    ['overloaded', 'model_unavailable', true],
    ['server_error', 'model_unavailable', true],
    ['too_long', 'context_length_exceeded', false],
    ['not_found', 'model_refused', false],
    ['invalid', 'model_refused', false],
  ])('fails with %s as %s', async (kind, code, retryable) => {
    const { standIn, model } = await setUp(service)
    standIn.reply({ error: { kind } })
    expect(await failureOf(collectReply(model))).toMatchObject({ code, retryable })
  })

  test('says when to come back', async () => {
    const { standIn, model } = await setUp(service)
    standIn.reply({ error: { kind: 'rate_limited', retryAfterSeconds: 7 } })
    expect((await failureOf(collectReply(model))).retryAfterMs).toBe(7000)
  })

  test('fails within its stream by the same codes', async () => {
    const { standIn, model } = await setUp(service)
    standIn.reply({ text: 'Hello', error: { kind: 'overloaded', in: 'stream', message: 'inside story' } })
    const failure = await failureOf(collectReply(model))
    expect(failure).toMatchObject({ code: 'model_unavailable', retryable: true })
    expect(failure.message).not.toContain('inside story')
  })

  test('whose connection breaks is unavailable, whose body ends too early is a bad response', async () => {
    const { standIn, model } = await setUp(service)
    standIn.reply(
      { text: 'Hello you', cut: 'before' },
      { text: 'Hello', cut: 'after' },
      { text: 'Hello', cut: 'end' },
    )
    expect((await failureOf(collectReply(model))).code).toBe('model_unavailable')
    expect((await failureOf(collectReply(model))).code).toBe('model_unavailable')
    expect((await failureOf(collectReply(model))).code).toBe('model_bad_response')
  })

  test('closes its socket when it is aborted', async () => {
    const { standIn, model } = await setUp(service)
    standIn.reply({ text: 'Hello', hang: 'after' })
    const stop = new AbortController()
    const onPart = () => stop.abort(new Error('gone'))
    await expect(collectReply(model, { signal: stop.signal, onPart })).rejects.toThrow('gone')
    expect(await (await standIn.request(0)).outcome).toBe('closed')
  })

  test('does not follow a redirect with its key', async () => {
    let asked = 0
    const thief = createServer((_, response) => {
      asked++
      response.end()
    })
    const door = createServer((_, response) => {
      const { port } = thief.address() as AddressInfo
      response.writeHead(307, { location: `http://127.0.0.1:${port}/` }).end()
    })
    for (const server of [thief, door]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      onTestFinished(() => void server.close())
    }
    const baseURL = `http://127.0.0.1:${(door.address() as AddressInfo).port}`
    const model = modelOf(service.provider, { model: service.model, apiKey: 'key', baseURL })
    expect((await failureOf(collectReply(model))).code).toBe('model_refused')
    expect(asked).toBe(0)
  })

  test('keeps a key that the provider repeats out of the log', async () => {
    const standIn = await service.start()
    onTestFinished(() => standIn.close())
    const apiKey = standIn.key
    standIn.reply({ error: { kind: 'invalid', message: `Bad key ${apiKey}` } })
    const model = modelOf(service.provider, { model: service.model, apiKey, baseURL: standIn.baseURL })
    const { message, cause } = await failureOf(collectReply(model))
    expect(message).not.toContain(apiKey)
    expect((cause as Error).message).toContain('[redacted]')
    expect(`${(cause as Error).message} ${(cause as Error).stack}`).not.toContain(apiKey)
  })

  test.each([
    ['a key that cannot be sent', { apiKey: 'key\n' }],
    ['a header that cannot be sent', { headers: { 'x-a': 'b\n' } }],
    ['a base URL that is none', { baseURL: 'ftp://a' }],
    ['a password in the base URL', { baseURL: 'http://user:secret-one@127.0.0.1/' }],
    ['a name that leaves its place in the path', { model: '../admin/reset' }],
    ['a name that is all dots', { model: 'models/..' }],
    ['a name with a query', { model: 'model?x=' }],
    ['a name with a fragment', { model: 'model#' }],
    ['a name that is escaped', { model: '%2e%2e/admin' }],
    ['a name that begins at the root', { model: '/admin' }],
    ['a name with a backslash', { model: '..\\admin' }],
  ])('is not configured with %s', async (_, options) => {
    const { provider, model } = service
    const failure = await failureOf(loadLanguageModel({ provider, model, apiKey: 'key', ...options }))
    expect(failure.code).toBe('model_not_configured')
    expect(failure.message).not.toContain('secret-one')
  })

  test('says which package to install where it is missing', async () => {
    const { provider, model } = service
    vi.doMock(`@ai-sdk/${provider}`, () => {
      throw new Error('Cannot find package')
    })
    onTestFinished(() => vi.doUnmock(`@ai-sdk/${provider}`))
    const failure = await failureOf(loadLanguageModel({ provider, model, apiKey: 'key' }))
    expect(failure.code).toBe('model_not_configured')
    expect(failure.message).toContain(`npm install @ai-sdk/${provider}`)
  })
})

describe('anthropic', () => {
  test('takes sealed reasoning back', async () => {
    const { standIn, model } = await setUp(services[0])
    const toolCalls = [{ name: 'get_weather', arguments: { city: 'Oslo' } }]
    standIn.reply({ sealed: true, toolCalls }, { text: 'Warm.' })
    const request: ModelRequest = { ...greeting, tools: [weather], settings: { reasoningEffort: 'high' } }
    const { parts } = await collectReply(model, { request })
    const made = itemsOf(parts, 'anthropic')
    expect(made[0]).toMatchObject({ type: 'reasoning', text: '' })
    const call = made.find((item) => item.type === 'tool_call')!
    const result: ModelItem = { type: 'tool_result', id: 'item_r', call_id: call.call_id, output: 'r' }
    await collectReply(model, { request: { ...request, items: [...greeting.items, ...made, result] } })
    expect(standIn.refusals).toEqual([])
    expect(signaturesOf(await standIn.request(1))).toEqual(standIn.signatures)
  })
})
