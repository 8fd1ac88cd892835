import { describe, expect, onTestFinished, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { createOpenAICompatibleModel } from '../../src/models/openai-compatible/openai-compatible-model.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import {
  chunkOf,
  createUpstreamServer,
  doneStep,
  finishOf,
  rawStep,
  streamReply,
} from '../../src/testing/upstream-server.ts'
import type { UpstreamStep } from '../../src/testing/upstream-server.ts'
import { collectReply } from './collect-reply.ts'

const stallTimeoutMs = 60_000
const silence: UpstreamStep = { type: 'silence' }
const hello = chunkOf({ content: 'Hello' })

async function setUp() {
  const clock = createFakeClock()
  const upstream = await createUpstreamServer()
  const looks = new Set<() => void>()
  const model = createOpenAICompatibleModel({
    provider: 'llm',
    id: 'llm/x',
    model: 'x',
    baseURL: upstream.baseURL,
    stallTimeoutMs,
    clock: {
      ...clock,
      monotonic() {
        for (const look of looks) look()
        return clock.monotonic()
      },
    },
  })
  onTestFinished(async () => {
    await model.close()
    await upstream.close()
  })
  /** Resolves when the model has noted the time so many times: once for headers, once for each piece of the body. */
  const noted = (times = 1) =>
    new Promise<void>((resolve) => {
      let left = times
      const look = () => {
        left -= 1
        if (left > 0) return
        looks.delete(look)
        resolve()
      }
      looks.add(look)
    })
  return { clock, upstream, model, noted }
}

/** Tells how the promise ended, without waiting for it. */
function watch(promise: Promise<unknown>) {
  /** `pending`, `resolved`, or an error's code. */
  const seen = { outcome: 'pending' }
  const settled = promise.then(
    () => void (seen.outcome = 'resolved'),
    (error: unknown) => void (seen.outcome = AppError.is(error) ? error.code : String(error)),
  )
  return { seen, settled }
}

describe('silence', () => {
  test('before the headers ends in model_timeout, and the socket closes', async () => {
    const { clock, upstream, model } = await setUp()
    upstream.reply({ wire: true, steps: [silence] })
    const { seen, settled } = watch(collectReply(model))
    const request = await upstream.request(0)
    await clock.advance(stallTimeoutMs - 1)
    expect(seen.outcome).toBe('pending')
    await clock.advance(1)
    await settled
    expect(seen.outcome).toBe('model_timeout')
    expect(await request.outcome).toBe('closed')
    expect(clock.pending()).toBe(0)
  })

  test('within a reply is counted from the last byte', async () => {
    const { clock, upstream, model } = await setUp()
    const gate = Promise.withResolvers<void>()
    upstream.reply({ steps: [hello, { type: 'wait', until: gate.promise }, hello, silence] })
    let parts = 0
    const came = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const { seen, settled } = watch(collectReply(model, { onPart: () => came[parts++]?.resolve() }))
    await came[0]!.promise
    await clock.advance(stallTimeoutMs - 1000)
    gate.resolve()
    await came[1]!.promise
    await clock.advance(stallTimeoutMs - 1)
    expect(seen.outcome).toBe('pending')
    await clock.advance(1)
    await settled
    expect(seen.outcome).toBe('model_timeout')
  })

  test('is broken by a comment', async () => {
    const { clock, upstream, model, noted } = await setUp()
    const gate = Promise.withResolvers<void>()
    upstream.reply({ steps: [hello, { type: 'wait', until: gate.promise }, rawStep(': hb\n\n'), silence] })
    const first = Promise.withResolvers<unknown>()
    const { seen, settled } = watch(collectReply(model, { onPart: first.resolve }))
    await first.promise
    await clock.advance(stallTimeoutMs - 1)
    const comment = noted()
    gate.resolve()
    await comment
    await clock.advance(stallTimeoutMs - 1)
    expect(seen.outcome).toBe('pending')
    await clock.advance(1)
    await settled
    expect(seen.outcome).toBe('model_timeout')
  })

  test('after the finish is the end: nothing was missing but a word of goodbye', async () => {
    const { clock, upstream, model, noted } = await setUp()
    const gate = Promise.withResolvers<void>()
    upstream.reply({ steps: [hello, { type: 'wait', until: gate.promise }, finishOf('stop'), silence] })
    const first = Promise.withResolvers<unknown>()
    const reply = collectReply(model, { onPart: first.resolve })
    await first.promise
    const finish = noted()
    gate.resolve()
    await finish
    await clock.advance(stallTimeoutMs)
    expect((await reply).decoded).toMatchObject({ text: 'Hello', finishReason: 'stop' })
    expect(await (await upstream.request(0)).outcome).toBe('closed')
  })

  test('after [DONE] closes a connection that is not given back', async () => {
    const { clock, upstream, model } = await setUp()
    upstream.reply({ steps: [hello, finishOf('stop'), doneStep, silence] })
    expect((await collectReply(model)).decoded.text).toBe('Hello')
    await clock.advance(stallTimeoutMs)
    expect(await (await upstream.request(0)).outcome).toBe('closed')
    expect(clock.pending()).toBe(0)
  })

  test('in the body of an error costs five seconds, not the error', async () => {
    const { clock, upstream, model, noted } = await setUp()
    const gate = Promise.withResolvers<void>()
    upstream.reply({
      status: 429,
      headers: { 'retry-after': '3' },
      steps: [{ type: 'wait', until: gate.promise }, rawStep('{"error":'), silence],
    })
    const reply = collectReply(model).catch((error: unknown) => error)
    await upstream.request(0)
    const body = noted(2)
    gate.resolve()
    await body
    await clock.advance(5000)
    expect(await reply).toMatchObject({ code: 'model_rate_limited', retryAfterMs: 3000 })
  })

  test('leaves no timer behind when there was none', async () => {
    const { clock, upstream, model } = await setUp()
    upstream.reply(streamReply({ text: ['a'] }))
    await collectReply(model)
    await (
      await upstream.request(0)
    ).outcome
    await clock.advance(0)
    expect(clock.pending()).toBe(0)
  })
})
