import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { AppError } from '../errors.ts'
import { createFakeClock } from '../testing/fake-clock.ts'
import type { ModelPart, ModelRequest } from './model.ts'
import { cutIntoWords, type ScriptedModel, scriptedModel } from './scripted.ts'

const request: ModelRequest = { instructions: undefined, items: [], tools: [], settings: {} }

function start(model: ScriptedModel, signal = new AbortController().signal) {
  const parts: ModelPart[] = []
  const reply = model.stream(request, { emit: (part) => parts.push(part), signal })
  // Tests that look at the parts first take the failure later.
  reply.catch(() => {})
  return { parts, reply }
}

async function collect(model: ScriptedModel) {
  const { parts, reply } = start(model)
  return { parts, reply: await reply }
}

describe('turns', () => {
  test('a string comes as deltas of a word each', async () => {
    const { parts, reply } = await collect(scriptedModel(['Hello, dear world']))
    expect(parts).toEqual([
      { type: 'text', delta: 'Hello,' },
      { type: 'text', delta: ' dear' },
      { type: 'text', delta: ' world' },
    ])
    expect(reply).toEqual({
      finishReason: 'stop',
      usage: { input_tokens: 0, output_tokens: 3, total_tokens: 3 },
    })
  })

  test('reasoning comes before text, text before tool calls', async () => {
    const { parts, reply } = await collect(
      scriptedModel([
        {
          toolCalls: [{ name: 'add', arguments: { a: 1 } }],
          text: ['x', 'y'],
          reasoning: 'why not',
        },
      ]),
    )
    expect(parts).toEqual([
      { type: 'reasoning', delta: 'why' },
      { type: 'reasoning', delta: ' not' },
      { type: 'text', delta: 'x' },
      { type: 'text', delta: 'y' },
      { type: 'tool_call', index: 0, name: 'add' },
      { type: 'tool_input', index: 0, delta: '{"a":1}' },
    ])
    expect(reply.finishReason).toBe('tool_calls')
  })

  test('tool calls come one after another, or interleaved', async () => {
    const toolCalls = [
      { name: 'a', arguments: 'abcd', chunks: 2 },
      { name: 'b', arguments: 'xyz', chunks: 3 },
    ]
    const order = (parts: ModelPart[]) =>
      parts.map((part) =>
        part.type === 'tool_call' ? part.name : part.type === 'tool_input' ? part.delta : '?',
      )
    expect(order((await collect(scriptedModel([{ toolCalls }]))).parts)).toEqual([
      'a',
      'ab',
      'cd',
      'b',
      'x',
      'y',
      'z',
    ])
    expect(order((await collect(scriptedModel([{ toolCalls, interleave: true }]))).parts)).toEqual([
      'a',
      'b',
      'ab',
      'x',
      'cd',
      'y',
      'z',
    ])
  })

  test('raw parts, usage and finish reason are taken as they are', async () => {
    const part: ModelPart = { type: 'reasoning_end', providerData: { signature: 's' } }
    const { parts, reply } = await collect(
      scriptedModel([{ parts: [part], usage: null, finishReason: 'length' }]),
    )
    expect(parts).toEqual([part])
    expect(reply).toEqual({ finishReason: 'length', usage: null })
  })

  test('a function answers by request and number of the call', async () => {
    const model = scriptedModel((_request, index) =>
      index === 0 ? 'first' : Promise.resolve({ text: 'later' }),
    )
    expect((await collect(model)).parts).toEqual([{ type: 'text', delta: 'first' }])
    expect((await collect(model)).parts).toEqual([{ type: 'text', delta: 'later' }])
    expect(model.calls).toEqual([request, request])
  })

  test('requests are not kept where that is not wanted, and the list goes on all the same', async () => {
    const model = scriptedModel(['one', 'two'], { record: false })
    await collect(model)
    expect((await collect(model)).parts).toEqual([{ type: 'text', delta: 'two' }])
    expect(model.calls).toEqual([])
  })

  test('running out of turns is an error that says how many there were', async () => {
    const model = scriptedModel(['one', 'two'])
    await collect(model)
    await collect(model)
    await expect(start(model).reply).rejects.toThrow('this is call 3, but only 2 were scripted')
  })

  test('the last turn repeats, or the list starts again, where that was asked for', async () => {
    const texts = async (model: ScriptedModel) => {
      const all: string[] = []
      for (let i = 0; i < 3; i++)
        for (const part of (await collect(model)).parts) if (part.type === 'text') all.push(part.delta)
      return all
    }
    expect(await texts(scriptedModel(['one', 'two'], { atEnd: 'repeat' }))).toEqual(['one', 'two', 'two'])
    expect(await texts(scriptedModel(['one', 'two'], { atEnd: 'loop' }))).toEqual(['one', 'two', 'one'])
    await expect(start(scriptedModel([], { atEnd: 'loop' })).reply).rejects.toThrow('only 0 were scripted')
  })
})

describe('time', () => {
  test('without delay or gate everything comes one microtask after the call, in one go', async () => {
    const { parts } = start(scriptedModel([{ text: Array.from({ length: 100 }, () => 'x') }]))
    expect(parts).toHaveLength(0)
    await Promise.resolve()
    expect(parts).toHaveLength(100)
  })

  test('a delay is waited for before each part', async () => {
    const clock = createFakeClock()
    const { parts, reply } = start(scriptedModel([{ text: 'a b', delayMs: 15 }], { clock }))
    await clock.advance(14)
    expect(parts).toHaveLength(0)
    await clock.advance(1)
    expect(parts).toHaveLength(1)
    await clock.advance(15)
    expect(parts).toHaveLength(2)
    await reply
  })

  test('a gate lets a test step from part to part', async () => {
    const doors = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const seen = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const model = scriptedModel([{ text: 'a b', gate: (index) => doors[index]!.promise }])
    const parts: ModelPart[] = []
    const reply = model.stream(request, {
      emit: (part) => seen[parts.push(part) - 1]!.resolve(),
      signal: new AbortController().signal,
    })
    doors[0]!.resolve()
    await seen[0]!.promise
    expect(parts).toHaveLength(1)
    doors[1]!.resolve()
    await reply
    expect(parts).toHaveLength(2)
  })
})

describe('failures', () => {
  test('a coded error comes after the parts it was put behind', async () => {
    const { parts, reply } = start(
      scriptedModel([
        {
          text: 'a b c',
          error: { code: 'model_rate_limited', after: 2, retryAfterMs: 500, retryable: false },
        },
      ]),
    )
    const error = await reply.catch((thrown: unknown) => thrown)
    expect(AppError.is(error) && [error.code, error.retryAfterMs, error.retryable]).toEqual([
      'model_rate_limited',
      500,
      false,
    ])
    expect(parts).toHaveLength(2)
  })

  test('anything may be thrown', async () => {
    const { parts, reply } = start(scriptedModel([{ text: 'a b', error: { throw: 'a string' } }]))
    await expect(reply).rejects.toBe('a string')
    expect(parts).toHaveLength(2)
  })

  test.each([
    ['hang', { text: 'a', hang: true }],
    ['gate', { text: 'a', gate: () => new Promise(() => {}) }],
    ['delay', { text: 'a', delayMs: 1_000_000 }],
  ] as const)('the signal ends a %s at once, with its reason', async (_name, turn) => {
    const clock = createFakeClock()
    const model = scriptedModel([turn], { clock })
    const controller = new AbortController()
    const { reply } = start(model, controller.signal)
    await Promise.resolve()
    controller.abort(new Error('gone'))
    await expect(reply).rejects.toThrow('gone')
    expect(model.aborted).toBe(1)
    expect(clock.pending()).toBe(0)
  })

  test('a signal that fires while parts are taken stops the rest', async () => {
    const controller = new AbortController()
    const model = scriptedModel(['a b c'])
    const parts: ModelPart[] = []
    const reply = model.stream(request, {
      emit(part) {
        if (parts.push(part) === 2) controller.abort()
      },
      signal: controller.signal,
    })
    await expect(reply).rejects.toThrow()
    expect(parts).toHaveLength(2)
    expect(model.aborted).toBe(1)
  })

  test('a signal that fired before the call lets nothing through', async () => {
    const model = scriptedModel(['a'])
    const { parts, reply } = start(model, AbortSignal.abort())
    await expect(reply).rejects.toThrow()
    expect([parts.length, model.aborted]).toEqual([0, 1])
  })
})

test('cutting into words loses nothing, leaves nothing empty and tears no character', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      const words = cutIntoWords(text)
      expect(words.join('')).toBe(text)
      for (const word of words) {
        expect(word.length).toBeGreaterThan(0)
        expect(word.isWellFormed()).toBe(text.isWellFormed() || word.isWellFormed())
      }
    }),
  )
  expect(cutIntoWords('😀'.repeat(40)).every((word) => word.isWellFormed())).toBe(true)
})

test('cutting arguments into chunks tears no character', async () => {
  const text = JSON.stringify({ emoji: '😀😀😀😀😀' })
  const { parts } = await collect(scriptedModel([{ toolCalls: [{ name: 'a', arguments: text, chunks: 7 }] }]))
  const deltas = parts.flatMap((part) => (part.type === 'tool_input' ? [part.delta] : []))
  expect(deltas).toHaveLength(6)
  expect(deltas.join('')).toBe(text)
  expect(deltas.every((delta) => delta.isWellFormed())).toBe(true)
})
