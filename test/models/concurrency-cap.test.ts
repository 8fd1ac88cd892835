import { expect, onTestFinished, test } from 'vitest'
import { createModelRegistry } from '../../src/models/registry.ts'
import type { ModelRegistryOptions } from '../../src/models/registry.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { chunkOf, createUpstreamServer, errorReply, streamReply } from '../../src/testing/upstream-server.ts'
import type { UpstreamReply } from '../../src/testing/upstream-server.ts'
import { collectReply } from './collect-reply.ts'

async function setUp(options: { maxConcurrent: number } & ModelRegistryOptions) {
  const { maxConcurrent, ...rest } = options
  const upstream = await createUpstreamServer()
  const providers = { capped: { baseURL: upstream.baseURL, maxConcurrent } }
  const registry = createModelRegistry({ providers, ...rest })
  onTestFinished(async () => {
    await registry.close()
    await upstream.close()
  })
  return {
    upstream,
    registry,
    ask: async (name = 'capped/a', signal?: AbortSignal) =>
      (await collectReply(registry.resolve(name), signal ? { signal } : {})).decoded.text,
  }
}

/** A reply that ends when it is told to. */
function heldReply(text: string): { reply: UpstreamReply; end: () => void } {
  const { promise: until, resolve: end } = Promise.withResolvers<void>()
  return { reply: streamReply({ text: [text], before: () => ({ type: 'wait', until }) }), end }
}

test('a provider never has more calls in flight than its cap, over all its models', async () => {
  const { upstream, ask, registry } = await setUp({ maxConcurrent: 3 })
  const held = Array.from({ length: 30 }, () => heldReply('Hi'))
  let ended = 0
  const inFlight: number[] = []
  upstream.replyAlways(() => {
    inFlight.push(upstream.requests.length - ended)
    return held[upstream.requests.length - 1]!.reply
  })
  const calls = held.map((_, i) => ask(`capped/${i % 4}`))
  expect(registry.gauges()).toEqual([{ provider: 'capped', inFlight: 3, waiting: 27 }])
  for (const [i, { end }] of held.entries()) {
    await upstream.request(Math.min(i + 2, 29))
    ended++
    end()
  }
  expect(new Set(await Promise.all(calls))).toEqual(new Set(['Hi']))
  expect(Math.max(...inFlight)).toBe(3)
  expect(registry.gauges()).toEqual([{ provider: 'capped', inFlight: 0, waiting: 0 }])
})

test('a call that is aborted while it waits leaves at once and is never sent', async () => {
  const { upstream, ask, registry } = await setUp({ maxConcurrent: 1 })
  const { reply, end } = heldReply('first')
  upstream.reply(reply, streamReply({ text: ['third'] }))
  const first = ask('capped/first')
  await upstream.request(0)
  const abort = new AbortController()
  const second = ask('capped/second', abort.signal)
  const third = ask('capped/third')
  expect(registry.gauges()).toEqual([{ provider: 'capped', inFlight: 1, waiting: 2 }])
  abort.abort(new Error('gone'))
  await expect(second).rejects.toThrow('gone')
  expect(registry.gauges()).toEqual([{ provider: 'capped', inFlight: 1, waiting: 1 }])
  end()
  expect(await Promise.all([first, third])).toEqual(['first', 'third'])
  expect(upstream.requests.map(({ body }) => (body as { model: string }).model)).toEqual(['first', 'third'])
})

test('an aborted call gives its place to the next', async () => {
  const { upstream, ask } = await setUp({ maxConcurrent: 1 })
  upstream.reply(
    { steps: [chunkOf({ content: 'Hm' }), { type: 'silence' }] },
    streamReply({ text: ['next'] }),
  )
  const abort = new AbortController()
  const first = ask('capped/a', abort.signal)
  const next = ask()
  await upstream.request(0)
  abort.abort(new Error('gone'))
  await expect(first).rejects.toThrow('gone')
  expect(await next).toBe('next')
})

test('a failed call gives its place to the next', async () => {
  const { upstream, ask } = await setUp({ maxConcurrent: 1 })
  upstream.reply(errorReply(503, 'down'), streamReply({ text: ['next'] }))
  const [first, next] = [ask(), ask()]
  await expect(first).rejects.toMatchObject({ code: 'model_unavailable' })
  expect(await next).toBe('next')
})

test('the time a call waits for its turn is not the silence of the provider', async () => {
  const clock = createFakeClock()
  const { upstream, ask } = await setUp({ maxConcurrent: 1, clock, stallTimeoutMs: 1000 })
  const held = [heldReply('first'), heldReply('second')]
  upstream.reply(...held.map(({ reply }) => reply))
  const [first, second] = [ask(), ask()]
  await upstream.request(0)
  await clock.advance(900)
  held[0]!.end()
  expect(await first).toBe('first')
  await upstream.request(1)
  await clock.advance(900)
  held[1]!.end()
  expect(await second).toBe('second')
})

test('a call that changes its key keeps its one place', async () => {
  const keys = [
    { name: 'bad', key: 'sk-bad-secret' },
    { name: 'good', key: 'sk-good-secret' },
  ]
  const upstream = await createUpstreamServer()
  const providers = { capped: { baseURL: upstream.baseURL, keys, maxConcurrent: 1 } }
  const registry = createModelRegistry({ providers, random: () => 0 })
  onTestFinished(async () => {
    await registry.close()
    await upstream.close()
  })
  upstream.replyAlways(({ headers }) =>
    headers.authorization === 'Bearer sk-bad-secret' ? errorReply(401, 'no') : streamReply({ text: ['Hi'] }),
  )
  const model = registry.resolve('capped/a')
  const replies = await Promise.all([1, 2, 3].map(() => collectReply(model)))
  expect(replies.map(({ decoded }) => decoded.text)).toEqual(['Hi', 'Hi', 'Hi'])
  expect(upstream.requests).toHaveLength(4)
})

test('a provider without a cap has no gauge', async () => {
  const registry = createModelRegistry({ llm: { baseURL: 'http://127.0.0.1:1/v1' } })
  expect(registry.gauges()).toEqual([])
})
