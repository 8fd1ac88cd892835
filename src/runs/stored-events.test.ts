import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { EventDraft, LoggedEvent } from '../events.ts'
import type { Item } from '../items.ts'
import { createReplyBuilder } from '../agent/reply-builder.ts'
import type { ModelPart } from '../models/model.ts'
import { toLoggedEvents, toStoredEvents } from './stored-events.ts'

const delta = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('', '\n', '😀', '{"a":', '1}', '\u0000'),
)
const index = fc.integer({ min: 0, max: 2 })
const part: fc.Arbitrary<ModelPart> = fc.oneof(
  fc.record({ type: fc.constant('text' as const), delta }),
  fc.record({ type: fc.constant('reasoning' as const), delta }),
  fc.constantFrom<ModelPart>({ type: 'text_end' }, { type: 'reasoning_end' }),
  fc.record({ type: fc.constant('tool_call' as const), index, name: fc.constantFrom('a', 'b') }),
  fc.record({ type: fc.constant('tool_input' as const), index, delta }),
)

/** A reply as it is streamed, with numbers that have gaps as those of several attempts have. */
function stream(parts: readonly ModelPart[], options: { cut: boolean; first: number; gapAfter: number }) {
  const events: LoggedEvent[] = []
  let seq = options.first
  const unused = () => {
    throw new Error('a reply is only shown')
  }
  const emit = (draft: EventDraft) => {
    if (events.length === options.gapAfter) seq += 1000
    events.push({ seq: seq++, ...draft } as LoggedEvent)
  }
  emit({ type: 'step.start', step: 0, model: 'm' })
  const reply = createReplyBuilder({
    log: { emit, progress: unused, defer: unused, commit: unused },
    provider: 'p',
  })
  for (const one of parts) reply.push(one)
  const items = options.cut ? reply.abandon() : reply.finish()
  return { events, items: new Map<string, Item>(items.map((item) => [item.id, item])) }
}

const reply = fc
  .record({
    parts: fc.array(part, { maxLength: 40 }),
    cut: fc.boolean(),
    first: fc.integer({ min: 1, max: 2 ** 40 }),
    gapAfter: fc.integer({ min: 1, max: 40 }),
  })
  .map(({ parts, ...options }) => stream(parts, options))

test('what was streamed comes back event for event, from any position', () => {
  fc.assert(
    fc.property(reply, fc.nat(), ({ events, items }, at) => {
      const stored = JSON.parse(JSON.stringify(toStoredEvents(events))) as ReturnType<typeof toStoredEvents>
      expect(toLoggedEvents({ stored, items, after: 0 })).toEqual(events)
      const after = events[at % events.length]?.seq ?? 0
      expect(toLoggedEvents({ stored, items, after })).toEqual(events.filter(({ seq }) => seq > after))
    }),
  )
})

test('no content is stored with the events', () => {
  const { events } = stream(
    [
      { type: 'text', delta: 'secret words' },
      { type: 'reasoning', delta: 'secret thought' },
      { type: 'tool_call', index: 0, name: 'secret_name' },
      { type: 'tool_input', index: 0, delta: '{"secret":1}' },
    ],
    { cut: false, first: 1, gapAfter: 100 },
  )
  const end: LoggedEvent = {
    seq: 100,
    type: 'tool.end',
    call_id: 'call_1',
    item_id: 'item_1',
    output: 'secret result',
    duration_ms: 1,
  }
  const stored = toStoredEvents([...events, end])
  const types: string[] = stored.map(({ type }) => type)
  expect(types.filter((type) => type.endsWith('.delta') || type === 'tool.input')).toEqual([])
  expect(JSON.stringify(stored.filter(({ type }) => type !== 'tool.start'))).not.toContain('secret')
})

test('a result comes back with its output', () => {
  const end: LoggedEvent = {
    seq: 7,
    type: 'tool.end',
    call_id: 'call_1',
    item_id: 'item_1',
    output: 'three',
    error: { code: 'tool_failed', message: 'The tool failed.' },
    duration_ms: 1,
  }
  const item: Item = { type: 'tool_result', id: 'item_1', call_id: 'call_1', output: 'three' }
  const stored = toStoredEvents([end])
  expect(toLoggedEvents({ stored, items: new Map([['item_1', item]]), after: 0 })).toEqual([end])
})

test('an item that is gone leaves empty content, not a failure', () => {
  const { events } = stream(
    [
      { type: 'text', delta: 'gone' },
      { type: 'tool_call', index: 0, name: 'a' },
    ],
    { cut: false, first: 1, gapAfter: 100 },
  )
  const replayed = toLoggedEvents({ stored: toStoredEvents(events), items: new Map(), after: 0 })
  expect(replayed.map(({ type }) => type)).toEqual(events.map(({ type }) => type))
  expect(JSON.stringify(replayed)).not.toContain('gone')
})
