import { createParser, type EventSourceMessage } from 'eventsource-parser'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { eventSchema, type LoggedEvent, type RunEvent } from '../../src/events.ts'
import type { Encoder } from '../../src/http/encoder.ts'
import { createNativeEncoder } from '../../src/protocols/native/encode.ts'
import { createRawTextEncoder, createTypedFrameEncoder } from '../../src/protocols/root/encode.ts'

const usage = { input_tokens: 1, output_tokens: 2, total_tokens: 3 }

function parse(wire: string): EventSourceMessage[] {
  const messages: EventSourceMessage[] = []
  const errors: unknown[] = []
  const parser = createParser({
    onEvent: (message) => messages.push(message),
    onError: (error) => errors.push(error),
  })
  parser.feed(wire)
  expect(errors).toEqual([])
  return messages
}

function encodeAll(encoder: Encoder, events: readonly RunEvent[]): string {
  return events.map((event) => encoder.push(event)).join('') + encoder.end()
}

const nasty = fc
  .array(
    fc.constantFrom(
      '\r',
      '\n',
      '\r\n',
      'data: x',
      'event: error',
      'id: 1',
      ':',
      ' ',
      '',
      '\u0000',
      '\u2028',
      'é',
      '[DONE]',
      '{"a":1}',
    ),
  )
  .map((parts) => parts.join(''))
const text = fc.oneof(nasty, fc.string(), fc.string({ unit: 'grapheme' }))

function textRun(deltas: readonly string[]): LoggedEvent[] {
  const item_id = 'item_1'
  const events: LoggedEvent[] = [{ seq: 1, type: 'text.start', item_id }]
  for (const delta of deltas) events.push({ seq: events.length + 1, type: 'text.delta', item_id, delta })
  events.push({ seq: events.length + 1, type: 'text.end', item_id })
  events.push({
    seq: events.length + 1,
    type: 'run.end',
    status: 'completed',
    stop_reason: 'final',
    output: [item_id],
    usage,
    steps: 1,
    error: null,
  })
  return events
}

test('native delta frames are what JSON.stringify gives', () => {
  const types = fc.constantFrom('text.delta', 'reasoning.delta', 'tool.input')
  const event = fc.record({ seq: fc.integer({ min: 1 }), type: types, item_id: fc.string(), delta: text })
  fc.assert(
    fc.property(fc.array(event), (events) => {
      const encoder = createNativeEncoder()
      for (const { seq, type, item_id, delta } of events) {
        const json = JSON.stringify({ seq, type, item_id, delta })
        // A key order of its own, to see that the encoder's does not come from the event.
        expect(encoder.push({ delta, item_id, type, seq })).toBe(`id: ${seq}\ndata: ${json}\n\n`)
      }
    }),
  )
})

test('native frames hold the event, its seq as id and no event name', () => {
  const events = textRun(['Hello\r\nthere', '\u2028'])
  const messages = parse(encodeAll(createNativeEncoder(), events))
  expect(messages.map(({ id, event, data }) => ({ id, event, data: JSON.parse(data) }))).toEqual(
    events.map((event) => ({ id: String(event.seq), event: undefined, data: event })),
  )
  for (const { data } of messages) eventSchema.parse(JSON.parse(data))
})

test('progress has no id, so that nobody comes back to it', () => {
  const progress: RunEvent = { type: 'tool.progress', call_id: 'call_1', progress: 1 }
  expect(createNativeEncoder().push(progress)).toBe(`data: ${JSON.stringify(progress)}\n\n`)
})

test('a native stream that breaks says so under a name', () => {
  const [message] = parse(createNativeEncoder().fail(new AppError('log_pruned', { details: { oldest: 9 } })))
  expect(message).toMatchObject({ event: 'error', id: undefined })
  expect(JSON.parse(message!.data)).toMatchObject({ type: 'error', code: 'log_pruned', oldest: 9 })
})

test('no text can forge a frame of the raw dialect, and all of it arrives', () => {
  fc.assert(
    fc.property(fc.array(text), (deltas) => {
      const messages = parse(encodeAll(createRawTextEncoder(), textRun(deltas)))
      const done = messages.pop()
      expect(done).toMatchObject({ event: 'done', data: '[DONE]' })
      expect(messages.every(({ event, id }) => event === undefined && id === undefined)).toBe(true)
      // The wire has one kind of line end.
      const sent = deltas.join('').replace(/\r\n|\r|\n/g, '\n')
      expect(messages.map(({ data }) => data).join('')).toBe(sent)
    }),
    { numRuns: 1000 },
  )
})

test('the raw dialect writes the bytes that its clients know', () => {
  expect(encodeAll(createRawTextEncoder(), textRun(['Quantum', ' computing']))).toBe(
    'data: Quantum\n\ndata:  computing\n\nevent: done\ndata: [DONE]\n\n',
  )
})

const failed: RunEvent = {
  seq: 9,
  type: 'run.end',
  status: 'failed',
  stop_reason: 'error',
  output: [],
  usage,
  steps: 1,
  error: { code: 'model_unavailable', message: 'line 1\nevent: done' },
}
const cancelled: RunEvent = { ...failed, status: 'cancelled', stop_reason: 'cancelled', error: null }
const suspended: RunEvent = {
  seq: 9,
  type: 'run.suspend',
  approvals: [
    { id: 'appr_1', call_id: 'call_1', tool: 'send', arguments: {}, reason: 'policy', expires_at: null },
  ],
  tool_calls: [],
}

test('a raw stream that fails ends with an error and without done', () => {
  expect(parse(encodeAll(createRawTextEncoder(), [failed]))).toMatchObject([
    { event: 'error', data: 'line 1\nevent: done' },
  ])
  expect(parse(encodeAll(createRawTextEncoder(), [cancelled]))).toMatchObject([
    { event: 'error', data: 'The run was cancelled.' },
  ])
  expect(parse(createRawTextEncoder().fail(new AppError('store_unavailable')))).toMatchObject([
    { event: 'error' },
  ])
})

test('a raw stream that is suspended says what is awaited, and is not done', () => {
  const [message, ...rest] = parse(encodeAll(createRawTextEncoder(), [suspended]))
  expect(message!.event).toBe('suspended')
  expect(JSON.parse(message!.data)).toMatchObject({ status: 'suspended', approvals: [{ id: 'appr_1' }] })
  expect(rest).toEqual([])
})

const wholeRun: RunEvent[] = [
  {
    seq: 1,
    type: 'run.start',
    run_id: 'run_1',
    agent: 'a',
    definition: null,
    model: 'm',
    conversation_id: 'conv_1',
    attempt: 1,
    at: '2026-01-01T00:00:00.000Z',
  },
  { seq: 2, type: 'step.start', step: 0, model: 'm' },
  { seq: 3, type: 'plan.update', plan: 'first this', updated: false },
  { seq: 4, type: 'reasoning.start', item_id: 'r' },
  { seq: 5, type: 'reasoning.delta', item_id: 'r', delta: 'I ' },
  { seq: 6, type: 'reasoning.delta', item_id: 'r', delta: 'think' },
  { seq: 7, type: 'reasoning.end', item_id: 'r' },
  { seq: 8, type: 'tool.start', item_id: 't', call_id: 'call_1', name: 'add' },
  { seq: 9, type: 'tool.input', item_id: 't', delta: '{"a":1}' },
  { seq: 10, type: 'tool.call', item_id: 't', call_id: 'call_1', name: 'add', arguments: { a: 1 } },
  { seq: 11, type: 'tool.end', call_id: 'call_1', item_id: 'o', output: '{"sum":3}', duration_ms: 1 },
  {
    seq: 12,
    type: 'tool.end',
    call_id: 'call_1',
    item_id: 'p',
    output: 'x',
    error: { code: 'tool_failed', message: 'It broke.' },
    duration_ms: 1,
  },
  { seq: 13, type: 'warning', code: 'w', message: 'careful' },
  { seq: 14, type: 'text.start', item_id: 'x' },
  { seq: 15, type: 'text.delta', item_id: 'x', delta: '4' },
  { seq: 16, type: 'text.delta', item_id: 'x', delta: '2' },
  { seq: 17, type: 'text.end', item_id: 'x' },
  {
    seq: 18,
    type: 'run.end',
    status: 'completed',
    stop_reason: 'final',
    output: ['x'],
    usage,
    steps: 1,
    error: null,
  },
]

function typed(options: { after?: number; ids?: boolean } = {}) {
  return createTypedFrameEncoder({
    prompt: 'hi',
    session: 's',
    runId: 'run_1',
    after: 0,
    ids: false,
    now: () => 0,
    ...options,
  })
}

const timestamp = '1970-01-01T00:00:00.000Z'
const frames = [
  { type: 'run_start', data: { prompt: 'hi', model: 'm', session_id: 's', run_id: 'run_1' }, timestamp },
  { type: 'step_start', data: { step_index: 0 }, timestamp },
  { type: 'planning', data: { plan: 'first this', updated_plan: false }, timestamp },
  { type: 'reasoning', data: { reasoning: 'I think' }, timestamp },
  { type: 'tool_call', data: { tool_name: 'add', tool_arguments: { a: 1 } }, timestamp },
  { type: 'tool_result', data: { tool_name: 'add', tool_result: { sum: 3 } }, timestamp },
  { type: 'tool_result', data: { tool_name: 'add', tool_result: { error: 'It broke.' } }, timestamp },
  { type: 'warning', data: { message: 'careful' }, timestamp },
  { type: 'run_end', data: { answer: '42' }, timestamp },
]

test('typed frames are data alone, whole, in order, with the answer in the last', () => {
  const wire = encodeAll(typed(), wholeRun)
  // A brief's sample client takes every line that is not empty for data.
  const lines = wire.split('\n').filter((line) => line !== '')
  expect(lines.map((line) => JSON.parse(line.replace(/^data: /, '')))).toEqual(frames)
})

test('a typed stream goes on after any id as if it had never stopped', () => {
  const all = parse(encodeAll(typed({ ids: true }), wholeRun))
  expect(all.map(({ id }) => id)).toEqual([1, 2, 3, 7, 10, 11, 12, 13, 18].map((seq) => `run_1:${seq}`))
  for (const [i, { id }] of all.entries()) {
    const after = Number(id!.split(':')[1])
    expect(parse(encodeAll(typed({ ids: true, after }), wholeRun))).toEqual(all.slice(i + 1))
  }
})

test('a second attempt does not start the run again', () => {
  const start = wholeRun[0] as Extract<RunEvent, { type: 'run.start' }>
  expect(typed().push({ ...start, attempt: 2, seq: 1 + 2 ** 20 })).toBe('')
})

test('a typed stream says how it ended otherwise', () => {
  const last = (event: RunEvent) => JSON.parse(parse(typed().push(event))[0]!.data)
  expect(last(failed)).toMatchObject({ type: 'error', data: { error: 'line 1\nevent: done' } })
  expect(last(cancelled)).toMatchObject({ type: 'error', data: { error: 'The run was cancelled.' } })
  expect(last(suspended)).toMatchObject({
    type: 'run_end',
    data: { answer: null, status: 'suspended', approvals: [{ id: 'appr_1' }] },
  })
})
