import { describe, expect, onTestFinished, test } from 'vitest'
import { createModelRegistry } from '../../src/models/registry.ts'
import type { ModelRegistryOptions } from '../../src/models/registry.ts'
import type { ProviderOptions } from '../../src/models/providers.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import {
  chunkOf,
  createUpstreamServer,
  errorReply,
  jsonReply,
  streamReply,
} from '../../src/testing/upstream-server.ts'
import type { UpstreamReply } from '../../src/testing/upstream-server.ts'
import { createLogCapture } from '../agent/log-capture.ts'
import { collectReply } from './collect-reply.ts'

const secrets = { first: 'sk-first-secret', second: 'sk-second-secret' }
const keys = [
  { name: 'first', key: secrets.first },
  { name: 'second', key: secrets.second },
]

/** A provider whose keys are answered apart. Chance always says the first key that may be asked. */
async function setUp(options: { provider?: ProviderOptions; registry?: ModelRegistryOptions } = {}) {
  const upstream = await createUpstreamServer()
  const clock = createFakeClock()
  const log = createLogCapture()
  const registry = createModelRegistry({
    clock,
    logger: log.logger,
    random: () => 0,
    providers: { two: { baseURL: upstream.baseURL, keys, ...options.provider } },
    ...options.registry,
  })
  onTestFinished(async () => {
    await registry.close()
    await upstream.close()
  })
  const answers: Record<keyof typeof secrets, UpstreamReply> = {
    first: streamReply({ text: ['from the first'] }),
    second: streamReply({ text: ['from the second'] }),
  }
  const nameOf = (authorization: string | undefined) =>
    authorization === `Bearer ${secrets.first}` ? 'first' : 'second'
  upstream.replyAlways(({ headers }) => answers[nameOf(headers.authorization)])
  return {
    upstream,
    clock,
    log,
    registry,
    answers,
    asked: (name: keyof typeof secrets) =>
      upstream.requests.filter(({ headers }) => nameOf(headers.authorization) === name).length,
    ask: async (model = 'two/model') => (await collectReply(registry.resolve(model))).decoded.text,
  }
}

const refusal = errorReply(401, `bad key ${secrets.first}`, { error: { code: 'invalid_api_key' } })
const limit = (seconds?: number) =>
  errorReply(
    429,
    `slow down ${secrets.first}`,
    seconds ? { headers: { 'retry-after': String(seconds) } } : {},
  )

describe('with a bad key beside a good one', () => {
  test('no call fails, the bad key is left alone while it cools down, and is asked again after it', async () => {
    const { ask, asked, answers, clock, log } = await setUp()
    const askTimes = async (count: number) => {
      const texts = await Promise.all(Array.from({ length: count }, () => ask()))
      return new Set(texts)
    }

    answers.first = refusal
    expect(await ask()).toBe('from the second')
    expect(await askTimes(10)).toEqual(new Set(['from the second']))
    await clock.advance(5 * 60_000 - 1)
    expect(await askTimes(10)).toEqual(new Set(['from the second']))
    expect(asked('first')).toBe(1)

    answers.first = limit(12)
    await clock.advance(1)
    expect(await ask()).toBe('from the second')
    expect(asked('first')).toBe(2)
    await clock.advance(11_999)
    expect(await askTimes(10)).toEqual(new Set(['from the second']))
    expect(asked('first')).toBe(2)

    answers.first = limit()
    await clock.advance(1)
    expect(await ask()).toBe('from the second')
    await clock.advance(29_999)
    expect(await askTimes(10)).toEqual(new Set(['from the second']))
    expect(asked('first')).toBe(3)

    answers.first = streamReply({ text: ['from the first'] })
    await clock.advance(1)
    expect(await askTimes(5)).toEqual(new Set(['from the first']))

    expect(log.lines().map(({ level, fields }) => [level, fields])).toEqual([
      ['warn', { provider: 'two', key: 'first', code: 'model_auth_failed', cooldown_ms: 300_000 }],
      [
        'warn',
        {
          provider: 'two',
          key: 'first',
          code: 'model_rate_limited',
          cooldown_ms: 12_000,
          model: 'two/model',
        },
      ],
      [
        'warn',
        {
          provider: 'two',
          key: 'first',
          code: 'model_rate_limited',
          cooldown_ms: 30_000,
          model: 'two/model',
        },
      ],
    ])
    for (const secret of Object.values(secrets)) expect(log.text()).not.toContain(secret)
  })

  test('calls that meet the bad key at the same time all succeed, and say so once', async () => {
    const { ask, answers, log } = await setUp()
    answers.first = refusal
    expect(new Set(await Promise.all(Array.from({ length: 12 }, () => ask())))).toEqual(
      new Set(['from the second']),
    )
    expect(log.lines()).toHaveLength(1)
  })

  test('a key whose credit is used up cools down as well', async () => {
    const { ask, asked, answers, clock } = await setUp()
    answers.first = errorReply(429, 'pay first', { error: { code: 'insufficient_quota' } })
    await ask()
    await clock.advance(299_999)
    await ask()
    expect(asked('first')).toBe(1)
    await clock.advance(1)
    await ask()
    expect(asked('first')).toBe(2)
  })

  test('a refusal that comes within the stream, before any part, is one like others', async () => {
    const { ask, asked, answers } = await setUp()
    const chunk = { error: { code: 'invalid_api_key', message: 'no' } }
    answers.first = { steps: [{ type: 'chunk', chunk }] }
    expect(await ask()).toBe('from the second')
    expect(await ask()).toBe('from the second')
    expect(asked('first')).toBe(1)
  })

  test('a key that may not use one model is good for the others, also as LiteLLM says it', async () => {
    for (const [status, type] of [
      [403, 'permission_denied'],
      [401, 'key_model_access_denied'],
    ] as const) {
      const { registry, upstream, asked } = await setUp()
      upstream.reply(errorReply(status, 'not this one', { error: { type } }))
      const texts = ['two/large', 'two/large', 'two/small'].map(
        (name) => async () => (await collectReply(registry.resolve(name))).decoded.text,
      )
      for (const expected of ['from the second', 'from the second', 'from the first']) {
        expect(await texts.shift()!()).toBe(expected)
      }
      expect(asked('first')).toBe(2)
    }
  })
})

describe('after the first part', () => {
  test('the failure is the caller’s, no other key is asked, and the key cools down', async () => {
    const { registry, upstream, asked, ask, log } = await setUp()
    const chunk = { error: { code: 'rate_limit_exceeded', message: 'enough' } }
    upstream.reply({ steps: [chunkOf({ content: 'Hel' }), { type: 'chunk', chunk }] })
    const parts: unknown[] = []
    const call = collectReply(registry.resolve('two/model'), { onPart: (part) => parts.push(part) })
    await expect(call).rejects.toMatchObject({ code: 'model_rate_limited' })
    expect(parts).toEqual([{ type: 'text', delta: 'Hel' }])
    expect([asked('first'), asked('second'), log.lines().length]).toEqual([1, 0, 1])
    expect(await ask()).toBe('from the second')
  })
})

describe('when all keys cool down', () => {
  test('a call fails at once, as the key that is back first did, and nobody is asked', async () => {
    const { ask, answers, upstream, clock } = await setUp()
    answers.first = refusal
    answers.second = limit(20)
    await expect(ask()).rejects.toMatchObject({
      code: 'model_rate_limited',
      retryable: true,
      retryAfterMs: 20_000,
    })
    await clock.advance(15_000)
    await expect(ask()).rejects.toMatchObject({ code: 'model_rate_limited', retryAfterMs: 5000 })
    expect(upstream.requests).toHaveLength(2)
    answers.second = streamReply({ text: ['back'] })
    await clock.advance(5000)
    expect(await ask()).toBe('back')
  })
})

describe('a request that asks for more than a key can pay', () => {
  const unaffordable = errorReply(402, 'This request requires more credits, or fewer max_tokens.')

  test('goes to the key that can', async () => {
    const { ask, answers } = await setUp()
    answers.first = unaffordable
    expect(await ask()).toBe('from the second')
  })

  test('is refused where none can, and no key is kept from others by it', async () => {
    const { ask, asked, answers, log } = await setUp()
    Object.assign(answers, { first: unaffordable, second: unaffordable })
    await expect(ask()).rejects.toMatchObject({ code: 'model_refused', retryAfterMs: undefined })
    expect([asked('first'), asked('second'), log.lines()]).toEqual([1, 1, []])
    answers.first = streamReply({ text: ['a short one'] })
    expect(await ask()).toBe('a short one')
  })
})

test('a request that is too large for the limit of the rate costs no key its turn', async () => {
  const { ask, asked, answers, log } = await setUp()
  answers.first = errorReply(429, 'Request too large for gpt-4o: Limit 30000, Requested 61337.')
  await expect(ask()).rejects.toMatchObject({ code: 'context_length_exceeded' })
  await expect(ask()).rejects.toMatchObject({ code: 'context_length_exceeded' })
  expect([asked('first'), asked('second'), log.lines()]).toEqual([2, 0, []])
})

describe('other failures', () => {
  test('are the caller’s at once: another key would not help', async () => {
    const { ask, answers, upstream, log } = await setUp()
    answers.first = errorReply(503, 'down')
    await expect(ask()).rejects.toMatchObject({ code: 'model_unavailable' })
    await expect(ask()).rejects.toMatchObject({ code: 'model_unavailable' })
    expect([upstream.requests.length, log.lines()]).toEqual([2, []])
  })

  test('an abort ends the call, and does not go on with another key', async () => {
    const { registry, answers, upstream } = await setUp()
    answers.first = { steps: [{ type: 'silence' }] }
    const abort = new AbortController()
    const call = collectReply(registry.resolve('two/model'), { signal: abort.signal })
    await upstream.request(0)
    abort.abort(new Error('enough'))
    await expect(call).rejects.toThrow('enough')
    await upstream.idle()
    expect(upstream.requests).toHaveLength(1)
  })
})

test('a single key never cools down: it is asked each time', async () => {
  const { ask, answers, upstream, log } = await setUp({ provider: { keys: [keys[0]!] } })
  answers.first = refusal
  await expect(ask()).rejects.toMatchObject({ code: 'model_auth_failed' })
  await expect(ask()).rejects.toMatchObject({ code: 'model_auth_failed' })
  expect([upstream.requests.length, log.lines()]).toEqual([2, []])
})

test('calls are shared by weight', async () => {
  let state = 11
  const random = () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647
  const { ask, asked } = await setUp({
    provider: { keys: [{ ...keys[0]!, weight: 4 }, keys[1]!] },
    registry: { random },
  })
  for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 20 }, () => ask()))
  expect(asked('first') + asked('second')).toBe(200)
  expect(asked('first') / 200).toBeGreaterThan(0.7)
  expect(asked('first') / 200).toBeLessThan(0.9)
})

test('several keys in one setting are several keys', async () => {
  const { upstream, registry, log } = await setUp()
  const several = createModelRegistry({
    openai: { apiKey: `${secrets.first}, ${secrets.second}`, baseURL: upstream.baseURL },
    random: () => 0,
    logger: log.logger,
  })
  onTestFinished(() => several.close())
  upstream.reply(refusal)
  expect((await collectReply(several.resolve('openai/gpt-4o'))).decoded.text).toBe('from the second')
  expect(log.lines()[0]?.fields).toMatchObject({ provider: 'openai', key: 'openai#1' })
  expect(registry.describe().providers.map(({ name }) => name)).toEqual(['two'])
})

describe('a key of Anthropic that is refused', () => {
  test('is replaced by another, through the client of the AI SDK', async () => {
    const upstream = await createUpstreamServer()
    const log = createLogCapture()
    const registry = createModelRegistry({
      random: () => 0,
      logger: log.logger,
      anthropic: { apiKey: `${secrets.first},${secrets.second}`, baseURL: upstream.baseURL },
    })
    onTestFinished(async () => {
      await registry.close()
      await upstream.close()
    })
    const fault = { type: 'error', error: { type: 'authentication_error', message: secrets.first } }
    upstream.replyAlways(({ headers }) =>
      headers['x-api-key'] === secrets.first ? jsonReply(fault, { status: 401 }) : claudeReply('Hello'),
    )
    const model = registry.resolve('anthropic/claude-sonnet-4-5')
    expect(model).toMatchObject({ provider: 'anthropic', contextWindow: 200_000, accepts: ['image', 'file'] })
    for (let i = 0; i < 3; i++) expect((await collectReply(model)).decoded.text).toBe('Hello')
    expect(upstream.requests.map(({ headers }) => headers['x-api-key'])).toEqual([
      secrets.first,
      secrets.second,
      secrets.second,
      secrets.second,
    ])
    expect(log.lines()).toMatchObject([
      { level: 'warn', fields: { provider: 'anthropic', key: 'anthropic#1' } },
    ])
    expect(log.text()).not.toContain('secret')
  })
})

/** A reply as Anthropic streams it. */
function claudeReply(text: string): UpstreamReply {
  const message = {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude',
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: 3, output_tokens: 1 },
  }
  const events = [
    { type: 'message_start', message },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } },
    { type: 'content_block_stop', index: 0 },
    {
      type: 'message_delta',
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { output_tokens: 2 },
    },
    { type: 'message_stop' },
  ]
  return {
    steps: events.map((event) => ({
      type: 'raw',
      bytes: `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`,
    })),
  }
}
