import { onTestFinished, describe, expect, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { createOpenAICompatibleModel } from '../../src/models/openai-compatible/openai-compatible-model.ts'
import {
  chunkOf,
  createUpstreamServer,
  doneStep,
  finishOf,
  rawStep,
} from '../../src/testing/upstream-server.ts'
import { collectReply } from './collect-reply.ts'

async function setUp() {
  const upstream = await createUpstreamServer()
  const model = createOpenAICompatibleModel({
    provider: 'llm',
    id: 'llm/test',
    model: 'test',
    baseURL: upstream.baseURL,
  })
  onTestFinished(async () => {
    await model.close()
    await upstream.close()
  })
  return { upstream, model }
}

describe('a reply that has gone mad', () => {
  const manyCalls = (count: number, index?: boolean) =>
    chunkOf({
      tool_calls: Array.from({ length: count }, (_, i) => ({
        ...(index ? { index: i } : {}),
        id: `i${i}`,
        function: { name: 'z', arguments: '{}' },
      })),
    })

  test.each([
    ['in one chunk', [manyCalls(60_000)]],
    [
      'in many',
      Array.from({ length: 300 }, (_, i) =>
        chunkOf({ tool_calls: [{ index: i, id: `i${i}`, function: { name: 'z' } }] }),
      ),
    ],
  ])('asks for more tool calls than any model would, %s', async (_, steps) => {
    const { upstream, model } = await setUp()
    upstream.reply({ steps: [...steps, finishOf('tool_calls'), doneStep] })
    const error: unknown = await collectReply(model).catch((reason: unknown) => reason)
    expect(AppError.is(error) && error.code).toBe('model_bad_response')
  })

  test('says more than any reply does', async () => {
    const { upstream, model } = await setUp()
    const delta = 'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
    upstream.reply({ steps: [rawStep(delta.repeat(2 ** 18 + 1)), finishOf('stop'), doneStep] })
    const error: unknown = await collectReply(model).catch((reason: unknown) => reason)
    expect(AppError.is(error) && error.code).toBe('model_bad_response')
  })

  test('says in one event more than any reply does', async () => {
    const { upstream, model } = await setUp()
    const turn = [{ text: 'x' }, { thinking: 'y' }]
    const content = Array.from({ length: 2 ** 17 }, () => turn).flat()
    upstream.reply({ steps: [chunkOf({ content }), chunkOf({ content: 'z' }), finishOf('stop'), doneStep] })
    let count = 0
    const onPart = () => void count++
    const error: unknown = await collectReply(model, { onPart }).catch((reason: unknown) => reason)
    expect(AppError.is(error) && error.code).toBe('model_bad_response')
    expect(count).toBe(2 ** 18)
  })

  const half = 256 * 1024
  const text = (length: number) => chunkOf({ content: 'x'.repeat(length) })

  test.each([
    ['in one text', [text(2 * half + 1)]],
    ['in a text like the one before it', [chunkOf({ content: 'x' }), text(2 * half + 1)]],
    [
      'by turns',
      [chunkOf({ content: [{ text: 'x'.repeat(half) }, { thinking: 'x'.repeat(half) }, { text: 'x' }] })],
    ],
    ['in text and reasoning', [chunkOf({ content: 'x'.repeat(half), reasoning: 'x'.repeat(half + 1) })]],
  ])('says as much in one event as whole replies do, %s', async (_, steps) => {
    const { upstream, model } = await setUp()
    upstream.reply({ steps: [...steps, finishOf('stop'), doneStep] })
    const error: unknown = await collectReply(model).catch((reason: unknown) => reason)
    expect(AppError.is(error) && error.code).toBe('model_bad_response')
  })

  test('says a great deal in several events', async () => {
    const { upstream, model } = await setUp()
    upstream.reply({ steps: [text(2 * half), text(2 * half), text(1), finishOf('stop'), doneStep] })
    expect((await collectReply(model)).decoded.text).toHaveLength(4 * half + 1)
  })

  test('says it in a list of a great many pieces, which are one part of each kind', async () => {
    const { upstream, model } = await setUp()
    const thinking = Array.from({ length: 50_000 }, () => ({ type: 'text', text: 'y' }))
    const content = [{ type: 'thinking', thinking }, ...Array.from({ length: 50_000 }, () => ({ text: 'x' }))]
    upstream.reply({ steps: [chunkOf({ content }), finishOf('stop'), doneStep] })
    const { parts } = await collectReply(model)
    expect(parts).toEqual([
      { type: 'reasoning', delta: 'y'.repeat(50_000) },
      { type: 'text', delta: 'x'.repeat(50_000) },
    ])
  })

  test('nests thoughts in thoughts deeper than a stack holds: only the outermost count', async () => {
    const { upstream, model } = await setUp()
    const deep = `${'{"thinking":['.repeat(150_000)}"x"${']}'.repeat(150_000)}`
    const event = JSON.stringify({ choices: [{ delta: { content: ['deep', 'z'] } }] })
    upstream.reply({
      steps: [rawStep(`data: ${event.replace('"deep"', deep)}\n\n`), finishOf('stop'), doneStep],
    })
    expect((await collectReply(model)).decoded).toMatchObject({ text: 'z', reasoning: '' })
  })

  test('has as many calls as it may', async () => {
    const { upstream, model } = await setUp()
    upstream.reply({
      steps: [manyCalls(256, true), finishOf('tool_calls'), doneStep],
    })
    const { parts } = await collectReply(model)
    expect(parts.filter(({ type }) => type === 'tool_call')).toHaveLength(256)
  })
})
