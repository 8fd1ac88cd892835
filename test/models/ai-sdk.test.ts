import type { LanguageModelV4, LanguageModelV4StreamPart } from '@ai-sdk/provider'
import { describe, expect, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { createAiSdkModel, fromAiSdk } from '../../src/models/ai-sdk/ai-sdk-model.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { collectReply } from './collect-reply.ts'
import { finish, languageModel, noUsage, textDelta } from './language-model.ts'

type Part = LanguageModelV4StreamPart

async function partsOf(parts: Part[]) {
  return (await collectReply(fromAiSdk(languageModel([...parts, finish()])))).parts
}

async function failureOf(model: LanguageModelV4): Promise<AppError> {
  const error: unknown = await collectReply(fromAiSdk(model)).catch((reason: unknown) => reason)
  if (AppError.is(error)) return error
  throw new Error('not an AppError', { cause: error })
}

const signed = (signature: string) => ({ acme: { signature } })

describe('text', () => {
  test('comes as it is said, blocks without data of their own as one', async () => {
    expect(
      await partsOf([
        { type: 'stream-start', warnings: [] },
        { type: 'text-start', id: '0' },
        textDelta('Hel'),
        textDelta(''),
        textDelta('lo'),
        { type: 'text-end', id: '0' },
        { type: 'text-start', id: '1' },
        textDelta('!', '1'),
        { type: 'text-end', id: '1' },
      ]),
    ).toEqual([
      { type: 'text', delta: 'Hel' },
      { type: 'text', delta: 'lo' },
      { type: 'text', delta: '!' },
    ])
  })

  test('keeps the last data of its block, whether the start, a delta or the end brings it', async () => {
    const parts = await partsOf([
      { type: 'text-start', id: '0', providerMetadata: signed('a') },
      textDelta('x'),
      { type: 'text-delta', id: '0', delta: '', providerMetadata: signed('b') },
      { type: 'text-end', id: '0' },
      { type: 'text-start', id: '1', providerMetadata: signed('c') },
      textDelta('y', '1'),
      { type: 'text-end', id: '1' },
    ])
    expect(parts).toEqual([
      { type: 'text', delta: 'x' },
      { type: 'text_end', providerData: signed('b') },
      { type: 'text', delta: 'y' },
      { type: 'text_end', providerData: signed('c') },
    ])
  })

  test('of which only data is there leaves nothing: it would be an empty answer', async () => {
    expect(
      await partsOf([
        { type: 'text-start', id: '0', providerMetadata: signed('a') },
        { type: 'text-end', id: '0' },
      ]),
    ).toEqual([])
  })

  test('never ends a delta within a character', async () => {
    const [first, second] = '😀'.split('')
    const parts = await partsOf([
      textDelta(`a${first}`),
      textDelta(`${second}b`),
      textDelta(first!),
      { type: 'reasoning-start', id: 'r' },
      { type: 'reasoning-delta', id: 'r', delta: first! },
    ])
    expect(parts).toEqual([
      { type: 'text', delta: 'a' },
      { type: 'text', delta: '😀b' },
      { type: 'text', delta: '\ufffd' },
      { type: 'reasoning', delta: '\ufffd' },
      { type: 'reasoning_end', providerData: {} },
    ])
  })
})

describe('reasoning', () => {
  test('in several blocks keeps the data of each', async () => {
    const block = (id: string): Part[] => [
      { type: 'reasoning-start', id },
      { type: 'reasoning-delta', id, delta: id },
      { type: 'reasoning-delta', id, delta: '', providerMetadata: signed(id) },
      { type: 'reasoning-end', id },
    ]
    expect(await partsOf([...block('a'), ...block('b')])).toEqual([
      { type: 'reasoning', delta: 'a' },
      { type: 'reasoning_end', providerData: signed('a') },
      { type: 'reasoning', delta: 'b' },
      { type: 'reasoning_end', providerData: signed('b') },
    ])
  })

  test('without text is kept for its data, and left out without', async () => {
    expect(
      await partsOf([
        { type: 'reasoning-start', id: '0', providerMetadata: { acme: { sealed: 'x' } } },
        { type: 'reasoning-end', id: '0' },
        { type: 'reasoning-start', id: '1' },
        { type: 'reasoning-end', id: '1' },
      ]),
    ).toEqual([{ type: 'reasoning_end', providerData: { acme: { sealed: 'x' } } }])
  })

  test('whose blocks end together is one, which still knows its blocks', async () => {
    expect(
      await partsOf([
        { type: 'reasoning-start', id: 'a' },
        { type: 'reasoning-delta', id: 'a', delta: 'one' },
        { type: 'reasoning-start', id: 'b' },
        { type: 'reasoning-delta', id: 'b', delta: 'two' },
        { type: 'reasoning-end', id: 'a', providerMetadata: signed('a') },
        { type: 'reasoning-end', id: 'b', providerMetadata: signed('b') },
      ]),
    ).toEqual([
      { type: 'reasoning', delta: 'one' },
      { type: 'reasoning', delta: '\n\ntwo' },
      {
        type: 'reasoning_end',
        providerData: {
          blocks: [
            { length: 3, metadata: signed('a') },
            { length: 5, metadata: signed('b') },
          ],
        },
      },
    ])
  })
})

describe('tool calls', () => {
  const start = (id: string): Part => ({ type: 'tool-input-start', id, toolName: `t_${id}` })
  const delta = (id: string, text: string): Part => ({ type: 'tool-input-delta', id, delta: text })
  const whole = (id: string, input: string): Part => ({
    type: 'tool-call',
    toolCallId: id,
    toolName: `t_${id}`,
    input,
  })

  test('stream their input, and may interleave', async () => {
    const { parts, reply } = await collectReply(
      fromAiSdk(
        languageModel([
          start('a'),
          delta('a', '{"x"'),
          start('b'),
          delta('b', '{}'),
          delta('a', ':1}'),
          whole('a', '{"x":1}'),
          whole('b', '{}'),
          finish('stop'),
        ]),
      ),
    )
    expect(parts).toEqual([
      { type: 'tool_call', index: 0, name: 't_a' },
      { type: 'tool_input', index: 0, delta: '{"x"' },
      { type: 'tool_call', index: 1, name: 't_b' },
      { type: 'tool_input', index: 1, delta: '{}' },
      { type: 'tool_input', index: 0, delta: ':1}' },
    ])
    expect(reply.finishReason).toBe('tool_calls')
  })

  test('may come whole, and with the same id again', async () => {
    expect(await partsOf([whole('a', '{"x":1}'), whole('a', '{"x":2}')])).toEqual([
      { type: 'tool_call', index: 0, name: 't_a' },
      { type: 'tool_input', index: 0, delta: '{"x":1}' },
      { type: 'tool_call', index: 1, name: 't_a' },
      { type: 'tool_input', index: 1, delta: '{"x":2}' },
    ])
  })

  test('take their input from the end where the deltas are none, or not JSON', async () => {
    expect(
      await partsOf([
        start('a'),
        whole('a', '{}'),
        { type: 'tool-input-start', id: 'b', toolName: 't_b', inputEncoding: 'text' },
        delta('b', 'raw'),
        whole('b', '"raw"'),
      ]),
    ).toEqual([
      { type: 'tool_call', index: 0, name: 't_a' },
      { type: 'tool_input', index: 0, delta: '{}' },
      { type: 'tool_call', index: 1, name: 't_b' },
      { type: 'tool_input', index: 1, delta: '"raw"' },
    ])
  })

  test('keep their data, at the start or at the end', async () => {
    expect(
      await partsOf([
        { ...start('a'), providerMetadata: signed('a') } as Part,
        whole('a', '{}'),
        start('b'),
        { ...whole('b', '{}'), providerMetadata: signed('b') } as Part,
      ]),
    ).toEqual([
      { type: 'tool_call', index: 0, name: 't_a', providerData: signed('a') },
      { type: 'tool_input', index: 0, delta: '{}' },
      { type: 'tool_call', index: 1, name: 't_b' },
      { type: 'tool_call', index: 1, name: 't_b', providerData: signed('b') },
      { type: 'tool_input', index: 1, delta: '{}' },
    ])
  })

  test('that the provider runs itself are none of ours', async () => {
    const { parts, reply } = await collectReply(
      fromAiSdk(
        languageModel([
          { ...start('a'), providerExecuted: true } as Part,
          delta('a', '{}'),
          { ...whole('a', '{}'), providerExecuted: true } as Part,
          { type: 'tool-result', toolCallId: 'a', toolName: 't_a', result: 'found' },
          { type: 'source', sourceType: 'url', id: 's', url: 'https://example.com' },
          textDelta('So it is.'),
          finish('tool-calls'),
        ]),
      ),
    )
    expect(parts).toEqual([{ type: 'text', delta: 'So it is.' }])
    expect(reply.finishReason).toBe('stop')
  })

  test('are at most 256', async () => {
    const calls = Array.from({ length: 257 }, (_, i) => whole(`c${i}`, '{}'))
    expect((await partsOf(calls.slice(1))).length).toBe(512)
    expect((await failureOf(languageModel([...calls, finish()]))).code).toBe('model_bad_response')
  })
})

describe('files', () => {
  test('that the model makes come as data: URLs, with their data', async () => {
    expect(
      await partsOf([
        { type: 'file', mediaType: 'image/png', data: { type: 'data', data: 'aGk=' } },
        {
          type: 'file',
          mediaType: 'audio/wav',
          data: { type: 'data', data: new Uint8Array([104, 105]) },
          providerMetadata: signed('f'),
        },
        { type: 'reasoning-file', mediaType: 'image/png', data: { type: 'data', data: 'aGk=' } },
      ]),
    ).toEqual([
      { type: 'file', url: 'data:image/png;base64,aGk=', mediaType: 'image/png', providerData: {} },
      { type: 'file', url: 'data:audio/wav;base64,aGk=', mediaType: 'audio/wav', providerData: signed('f') },
    ])
  })
})

describe('the end', () => {
  test.each([
    ['stop', 'stop'],
    ['length', 'length'],
    ['content-filter', 'content_filter'],
    ['other', 'other'],
  ] as const)('%s is %s', async (said, finishReason) => {
    const { reply } = await collectReply(fromAiSdk(languageModel([textDelta('x'), finish(said)])))
    expect(reply).toEqual({ finishReason, usage: null })
  })

  test.each([
    ['error', 'model_unavailable'],
    ['interrupted', 'model_bad_response'],
  ] as const)('%s is the error %s', async (said, code) => {
    expect((await failureOf(languageModel([textDelta('x'), finish(said)]))).code).toBe(code)
  })

  test('brings usage with cached and reasoning tokens', async () => {
    const usage = {
      inputTokens: { total: 10, noCache: 6, cacheRead: 4, cacheWrite: undefined },
      outputTokens: { total: 7, text: 5, reasoning: 2 },
    }
    const { reply } = await collectReply(fromAiSdk(languageModel([finish('stop', usage)])))
    expect(reply.usage).toEqual({
      input_tokens: 10,
      output_tokens: 7,
      total_tokens: 17,
      cached_input_tokens: 4,
      reasoning_tokens: 2,
    })
  })

  test('takes counts that make no sense as absent', async () => {
    const usage = {
      inputTokens: { ...noUsage.inputTokens, total: 2 ** 40 },
      outputTokens: { total: Number.NaN, text: undefined, reasoning: -1 },
    }
    const { reply } = await collectReply(fromAiSdk(languageModel([finish('stop', usage)])))
    expect(reply.usage).toBeNull()
  })

  test.each(['text-delta', 'reasoning-delta'] as const)(
    'with more in one %s than a whole reply has is an error',
    async (type) => {
      const part: Part = { type, id: '0', delta: 'x'.repeat(512 * 1024 + 1) }
      expect((await failureOf(languageModel([part, finish()]))).code).toBe('model_bad_response')
    },
  )

  test('lets others go on while much of it comes at once', async () => {
    let turn = 0
    let over = false
    const next = () => {
      turn++
      if (!over) setImmediate(next)
    }
    setImmediate(next)
    const turns: number[] = []
    const parts = Array.from({ length: 20 }, () => textDelta('x'.repeat(40_000)))
    const onPart = () => void turns.push(turn)
    await collectReply(fromAiSdk(languageModel([...parts, finish()])), { onPart })
    over = true
    expect(turns).toHaveLength(20)
    expect(new Set(turns).size).toBe(20)
  })

  test('that never comes is an error', async () => {
    expect((await failureOf(languageModel([textDelta('x')]))).code).toBe('model_bad_response')
  })

  test('does not wait for a stream that stays open, and gives up on it after the stall timeout', async () => {
    const clock = createFakeClock()
    const cancelled = Promise.withResolvers<void>()
    const model = createAiSdkModel({
      provider: 'acme',
      id: 'acme/m',
      clock,
      stallTimeoutMs: 1000,
      languageModel: languageModel({
        start(controller) {
          controller.enqueue(textDelta('x'))
          controller.enqueue(finish())
        },
        cancel: () => cancelled.resolve(),
      }),
    })
    expect((await collectReply(model)).decoded.text).toBe('x')
    await clock.advance(1000)
    await cancelled.promise
    expect(clock.pending()).toBe(0)
  })

  test('is the end of the wait: parts that come behind it do not keep the stream open', async () => {
    const clock = createFakeClock()
    const cancelled = Promise.withResolvers<void>()
    const source = Promise.withResolvers<ReadableStreamDefaultController<Part>>()
    const model = createAiSdkModel({
      provider: 'acme',
      id: 'acme/m',
      clock,
      stallTimeoutMs: 1000,
      languageModel: languageModel({ start: source.resolve, cancel: () => cancelled.resolve() }),
    })
    const reply = collectReply(model)
    const controller = await source.promise
    controller.enqueue(finish())
    await reply
    await clock.advance(999)
    controller.enqueue(textDelta('still here'))
    await clock.advance(1)
    await cancelled.promise
    expect(clock.pending()).toBe(0)
  })

  test('ends the call, and what never ends behind it is left', async () => {
    let sent = 0
    const left = Promise.withResolvers<string>()
    const model = fromAiSdk(
      languageModel({
        pull(controller) {
          if (sent++ === 0) controller.enqueue(finish())
          else if (sent < 2 ** 18 + 1000) controller.enqueue(textDelta('x'))
          else left.resolve('read on')
        },
        cancel: () => left.resolve('cancelled'),
      }),
    )
    await collectReply(model)
    expect(await left.promise).toBe('cancelled')
  })

  test('leaves no timer behind', async () => {
    const clock = createFakeClock()
    const closed = Promise.withResolvers<void>()
    const model = createAiSdkModel({
      provider: 'acme',
      id: 'acme/m',
      clock,
      languageModel: languageModel({
        pull(controller) {
          controller.enqueue(finish())
          controller.close()
          closed.resolve()
        },
      }),
    })
    await collectReply(model)
    await closed.promise
    await clock.advance(0)
    expect(clock.pending()).toBe(0)
  })
})

describe('fromAiSdk', () => {
  test('names a model by its provider, and passes on what is known of it', () => {
    const model = fromAiSdk(languageModel([], { provider: 'mistral.chat', modelId: 'large' }), {
      contextWindow: 128_000,
      accepts: ['image'],
      enforcesOutputSchema: true,
    })
    expect(model).toMatchObject({
      provider: 'mistral.chat',
      id: 'mistral.chat/large',
      contextWindow: 128_000,
      accepts: ['image'],
      enforcesOutputSchema: true,
    })
  })

  test('refuses models of other versions', () => {
    const old = { ...languageModel([]), specificationVersion: 'v3' } as unknown as LanguageModelV4
    expect(() => fromAiSdk(old)).toThrow('"v3"')
  })
})
