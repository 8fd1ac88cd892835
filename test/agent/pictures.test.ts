import { describe, expect, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { createId } from '../../src/ids.ts'
import type { Item, Part } from '../../src/items.ts'
import type { InputKind, Model } from '../../src/models/model.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import { startEngine } from './engine-under-test.ts'

const image: Part = { type: 'image', url: 'https://example.com/cat.png' }
const pdf: Part = { type: 'file', url: 'https://example.com/a.pdf', media_type: 'application/pdf' }

function message(...content: Part[]): Item[] {
  return [{ type: 'message', id: createId('item'), role: 'user', content }]
}

function dataOf(bytes: number): Part {
  return { type: 'image', url: `data:image/png;base64,${Buffer.alloc(bytes, 7).toString('base64')}` }
}

function seeing(accepts: readonly InputKind[] | undefined, replies = ['seen', 'again']) {
  const script = scriptedModel(
    replies.map((text) => ({ text })),
    { id: 'test/seeing' },
  )
  const model: Model = { ...script, ...(accepts ? { accepts } : {}) }
  return { model, calls: script.calls }
}

describe('a model that takes pictures', () => {
  test('is given them as they came, by address and as data', async () => {
    const { model, calls } = seeing(['image'])
    const engine = await startEngine({ model })
    const parts = [image, dataOf(1000)]
    const { text } = await engine.finish({ input: message(...parts) })
    expect(text).toBe('seen')
    expect(calls[0]?.items[0]).toMatchObject({ content: parts })
  })

  test('is not given a file: the run is refused before anything is stored', async () => {
    const { model } = seeing(['image'])
    const engine = await startEngine({ model })
    await expect(engine.start({ input: message(image, pdf) })).rejects.toMatchObject({
      code: 'input_not_accepted',
      locations: [{ path: ['body', 'input', 0, 'content', 1] }],
    })
    expect(
      (await engine.runs.list({ owner: 'anonymous', namespace: '', name: '' }, { limit: 1 })).data,
    ).toEqual([])
  })
})

test('a model of which nothing is known is given everything', async () => {
  const { model, calls } = seeing(undefined)
  const engine = await startEngine({ model })
  await engine.finish({ input: message(image, pdf) })
  expect(calls[0]?.items[0]).toMatchObject({ content: [image, pdf] })
})

test('pictures of earlier turns are mentioned to a model that takes none', async () => {
  const blind = seeing([])
  const front = agent({
    name: 'front',
    model: seeing(['image']).model,
    handoffs: [agent({ name: 'blind', model: blind.model })],
  })
  const back = agent({ name: 'back', model: blind.model })
  const engine = await startEngine({ agents: [front, back] })
  await engine.finish({ agent: 'front', input: message(image), conversation: { session: 's' } })
  const { run, text } = await engine.finish({
    agent: 'back',
    input: 'And now?',
    conversation: { session: 's' },
  })
  expect([run.status, text]).toEqual(['completed', 'seen'])
  expect(blind.calls[0]?.items[0]).toMatchObject({
    content: [{ type: 'text', text: '[image: not shown to this model]' }],
  })
})

test('a picture that reaches a specialist whose model takes none fails the run with the code', async () => {
  const desk = agent({
    name: 'desk',
    model: seeing(['image']).model,
    specialists: [agent({ name: 'blind', model: seeing([]).model })],
    routing: { by: () => 'blind' },
  })
  const engine = await startEngine({ agents: [desk] })
  const { run } = await engine.finish({ agent: 'desk', input: message(image) })
  expect(run).toMatchObject({ status: 'failed', error: { code: 'input_not_accepted' } })
})

describe('input is refused', () => {
  test.each<[why: string, part: Part, code: string]>([
    ['data over the limit', dataOf(5 * 1024 ** 2 + 1), 'file_too_large'],
    ['data that is no base64', { type: 'image', url: 'data:image/png;base64,a_b=' }, 'invalid_request'],
    ['data of the wrong length', { type: 'image', url: 'data:image/png;base64,abc' }, 'invalid_request'],
    [
      'data with padding in its middle',
      { type: 'image', url: 'data:image/png;base64,ab==abcd' },
      'invalid_request',
    ],
    ['empty data', { type: 'image', url: 'data:image/png;base64,' }, 'invalid_request'],
    ['data without a type', { type: 'image', url: 'data:;base64,abcd' }, 'invalid_request'],
    ['data that is not in base64', { type: 'image', url: 'data:text/plain,hello' }, 'invalid_request'],
    [
      'a document as a picture',
      { type: 'image', url: 'data:application/pdf;base64,abcd' },
      'invalid_request',
    ],
    ['a file of this machine', { type: 'image', url: 'file:///etc/passwd' }, 'invalid_request'],
    ['no address', { type: 'image', url: 'cat.png' }, 'invalid_request'],
    ['an address with a password', { type: 'image', url: 'https://a:b@example.com/' }, 'invalid_request'],
    [
      'an endless address',
      { type: 'image', url: `https://example.com/${'a'.repeat(9000)}` },
      'invalid_request',
    ],
  ])('%s', async (_why, part, code) => {
    const { model } = seeing(['image'])
    const engine = await startEngine({ model })
    await expect(engine.start({ input: message(part) })).rejects.toMatchObject({
      code,
      locations: [{ path: ['body', 'input', 0, 'content', 0, 'url'] }],
    })
  })

  test('with its place, over HTTP', async () => {
    const server = await createTestServer({ model: seeing(['image']).model, maxFileBytes: 1024 })
    try {
      const input = [{ type: 'message', role: 'user', content: [dataOf(1025)] }]
      const response = await server.request('/v1/agents/assistant/runs', { body: { input } })
      expect([response.status, await response.json()]).toMatchObject([
        413,
        { code: 'file_too_large', errors: [{ path: ['body', 'input', 0, 'content', 0, 'url'] }] },
      ])
    } finally {
      await server.close()
    }
  })
})

test('a file that a model makes is part of its message', async () => {
  const url = 'data:image/png;base64,iVBORw0KGgo='
  const script = scriptedModel([{ text: 'x' }])
  const model: Model = {
    ...script,
    stream(_request, { emit }) {
      emit({ type: 'text', delta: 'Here it is.' })
      emit({ type: 'file', url, mediaType: 'image/png' })
      return Promise.resolve({ finishReason: 'stop', usage: null })
    },
  }
  const engine = await startEngine({ model })
  const { run, text } = await engine.finish()
  expect(text).toBe('Here it is.')
  const made = (await engine.items(run)).map(({ item }) => item).filter(({ id }) => run.output.includes(id))
  expect(made).toMatchObject([
    { content: [{ type: 'text', text: 'Here it is.' }] },
    { role: 'assistant', content: [{ type: 'image', url, media_type: 'image/png' }] },
  ])
})
