import { describe, expect, test } from 'vitest'
import { tool } from '../../src/agent/tool.ts'
import { AppError, type ErrorCode } from '../../src/errors.ts'
import { anonymous } from '../../src/identity/principal.ts'
import type { Model, ModelPart, ModelReply, ModelStreamOptions } from '../../src/models/model.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { createFakeClock, type FakeClock } from '../../src/testing/fake-clock.ts'
import { deferred } from './deferred.ts'
import { advanceUntil, eventsOfType, startEngine, transcript } from './engine-under-test.ts'

/** A scripted model that notes when it was asked, in milliseconds of the clock. */
function timedModel(clock: FakeClock, replies: readonly ScriptedReply[]) {
  const askedAt: number[] = []
  const model = scriptedModel((_request, index) => {
    askedAt.push(clock.monotonic())
    const reply = replies[index]
    if (reply === undefined) throw new Error('asked too often')
    return reply
  })
  return { model, waits: () => askedAt.slice(1).map((at, i) => at - (askedAt[i] ?? 0)) }
}

const failure = (code: ErrorCode, rest: { after?: number; retryAfterMs?: number } = {}): ScriptedReply => ({
  text: 'One two three',
  error: { code, after: 0, ...rest },
})

describe('before the first token', () => {
  test('what may pass is tried again, and readers see nothing of it', async () => {
    const clock = createFakeClock()
    const { model, waits } = timedModel(clock, [
      failure('model_unavailable'),
      failure('model_rate_limited'),
      'Here.',
    ])
    const engine = await startEngine({ model, clock })
    const { run, types, text } = await advanceUntil(clock, engine.finish(), 50)
    expect(run.status).toBe('completed')
    expect(text).toBe('Here.')
    expect(types).toEqual([
      'run.start',
      'step.start',
      'text.start',
      'text.delta',
      'text.end',
      'step.end',
      'run.end',
    ])
    const [first = 0, second = 0] = waits()
    expect(first).toBeGreaterThanOrEqual(250)
    expect(first).toBeLessThanOrEqual(500)
    expect(second).toBeGreaterThanOrEqual(500)
    expect(second).toBeLessThanOrEqual(1_000)
    expect(engine.commits).toHaveLength(1)
  })

  test('the wait a provider asks for is kept to the millisecond, up to a minute', async () => {
    const clock = createFakeClock()
    const { model, waits } = timedModel(clock, [
      failure('model_rate_limited', { retryAfterMs: 60_000 }),
      'ok',
    ])
    const engine = await startEngine({ model, clock })
    const { run } = await advanceUntil(clock, engine.finish(), 5_000)
    expect(run.status).toBe('completed')
    expect(waits()).toEqual([60_000])
  })

  test('a longer wait fails the run at once', async () => {
    const clock = createFakeClock()
    const { model } = timedModel(clock, [failure('model_rate_limited', { retryAfterMs: 60_001 })])
    const engine = await startEngine({ model, clock })
    const { run } = await engine.finish()
    expect(run).toMatchObject({
      status: 'failed',
      stop_reason: 'error',
      error: { code: 'model_rate_limited' },
    })
    expect(model.calls).toHaveLength(1)
  })

  test('tries run out, and waits grow to at most eight seconds', async () => {
    const clock = createFakeClock()
    const { model, waits } = timedModel(clock, Array<ScriptedReply>(8).fill(failure('model_timeout')))
    const engine = await startEngine({ model, clock, agent: { modelTries: 8 } })
    const { run, types } = await advanceUntil(clock, engine.finish(), 500)
    expect(run).toMatchObject({ status: 'failed', error: { code: 'model_timeout' } })
    expect(types).toEqual(['run.start', 'step.start', 'run.end'])
    expect(waits()).toHaveLength(7)
    for (const [i, ms] of waits().entries()) {
      const ceiling = Math.min(500 * 2 ** i, 8_000)
      expect(ms).toBeGreaterThanOrEqual(ceiling / 2)
      expect(ms).toBeLessThanOrEqual(ceiling)
    }
  })

  test('a cancel ends the wait', async () => {
    const clock = createFakeClock()
    const asked = deferred()
    const model = scriptedModel(() => {
      asked.resolve()
      return failure('model_unavailable', { retryAfterMs: 30_000 })
    })
    const engine = await startEngine({ model, clock })
    const run = await engine.start()
    await asked.promise
    await clock.advance(1_000)
    const cancelled = await engine.runs.cancel(anonymous, run.id, 'enough')
    expect(cancelled).toMatchObject({ ended: true, run: { status: 'cancelled', output: [] } })
    expect(model.calls).toHaveLength(1)
  })
})

describe('after the first token', () => {
  test('a new try is explicit, what was streamed is void: replayed, never output, never history', async () => {
    const clock = createFakeClock()
    const { model } = timedModel(clock, [
      failure('model_unavailable', { after: 2 }),
      'Whole answer.',
      'Second turn.',
    ])
    const engine = await startEngine({ model, clock })
    const first = await advanceUntil(clock, engine.finish({ conversation: { session: 's' } }))
    expect(first.text).toBe('Whole answer.')
    expect(first.types).toEqual([
      'run.start',
      'step.start',
      'text.start',
      'text.delta',
      'text.delta',
      'text.end',
      'warning',
      'step.retry',
      'step.start',
      'text.start',
      'text.delta',
      'text.delta',
      'text.end',
      'step.end',
      'run.end',
    ])
    expect(eventsOfType(first.events, 'step.retry')).toMatchObject([{ step: 0, reason: 'model_unavailable' }])
    expect(eventsOfType(first.events, 'text.end').map(({ partial }) => partial)).toEqual([true, undefined])
    expect(await engine.events(first.run)).toEqual(first.events)
    const seqs = first.events.map((event) => ('seq' in event ? event.seq : 0))
    expect(seqs).toEqual(seqs.map((_, i) => i + 1))
    const items = await engine.items(first.run)
    expect(items.map((placed) => placed.void)).toEqual([false, true, false])
    await engine.finish({ conversation: { session: 's' } })
    expect(transcript(model.calls[2])).toEqual(['user: hello', 'assistant: Whole answer.', 'user: hello'])
  })

  test('a void text of the same step is no part of what a run ends with', async () => {
    const clock = createFakeClock()
    const { model } = timedModel(clock, [
      { text: 'Void words', error: { code: 'model_unavailable', after: 2 } },
      { text: 'Ask the caller.', toolCalls: [{ name: 'theirs', arguments: {} }] },
    ])
    const engine = await startEngine({ model, clock })
    const options = {
      tools: [{ name: 'theirs', description: '', parameters: {} }],
      on_caller_tool: 'end' as const,
    }
    const { run, text } = await advanceUntil(clock, engine.finish({ options }))
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'client_tools' })
    expect(text).toBe('Ask the caller.')
  })

  test('calls that were streamed by a void try never run', async () => {
    let ran = 0
    const clock = createFakeClock()
    const { model } = timedModel(clock, [
      { toolCalls: [{ name: 'it', arguments: {} }], error: { code: 'model_unavailable' } },
      'No tool after all.',
    ])
    const it = tool({ name: 'it', description: 'Runs.', execute: () => ran++ })
    const engine = await startEngine({ model, clock, agent: { tools: [it] } })
    const { run, text } = await advanceUntil(clock, engine.finish())
    expect(text).toBe('No tool after all.')
    expect(ran).toBe(0)
    expect(await engine.store.ledger.ofRun(run.id)).toEqual([])
  })

  test('when tries run out, the last partial text stays: as partial item and as output', async () => {
    const clock = createFakeClock()
    const { model } = timedModel(
      clock,
      Array<ScriptedReply>(4).fill(failure('model_unavailable', { after: 2 })),
    )
    const engine = await startEngine({ model, clock })
    const { run, text, events } = await advanceUntil(clock, engine.finish({ conversation: { session: 's' } }))
    expect(run).toMatchObject({
      status: 'failed',
      stop_reason: 'error',
      error: { code: 'model_unavailable' },
    })
    expect(text).toBe('One two')
    const items = await engine.items(run)
    expect(items.map((placed) => [placed.void, 'partial' in placed.item && placed.item.partial])).toEqual([
      [false, false],
      [true, true],
      [true, true],
      [false, true],
    ])
    expect(run.output).toEqual([items[3]?.item.id])
    expect(eventsOfType(events, 'step.retry')).toHaveLength(2)
    expect(await engine.events(run)).toEqual(events)
  })

  test('a partial call of a failed run is not sent to the model later', async () => {
    const model = scriptedModel([
      {
        text: 'Wait.',
        toolCalls: [{ name: 'it', arguments: '{"a":1}', chunks: 3 }],
        error: { code: 'model_refused', after: 3 },
      },
      'Second.',
    ])
    const engine = await startEngine({ model })
    const { events } = await engine.finish({ conversation: { session: 's' } })
    expect(eventsOfType(events, 'tool.call')).toMatchObject([{ partial: true }])
    await engine.finish({ conversation: { session: 's' } })
    expect(transcript(model.calls[1])).toEqual(['user: hello', 'assistant: Wait.', 'user: hello'])
  })
})

describe('what will not pass', () => {
  test.each<ErrorCode>([
    'model_auth_failed',
    'model_refused',
    'context_length_exceeded',
    'model_not_configured',
  ])('%s fails the run at once, coded and without the cause', async (code) => {
    const model = scriptedModel([failure(code)])
    const engine = await startEngine({ model })
    const { run, events } = await engine.finish()
    expect(run).toMatchObject({ status: 'failed', stop_reason: 'error', error: { code } })
    expect(JSON.stringify(events)).not.toContain('scripted failure')
    expect(model.calls).toHaveLength(1)
  })

  test('content_filter fails the run and says so', async () => {
    const engine = await startEngine({ model: scriptedModel([failure('content_filter')]) })
    const { run } = await engine.finish()
    expect(run).toMatchObject({
      status: 'failed',
      stop_reason: 'content_filter',
      error: { code: 'content_filter' },
    })
  })

  test('a bug of the model is internal, and the next run is none the worse', async () => {
    const model = scriptedModel([{ text: 'Partial', error: { throw: new TypeError('deep secret') } }, 'ok'])
    const engine = await startEngine({ model })
    const { run, text } = await engine.finish({ conversation: { session: 's' } })
    expect(run.error).toEqual({ code: 'internal', message: 'Something went wrong on our side.' })
    expect(text).toBe('Partial')
    expect((await engine.finish({ conversation: { session: 's' } })).text).toBe('ok')
  })
})

describe('a model that breaks its contract', () => {
  const modelOf = (stream: (options: ModelStreamOptions) => Promise<ModelReply>): Model => ({
    provider: 'odd',
    id: 'odd/model',
    stream: (_request, options) => stream(options),
  })
  const text = (delta: string): ModelPart => ({ type: 'text', delta })
  const reply: ModelReply = { finishReason: 'stop', usage: null }

  test('and never obeys its signal cannot hold a cancelled run', async () => {
    const asked = deferred()
    const model = modelOf(({ emit }) => {
      emit(text('So far'))
      asked.resolve()
      return new Promise(() => {})
    })
    const engine = await startEngine({ model })
    const run = await engine.start()
    await asked.promise
    const { run: ended } = await engine.runs.cancel(anonymous, run.id, 'enough')
    expect(ended.status).toBe('cancelled')
    expect(await engine.text(ended)).toBe('So far')
  })

  test('and emits after its end changes nothing: not the events, not the items, not the next step', async () => {
    let late = (_part: ModelPart) => {}
    let asked = 0
    const model = modelOf(async ({ emit }) => {
      late(text('LATE'))
      late = emit
      emit(text(`answer ${++asked}`))
      if (asked === 1) {
        emit({ type: 'tool_call', index: 0, name: 'it' })
        setImmediate(() => {
          emit(text('LATE'))
          emit({ type: 'tool_input', index: 0, delta: 'LATE' })
        })
      }
      return reply
    })
    const it = tool({ name: 'it', description: 'Emits late.', execute: () => late(text('LATE')) })
    const engine = await startEngine({ model, agent: { tools: [it] } })
    const { run, events, text: answer } = await engine.finish()
    expect(run.status).toBe('completed')
    expect(answer).toBe('answer 2')
    expect(JSON.stringify(events)).not.toContain('LATE')
    expect(await engine.events(run)).toEqual(events)
  })

  test('and emits after its failure does not reach the next try', async () => {
    const clock = createFakeClock()
    let late: ((part: ModelPart) => void) | undefined
    const model = modelOf(async ({ emit }) => {
      if (late) {
        late(text('LATE'))
        emit(text('fine'))
        return reply
      }
      late = emit
      emit(text('first'))
      throw new AppError('model_unavailable')
    })
    const engine = await startEngine({ model, clock })
    const { run, events, text: answer } = await advanceUntil(clock, engine.finish())
    expect(answer).toBe('fine')
    expect(JSON.stringify(events)).not.toContain('LATE')
    expect(await engine.events(run)).toEqual(events)
  })

  test('and throws instead of rejecting is a bug like any other', async () => {
    const model = modelOf(() => {
      throw new Error('not even a promise')
    })
    const engine = await startEngine({ model })
    expect((await engine.finish()).run.error?.code).toBe('internal')
  })
})
