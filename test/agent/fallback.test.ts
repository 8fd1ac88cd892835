import { describe, expect, test } from 'vitest'
import type { AgentOptions } from '../../src/agent/agent-options.ts'
import { agent } from '../../src/agent/agent.ts'
import { template } from '../../src/agent/instructions.ts'
import { tool } from '../../src/agent/tool.ts'
import type { ErrorCode } from '../../src/errors.ts'
import { createId } from '../../src/ids.ts'
import type { Model, ModelPrice } from '../../src/models/model.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { createFakeClock, type FakeClock } from '../../src/testing/fake-clock.ts'
import { advanceUntil, eventsOfType, startEngine, transcript } from './engine-under-test.ts'

const failing = (code: ErrorCode, after = 0): ScriptedReply => ({ text: 'One two', error: { code, after } })
const usage = { input_tokens: 1000, output_tokens: 1000, total_tokens: 2000 }

/** An agent with models `test/a`, `test/b`…, each with its replies. */
async function serving(
  input: {
    replies: readonly (readonly ScriptedReply[])[]
    agent?: Partial<AgentOptions>
    prices?: Record<string, ModelPrice>
    accepts?: Record<string, Model['accepts']>
  },
  clock?: FakeClock,
) {
  const asked: string[] = []
  const models = input.replies.map((replies, i) => {
    const id = `test/${'abc'[i]}`
    const scripted = scriptedModel(
      (_request, index) => {
        asked.push(id)
        return replies[index] ?? 'nothing more'
      },
      { id },
    )
    const accepts = input.accepts?.[id]
    return { ...scripted, ...(accepts && { accepts }) }
  })
  const made = agent({ name: 'assistant', model: models, ...input.agent })
  const engine = await startEngine({
    agents: [made],
    ...(clock && { clock }),
    ...(input.prices && { prices: input.prices }),
  })
  return { engine, asked, models }
}

describe('before the first token', () => {
  test('the next model is asked at once, and the log says so', async () => {
    const { engine, asked } = await serving({ replies: [[failing('model_unavailable')], ['From b.']] })
    const { run, text, events, types } = await engine.finish()
    expect(run).toMatchObject({ status: 'completed', steps: 1 })
    expect(text).toBe('From b.')
    expect(asked).toEqual(['test/a', 'test/b'])
    expect(types.join(' ')).toBe(
      'run.start step.start step.retry warning step.start text.start text.delta text.delta text.end step.end run.end',
    )
    expect(eventsOfType(events, 'step.start').map(({ step, model }) => [step, model])).toEqual([
      [0, 'test/a'],
      [0, 'test/b'],
    ])
    expect(eventsOfType(events, 'step.retry')).toMatchObject([{ step: 0, reason: 'model_unavailable' }])
    expect(eventsOfType(events, 'warning')).toMatchObject([
      { code: 'model_fallback', message: 'test/a failed (model_unavailable); test/b is asked instead.' },
    ])
    expect(await engine.events(run)).toEqual(events)
  })

  test.each<ErrorCode>([
    'model_unavailable',
    'model_rate_limited',
    'model_timeout',
    'model_bad_response',
    'model_auth_failed',
    'model_refused',
    'model_not_configured',
    'context_length_exceeded',
  ])('%s: another model may do better', async (code) => {
    const { engine, asked } = await serving({ replies: [[failing(code)], ['ok']] })
    const { run } = await engine.finish()
    expect(run.status).toBe('completed')
    expect(asked).toEqual(['test/a', 'test/b'])
  })

  test('a bug in a model: another may have none', async () => {
    const bug: ScriptedReply = { text: 'x', error: { throw: new TypeError('deep secret'), after: 0 } }
    const { engine } = await serving({ replies: [[bug], ['ok']] })
    const { run, events } = await engine.finish()
    expect(run.status).toBe('completed')
    expect(JSON.stringify(events)).not.toContain('secret')
  })

  test('content_filter: nobody looks for a model that lets it pass', async () => {
    const { engine, asked } = await serving({ replies: [[failing('content_filter')], ['ok']] })
    const { run } = await engine.finish()
    expect(run).toMatchObject({ status: 'failed', stop_reason: 'content_filter' })
    expect(asked).toEqual(['test/a'])
  })

  test('what the author’s own code throws is no fault of a model', async () => {
    const hooks = {
      beforeModel: () => {
        throw new Error('bug')
      },
    }
    const { engine, asked } = await serving({ replies: [['a'], ['b']], agent: { hooks } })
    const { run } = await engine.finish()
    expect(run).toMatchObject({ status: 'failed', error: { code: 'internal' } })
    expect(asked).toEqual([])
  })

  test('what the caller left out is no fault of a model', async () => {
    const asked: string[] = []
    const model = (id: string) => scriptedModel(() => (asked.push(id), id), { id })
    const specialist = agent({
      name: 'specialist',
      model: [model('test/a'), model('test/b')],
      instructions: template('For {{customer}}.'),
    })
    const desk = agent({
      name: 'assistant',
      model: model('test/desk'),
      specialists: [{ agent: specialist, keywords: ['hello'] }],
    })
    const engine = await startEngine({ agents: [desk] })
    const { run } = await engine.finish()
    expect(run).toMatchObject({ status: 'failed', error: { code: 'run_context_missing' } })
    expect(asked).toEqual([])
  })
})

describe('after the first token', () => {
  test('what was streamed is void, and the next model begins anew', async () => {
    const { engine, models } = await serving({
      replies: [[failing('model_unavailable', 2)], ['Whole answer.', 'Second.']],
    })
    const { run, text, events } = await engine.finish({ conversation: { session: 's' } })
    expect(text).toBe('Whole answer.')
    expect(eventsOfType(events, 'text.end').map(({ partial }) => partial)).toEqual([true, undefined])
    expect((await engine.items(run)).map((placed) => placed.void)).toEqual([false, true, false])
    expect(transcript(models[1]?.calls[0])).toEqual(['user: hello'])
  })
})

describe('which model is asked', () => {
  const again = tool({ name: 'again', description: 'Goes on.', effect: 'read', execute: () => 'go on' })
  const callAgain: ScriptedReply = { toolCalls: [{ name: 'again', arguments: {} }] }

  test('the run stays with the one that answered; the next run begins with the first', async () => {
    const { engine, asked } = await serving({
      replies: [
        [failing('model_unavailable'), 'Back again.'],
        [callAgain, callAgain, 'Done.'],
      ],
      agent: { tools: [again] },
    })
    const { run } = await engine.finish()
    expect(run).toMatchObject({ status: 'completed', steps: 3 })
    expect(asked).toEqual(['test/a', 'test/b', 'test/b', 'test/b'])
    expect((await engine.finish()).text).toBe('Back again.')
    expect(asked.at(-1)).toBe('test/a')
  })

  test('and comes back to the first when the other fails in a later step', async () => {
    const { engine, asked } = await serving({
      replies: [
        [failing('model_unavailable'), 'Done.'],
        [callAgain, failing('model_unavailable')],
      ],
      agent: { tools: [again] },
    })
    const { run } = await engine.finish()
    expect(run).toMatchObject({ status: 'completed', steps: 2 })
    expect(asked).toEqual(['test/a', 'test/b', 'test/b', 'test/a'])
  })

  test('each is tried so many times, in turns, with a wait only before one that failed already', async () => {
    const clock = createFakeClock()
    const down = Array<ScriptedReply>(9).fill(failing('model_unavailable'))
    const { engine, asked } = await serving({ replies: [down, down], agent: { modelTries: 2 } }, clock)
    const { run, events } = await advanceUntil(clock, engine.finish())
    expect(run).toMatchObject({ status: 'failed', error: { code: 'model_unavailable' } })
    expect(asked).toEqual(['test/a', 'test/b', 'test/a', 'test/b'])
    expect(eventsOfType(events, 'warning')).toHaveLength(3)
  })

  test('one that will not do is asked once, the others go on without it', async () => {
    const clock = createFakeClock()
    const { engine, asked } = await serving(
      {
        replies: [
          [failing('model_auth_failed')],
          [failing('model_rate_limited'), 'Here.'],
          [failing('model_refused')],
        ],
      },
      clock,
    )
    const { text } = await advanceUntil(clock, engine.finish())
    expect(text).toBe('Here.')
    expect(asked).toEqual(['test/a', 'test/b', 'test/c', 'test/b'])
  })

  test('one that cannot take the input does not stand in; the failure is the first one’s', async () => {
    const image = { type: 'image' as const, url: 'https://example.com/cat.png' }
    const input = [
      { type: 'message' as const, id: createId('item'), role: 'user' as const, content: [image] },
    ]
    const { engine, asked } = await serving({
      replies: [[failing('model_auth_failed'), failing('model_auth_failed')], ['b'], ['I see.']],
      accepts: { 'test/a': ['image'], 'test/b': [] },
    })
    expect((await engine.finish({ input })).text).toBe('I see.')
    expect(asked).toEqual(['test/a', 'test/c'])
    const pair = await serving({
      replies: [[failing('model_auth_failed')], ['b']],
      accepts: { 'test/a': ['image'], 'test/b': [] },
    })
    expect((await pair.engine.finish({ input })).run.error?.code).toBe('model_auth_failed')
  })
})

test('each step costs what its model costs', async () => {
  const again = tool({ name: 'again', description: 'Goes on.', effect: 'read', execute: () => 'go on' })
  const { engine } = await serving({
    replies: [
      [{ toolCalls: [{ name: 'again', arguments: {} }], usage }, failing('model_auth_failed')],
      [{ text: 'Done.', usage }],
    ],
    agent: { tools: [again] },
    prices: { 'test/a': { input: 1000, output: 2000 }, 'test/b': { input: 10, output: 20 } },
  })
  const { run, events } = await engine.finish()
  const costs = eventsOfType(events, 'step.end').map(({ cost }) => cost)
  expect(costs[0]).toBeCloseTo(3)
  expect(costs[1]).toBeCloseTo(0.03)
  expect(events.at(-1)).toMatchObject({ type: 'run.end', cost: expect.closeTo(3.03) as number })
  expect(run.usage.total_tokens).toBe(4000)
})

test('a list of which one cannot be had stops the start: it would be missing when it is needed', async () => {
  const agents = [agent({ name: 'assistant', model: [scriptedModel([]), 'nobody/knows-it'] })]
  await expect(startEngine({ agents })).rejects.toMatchObject({ code: 'model_not_configured' })
})
