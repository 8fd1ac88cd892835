import { describe, expect, test } from 'vitest'
import type { EventDraft } from '../events.ts'
import type { ModelPart } from '../models/model.ts'
import type { StepLog } from './context.ts'
import { createReplyBuilder, parseArguments } from './reply-builder.ts'

function builder() {
  const events: EventDraft[] = []
  const unused = () => {
    throw new Error('a reply is only shown')
  }
  const log: StepLog = {
    emit: (event) => events.push(event),
    progress: unused,
    defer: unused,
    commit: unused,
  }
  return { events, reply: createReplyBuilder({ log, provider: 'scripted' }) }
}

function build(parts: readonly ModelPart[], end: 'finish' | 'abandon' = 'finish') {
  const { events, reply } = builder()
  for (const part of parts) reply.push(part)
  const items = reply[end]()
  return { events, items, types: events.map(({ type }) => type) }
}

const text = (delta: string): ModelPart => ({ type: 'text', delta })
const reasoning = (delta: string): ModelPart => ({ type: 'reasoning', delta })
const call = (index: number, name = 'it'): ModelPart => ({ type: 'tool_call', index, name })
const input = (index: number, delta: string): ModelPart => ({ type: 'tool_input', index, delta })

describe('blocks', () => {
  test('parts of one kind are one block, another kind closes it', () => {
    const { types, items } = build([reasoning('a'), reasoning('b'), text('c'), text('d'), reasoning('e')])
    expect(types).toEqual([
      'reasoning.start',
      'reasoning.delta',
      'reasoning.delta',
      'reasoning.end',
      'text.start',
      'text.delta',
      'text.delta',
      'text.end',
      'reasoning.start',
      'reasoning.delta',
      'reasoning.end',
    ])
    expect(items).toMatchObject([
      { type: 'reasoning', text: 'ab' },
      { type: 'message', role: 'assistant', content: [{ type: 'text', text: 'cd' }] },
      { type: 'reasoning', text: 'e' },
    ])
  })

  test('an empty delta opens and shows nothing', () => {
    const { reply, events } = builder()
    reply.push(text(''))
    reply.push(reasoning(''))
    expect(reply.streamed()).toBe(false)
    expect(reply.finish()).toEqual([])
    expect(events).toEqual([])
  })

  test('an explicit end closes, so that the next part of the kind opens anew', () => {
    const { types, items } = build([text('a'), { type: 'text_end' }, text('b'), { type: 'text_end' }])
    expect(types).toEqual(['text.start', 'text.delta', 'text.end', 'text.start', 'text.delta', 'text.end'])
    expect(items).toHaveLength(2)
  })

  test('an end of what is not open closes nothing', () => {
    const { types } = build([text('a'), { type: 'reasoning_end' }, text('b'), { type: 'text_end' }])
    expect(types).toEqual(['text.start', 'text.delta', 'text.delta', 'text.end'])
  })

  test('data of the provider is kept with the block, also when its end comes late', () => {
    const { items } = build([
      reasoning('a'),
      text('b'),
      { type: 'reasoning_end', providerData: { signature: 's' } },
      { type: 'text_end', providerData: { annotations: [1] } },
      { ...call(0), providerData: { id: 'theirs' } } as ModelPart,
    ])
    expect(items).toMatchObject([
      { provider: { name: 'scripted', data: { signature: 's' } } },
      { provider: { name: 'scripted', data: { annotations: [1] } } },
      { provider: { name: 'scripted', data: { id: 'theirs' } } },
    ])
  })

  test('reasoning without text is a block for the data that stands for it, whatever is open', () => {
    const { types, items } = build([
      { type: 'reasoning_end', providerData: { sealed: 1 } },
      reasoning('a'),
      { type: 'reasoning_end', providerData: { signature: 's' } },
      text('b'),
      { type: 'reasoning_end', providerData: { sealed: 2 } },
      text('c'),
    ])
    expect(types).toEqual([
      'reasoning.start',
      'reasoning.end',
      'reasoning.start',
      'reasoning.delta',
      'reasoning.end',
      'text.start',
      'text.delta',
      'text.end',
      'reasoning.start',
      'reasoning.end',
      'text.start',
      'text.delta',
      'text.end',
    ])
    expect(items).toMatchObject([
      { type: 'reasoning', text: '', provider: { data: { sealed: 1 } } },
      { type: 'reasoning', text: 'a', provider: { data: { signature: 's' } } },
      { type: 'message' },
      { type: 'reasoning', text: '', provider: { data: { sealed: 2 } } },
      { type: 'message' },
    ])
  })

  test('a call that comes again brings data and nothing else', () => {
    const { types, items } = build([
      call(0, 'first'),
      input(0, '{}'),
      { ...call(0, 'other'), providerData: { id: 'theirs' } } as ModelPart,
      call(0, 'other'),
    ])
    expect(types).toEqual(['tool.start', 'tool.input', 'tool.call'])
    expect(items).toMatchObject([{ name: 'first', provider: { name: 'scripted', data: { id: 'theirs' } } }])
  })

  test.each<[string, (turn: number) => ModelPart]>([
    ['text and reasoning in turn', (turn) => (turn % 2 === 0 ? text('a') : reasoning('b'))],
    ['hidden reasoning', () => ({ type: 'reasoning_end', providerData: {} })],
    ['calls', (turn) => call(turn)],
    ['files', () => ({ type: 'file', url: 'data:,', mediaType: 'image/png' })],
  ])('are 4096 at most: no model says so much by %s', (_what, partOf) => {
    const { reply } = builder()
    const push = (turn: number) => reply.push(partOf(turn))
    for (let turn = 0; turn < 4096; turn++) push(turn)
    expect(() => push(4096)).toThrow(expect.objectContaining({ code: 'model_bad_response' }))
    expect(reply.abandon()).toHaveLength(4096)
  })

  test('a file keeps what its maker wants back with it', () => {
    const url = 'data:image/png;base64,aGk='
    const file: ModelPart = { type: 'file', url, mediaType: 'image/png', providerData: { signature: 's' } }
    expect(build([file]).items).toMatchObject([
      {
        type: 'message',
        role: 'assistant',
        content: [{ type: 'image', url, media_type: 'image/png' }],
        provider: { name: 'scripted', data: { signature: 's' } },
      },
    ])
  })
})

describe('calls', () => {
  test('may interleave: deltas go to their own, all close at the end in the order they began', () => {
    const { types, items, events } = build([
      text('x'),
      call(0, 'first'),
      call(1, 'second'),
      input(1, '{"b"'),
      input(0, '{"a":1}'),
      input(1, ':2}'),
    ])
    expect(types).toEqual([
      'text.start',
      'text.delta',
      'text.end',
      'tool.start',
      'tool.start',
      'tool.input',
      'tool.input',
      'tool.input',
      'tool.call',
      'tool.call',
    ])
    expect(items.slice(1)).toMatchObject([
      { name: 'first', arguments: '{"a":1}' },
      { name: 'second', arguments: '{"b":2}' },
    ])
    expect(events.slice(-2)).toMatchObject([{ arguments: { a: 1 } }, { arguments: { b: 2 } }])
  })

  test('have ids of ours, which differ', () => {
    const { items } = build([call(0), call(1)])
    const ids = items.map((item) => (item.type === 'tool_call' ? item.call_id : ''))
    expect(new Set(ids).size).toBe(2)
    for (const id of ids) expect(id).toMatch(/^call_[0-9a-f]{32}$/)
  })

  test('an index that comes twice is one call, one that was never started is none', () => {
    const { items, types } = build([call(0, 'once'), call(0, 'twice'), input(7, 'lost'), input(0, '')])
    expect(items).toMatchObject([{ name: 'once', arguments: '' }])
    expect(types).toEqual(['tool.start', 'tool.call'])
  })
})

describe('a reply that is cut', () => {
  test('ends what is open as partial, and keeps what was whole', () => {
    const { items, events } = build([reasoning('whole'), text('half'), call(0), input(0, '{"a')], 'abandon')
    expect(items.map((item) => 'partial' in item && item.partial)).toEqual([false, false, true])
    expect(events.at(-1)).toMatchObject({ type: 'tool.call', arguments: '{"a', partial: true })
  })

  test('marks the open text', () => {
    const { items, events } = build([text('half')], 'abandon')
    expect(items).toMatchObject([{ partial: true }])
    expect(events.at(-1)).toMatchObject({ type: 'text.end', partial: true })
  })

  test('after its end closes nothing twice', () => {
    const { reply, events } = builder()
    for (const part of [text('a'), call(0)]) reply.push(part)
    const whole = reply.finish()
    const count = events.length
    expect(reply.abandon()).toEqual(whole)
    expect(events).toHaveLength(count)
  })
})

test.each([
  ['', {}],
  ['  \n', {}],
  ['{"a":1}', { a: 1 }],
  ['[1]', [1]],
  ['null', null],
  ['{"a":', '{"a":'],
])('arguments %j are %j', (written, parsed) => {
  expect(parseArguments(written)).toEqual(parsed)
})
