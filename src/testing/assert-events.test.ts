import { expect, test } from 'vitest'
import type { RunEvent } from '../events.ts'
import { assertEvents, type EventPattern } from './assert-events.ts'

const usage = { input_tokens: 1, output_tokens: 1, total_tokens: 2 }
const timings = { first_token: 1, total: 2 }

/** A run that calls a tool once: 14 events in the log. */
const events: RunEvent[] = [
  {
    seq: 1,
    type: 'run.start',
    run_id: 'run_1',
    agent: 'weather',
    definition: null,
    model: 'scripted/model',
    conversation_id: null,
    attempt: 1,
    at: '2026-01-01T00:00:00.000Z',
  },
  { seq: 2, type: 'step.start', step: 0, model: 'scripted/model' },
  { seq: 3, type: 'tool.start', item_id: 'item_1', call_id: 'call_1', name: 'get_weather' },
  { seq: 4, type: 'tool.input', item_id: 'item_1', delta: '{"city":' },
  { seq: 5, type: 'tool.input', item_id: 'item_1', delta: '"Oslo"}' },
  {
    seq: 6,
    type: 'tool.call',
    item_id: 'item_1',
    call_id: 'call_1',
    name: 'get_weather',
    arguments: { city: 'Oslo', days: [1, 2] },
  },
  { seq: 7, type: 'step.end', step: 0, finish_reason: 'tool_calls', usage, timings },
  { type: 'tool.progress', call_id: 'call_1', progress: 1, total: 2 },
  { seq: 8, type: 'tool.end', call_id: 'call_1', item_id: 'item_2', output: 'rain', duration_ms: 3 },
  { seq: 9, type: 'step.start', step: 1, model: 'scripted/model' },
  { seq: 10, type: 'text.start', item_id: 'item_3' },
  { seq: 11, type: 'text.delta', item_id: 'item_3', delta: 'It' },
  { seq: 12, type: 'text.delta', item_id: 'item_3', delta: ' rains.' },
  { seq: 13, type: 'text.end', item_id: 'item_3' },
  { seq: 14, type: 'step.end', step: 1, finish_reason: 'stop', usage, timings },
  {
    seq: 15,
    type: 'run.end',
    status: 'completed',
    stop_reason: 'final',
    output: ['item_3'],
    usage,
    steps: 2,
    error: null,
  },
]

function messageOf(expected: EventPattern[], given: RunEvent[] = events): string {
  try {
    assertEvents(given, expected)
    return 'no failure'
  } catch (error) {
    return (error as Error).message
  }
}

test('a whole run by its types: deltas of a block are one event, progress is none', () => {
  assertEvents(events, [
    'run.start',
    'step.start',
    'tool.start',
    'tool.input',
    'tool.call',
    'step.end',
    'tool.end',
    'step.start',
    'text.start',
    'text.delta',
    'text.end',
    'step.end',
    'run.end',
  ])
})

test('the text of deltas is that of the block', () => {
  assertEvents(events, ['...', { type: 'text.delta', delta: 'It rains.' }, '...'])
  expect(messageOf(['...', { type: 'text.delta', delta: 'It' }, '...'])).toContain(
    'delta: expected "It", was "It rains."',
  )
})

test('deltas of two blocks stay two events', () => {
  const two = (id: string): RunEvent => ({ seq: 1, type: 'text.delta', item_id: id, delta: id })
  assertEvents([two('a'), two('a'), two('b'), two('a')], ['text.delta', 'text.delta', 'text.delta'])
})

test.each<[string, EventPattern]>([
  ['equal values', { type: 'tool.call', name: 'get_weather' }],
  ['some fields of an object', { type: 'tool.call', arguments: { city: 'Oslo' } }],
  ['whole lists', { type: 'tool.call', arguments: { days: [1, 2] } }],
  ['a regular expression', { type: 'tool.call', name: /^get_/ }],
  ['a function', { type: 'tool.call', name: (name) => name.length === 11 }],
  [
    'functions and expressions further in',
    { type: 'tool.call', arguments: { city: /lo$/, days: [1, (day: number) => day > 1] } },
  ],
  [
    "a test runner's matcher",
    { type: 'tool.call', arguments: expect.objectContaining({ city: expect.any(String) }) },
  ],
])('fields may be %s', (_what, pattern) => {
  assertEvents(events, ['...', pattern, '...'])
})

test.each<[EventPattern, string]>([
  [{ type: 'tool.call', name: 'other' }, 'name: expected "other", was "get_weather"'],
  [{ type: 'tool.call', arguments: { city: 'Rome' } }, 'arguments.city: expected "Rome", was "Oslo"'],
  [{ type: 'tool.call', arguments: { days: [1, 3] } }, 'arguments.days[1]: expected 3, was 2'],
  [{ type: 'tool.call', arguments: { days: [1] } }, 'arguments.days: expected [1], was [1,2]'],
  [{ type: 'tool.call', arguments: { wind: 3 } }, 'arguments.wind: expected 3, was nothing'],
  [{ type: 'tool.call', name: /^set_/ }, 'name: expected /^set_/, was "get_weather"'],
  [
    { type: 'tool.call', name: (name) => name === 'x' },
    'name: expected (name) => name === "x", was "get_weather"',
  ],
  [{ type: 'tool.call', arguments: expect.any(Number) }, 'arguments: expected Any<Number>, was {"city"'],
])('a field that is not as expected is named: %j', (pattern, fault) => {
  expect(messageOf(['...', pattern, '...'])).toContain(fault)
})

test('a global expression matches every time', () => {
  const pattern: EventPattern = { type: 'step.start', model: /scripted/g }
  assertEvents(events, ['...', pattern, '...', pattern, '...'])
})

test('the message shows both sides from where they part', () => {
  expect(messageOf(['run.start', 'step.start', 'text.start', '...']))
    .toBe(`the events are not as expected, from event 3 on:
    run.start  agent: "weather"  model: "scripted/model"  attempt: 1
    step.start  step: 0  model: "scripted/model"
  - expected: text.start
  + tool.start  name: "get_weather"
  + tool.input  delta: "{\\"city\\":\\"Oslo\\"}"
  + tool.call  name: "get_weather"  arguments: {"city":"Oslo","days":[1,2]}
  + step.end  step: 0  finish_reason: "tool_calls"
  + tool.end  output: "rain"
  + step.start  step: 1  model: "scripted/model"
  + text.start
  + text.delta  delta: "It rains."
  + text.end
  + step.end  step: 1  finish_reason: "stop"
  + … 1 more`)
})

test('events that are too many, too few or out of order are told', () => {
  expect(messageOf(['run.start'])).toContain('- expected: the end\n  + step.start')
  expect(messageOf(['...', 'run.end', 'run.end'])).toContain('- expected: run.end\n  + no more events')
  expect(messageOf(['...', 'run.end', '...', 'tool.end', '...'])).toContain(
    'expected somewhere below: tool.end\n  + no more events',
  )
  expect(messageOf([], [])).toBe('no failure')
  expect(messageOf(['run.start'], [])).toContain(
    'from event 1 on:\n  - expected: run.start\n  + no more events',
  )
})

test('of what stands somewhere, the ones of its type are shown with what differs', () => {
  const message = messageOf(['run.start', '...', { type: 'step.start', step: 7 }, '...'])
  expect(message).toContain('expected somewhere below: step.start  step: 7')
  expect(message.match(/^ {2}\+ .*/gm)).toEqual([
    '  + step.start  step: 0  model: "scripted/model"',
    '  + step.start  step: 1  model: "scripted/model"',
  ])
  expect(message).toContain('      step: expected 7, was 1')
})

test('a gap takes what it must, also where the next pattern fits too early', () => {
  assertEvents(events, ['run.start', '...', 'step.start', 'text.start', '...', 'step.end', 'run.end'])
  assertEvents(events, ['...', 'step.end', 'tool.end', '...', 'step.end', 'run.end'])
  assertEvents(events, ['...'])
  expect(messageOf(['...', 'step.start', 'run.end'])).not.toBe('no failure')
})

test('progress is seen where a pattern names it', () => {
  assertEvents(events, ['...', 'step.end', { type: 'tool.progress', progress: 1 }, 'tool.end', '...'])
})

test('a misspelt type or field, or a value of another kind, is refused by the compiler', () => {
  const wrong: EventPattern[] = [
    // @ts-expect-error there is no such type
    'run.begin',
    // @ts-expect-error no such field of this event
    { type: 'run.end', name: 'x' },
    // @ts-expect-error a status is one of a few
    { type: 'run.end', status: 'done' },
    // @ts-expect-error not a text: no regular expression
    { type: 'run.end', steps: /2/ },
  ]
  expect(() => assertEvents(events, wrong)).toThrow('not as expected')
})
