import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import type { AgentOptions } from '../../src/agent/agent-options.ts'
import type { Hooks } from '../../src/agent/hooks.ts'
import { tool } from '../../src/agent/tool.ts'
import type { ErrorCode } from '../../src/errors.ts'
import { anonymous } from '../../src/identity/principal.ts'
import type { Item } from '../../src/items.ts'

import { scriptedModel, type ScriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import { deferred } from './deferred.ts'
import { advanceUntil, eventsOfType, startEngine, transcript } from './engine-under-test.ts'

const look = tool({
  name: 'look',
  description: 'Looks something up.',
  effect: 'read',
  input: z.object({ what: z.string() }),
  execute: ({ what }) => `all about ${what}`,
})
const callLook = (what: string): ScriptedReply => ({ toolCalls: [{ name: 'look', arguments: { what } }] })
const failure = (code: ErrorCode): ScriptedReply => ({ text: 'x', error: { code, after: 0 } })

const planner = (replies: readonly ScriptedReply[]) => scriptedModel(replies, { id: 'scripted/planner' })

/** An agent whose plans are written by a model of their own. */
async function plan(input: {
  plans: ScriptedModel
  replies: readonly ScriptedReply[]
  every?: number
  agent?: Partial<AgentOptions>
  engine?: Partial<Parameters<typeof startEngine>[0]>
}) {
  const model = scriptedModel(input.replies)
  const planning = { every: input.every ?? 2, model: input.plans }
  const engine = await startEngine({
    model,
    ...input.engine,
    agent: { tools: [look], planning, ...input.agent },
  })
  return { engine, model }
}

describe('a plan', () => {
  test('is written before steps 0, N and 2N, and only the newest stays in context', async () => {
    const plans = planner(['Plan A', 'Plan B', 'Plan C'])
    const { engine, model } = await plan({
      plans,
      replies: ['a', 'b', 'c', 'd'].map(callLook).concat('Done.'),
    })
    const { run, events, types } = await engine.finish('find out')
    expect(eventsOfType(events, 'plan.update').map(({ plan: text, updated }) => [text, updated])).toEqual([
      ['Plan A', false],
      ['Plan B', true],
      ['Plan C', true],
    ])
    expect(types.filter((type) => type === 'step.start' || type === 'plan.update').join(' ')).toBe(
      'plan.update step.start step.start plan.update step.start step.start plan.update step.start',
    )
    expect(run.plan).toBe('Plan C')
    const told = model.calls.map((request) => transcript(request).filter((line) => line.includes('plan')))
    expect(told).toEqual(
      ['A', 'A', 'B', 'B', 'C'].map((name) => [`user: The plan, as it stands:\nPlan ${name}`]),
    )
    expect(transcript(model.calls[4])).toEqual([
      'user: find out',
      ...['a', 'b', 'c', 'd'].flatMap((what) => [`call look {"what":"${what}"}`, `result all about ${what}`]),
      'user: The plan, as it stands:\nPlan C',
    ])
  })

  test('is asked for with the task, the agent’s instructions and its tools, the plan before, and calls told in words', async () => {
    const plans = planner(['Plan A', 'Plan B'])
    const { engine } = await plan({
      plans,
      replies: [callLook('a'), 'Done.'],
      every: 1,
      agent: { instructions: 'You serve a library.' },
    })
    await engine.finish({ input: 'find out', options: { instructions: 'Be brief.' } })
    const [, second] = plans.calls
    expect(second?.instructions).toContain('Write a short plan')
    expect(second?.instructions).toContain('You serve a library.\n\nBe brief.')
    expect(second?.instructions).toContain('- look: Looks something up.')
    expect(second).toMatchObject({ tools: [], settings: {} })
    expect(transcript(second)).toEqual([
      'user: find out',
      'user: The plan, as it stands:\nPlan A',
      'assistant: [calls look: {"what":"a"}]',
      'user: [look answered: all about a]',
      'user: Write the plan now.',
    ])
  })

  test('is written by the agent’s own model with instructions of the author, where there is no other', async () => {
    const model = scriptedModel(['1. Answer.', 'Answer.'])
    const engine = await startEngine({
      model,
      agent: { planning: { every: 3, instructions: 'Think twice.' } },
    })
    const { text, run } = await engine.finish()
    expect(model.calls[0]?.instructions).toBe('Think twice.')
    expect(text).toBe('Answer.')
    expect(run.plan).toBe('1. Answer.')
  })

  test('is counted: its tokens and its cost, in the run and at its end', async () => {
    const usage = { input_tokens: 1000, output_tokens: 500, total_tokens: 1500 }
    const { engine } = await plan({
      plans: planner([{ text: 'Plan', usage }]),
      replies: [{ text: 'Done.', usage }],
      engine: { prices: { 'scripted/planner': { input: 1000, output: 2000 } } },
    })
    const { run, events } = await engine.finish()
    expect(run.usage.total_tokens).toBe(3000)
    expect(run.spent?.cost).toBe(2)
    expect(events.at(-1)).toMatchObject({ type: 'run.end', cost: 2, usage: run.usage })
  })

  test('of an earlier run is neither sent nor replaced: each run makes its own', async () => {
    const plans = planner(['Plan A', 'Plan B'])
    const { engine, model } = await plan({ plans, replies: ['One.', 'Two.'] })
    await engine.finish({ input: 'one', conversation: { session: 's' } })
    const { events } = await engine.finish({ input: 'two', conversation: { session: 's' } })
    expect(eventsOfType(events, 'plan.update')).toMatchObject([{ plan: 'Plan B', updated: false }])
    expect(transcript(model.calls[1])).toEqual([
      'user: one',
      'assistant: One.',
      'user: two',
      'user: The plan, as it stands:\nPlan B',
    ])
    expect(transcript(plans.calls[1])).toEqual([
      'user: one',
      'assistant: One.',
      'user: two',
      'user: Write the plan now.',
    ])
  })

  test('is in the answer of /chat, in its frames, and in the run of the native API', async () => {
    const replies = ['Plan A', callLook('a'), 'Plan B', 'Done.', 'Plan C', 'Done.']
    const server = await createTestServer({
      agents: [
        agent({ name: 'assistant', model: scriptedModel(replies), tools: [look], planning: { every: 1 } }),
      ],
    })
    const response = await server.request('/chat', { body: { message: 'hi' } })
    const body = (await response.json()) as { plan: string; run_id: string }
    expect(body).toMatchObject({ plan: 'Plan B', answer: 'Done.', steps: 2 })
    const run = await server.request(`/v1/runs/${body.run_id}`)
    expect(await run.json()).toMatchObject({ plan: 'Plan B' })
    const frames = await (await server.request('/stream?message=again')).text()
    expect(frames).toContain('"type":"planning","data":{"plan":"Plan C","updated_plan":false}')
    await server.close()
  })

  test('that is empty is left out with a warning, and the one before stays', async () => {
    const plans = planner(['Plan A', ' \n '])
    const { engine, model } = await plan({ plans, replies: [callLook('a'), 'Done.'], every: 1 })
    const { run, events } = await engine.finish()
    expect(run).toMatchObject({ status: 'completed', plan: 'Plan A' })
    expect(eventsOfType(events, 'plan.update')).toHaveLength(1)
    expect(eventsOfType(events, 'warning')).toMatchObject([{ code: 'plan_empty' }])
    expect(transcript(model.calls[1])).toContain('user: The plan, as it stands:\nPlan A')
  })

  test('streams nothing: readers see it whole, and it is no part of the answer', async () => {
    const { engine } = await plan({
      plans: planner([{ text: 'Plan', reasoning: 'Hm.' }]),
      replies: ['Answer.'],
    })
    const { types, text } = await engine.finish()
    expect(text).toBe('Answer.')
    expect(types.slice(0, 3)).toEqual(['run.start', 'plan.update', 'step.start'])
    expect(types.filter((type) => type.startsWith('reasoning'))).toEqual([])
  })

  test('is replayed where it stood', async () => {
    const { engine } = await plan({ plans: planner(['Plan']), replies: ['Answer.'] })
    const { run, events } = await engine.finish()
    expect(await engine.events(run)).toEqual(events)
  })

  test('of a run without steps is not written', async () => {
    const plans = planner([])
    const { engine } = await plan({ plans, replies: ['Answer.'] })
    const { run } = await engine.finish({ options: { max_steps: 0 } })
    expect(run).toMatchObject({ status: 'completed', plan: null })
    expect(plans.calls).toEqual([])
  })
})

describe('a run that was suspended', () => {
  const ask = tool({ name: 'ask', description: 'Asks.', approval: 'required', execute: () => 'yes' })
  const callAsk: ScriptedReply = { toolCalls: [{ name: 'ask', arguments: {} }] }

  test('goes on with the plan it had, and plans again only when it is due', async () => {
    const plans = planner(['Plan A', 'Plan B'])
    const { engine, model } = await plan({
      plans,
      replies: [callAsk, callLook('a'), 'Done.'],
      agent: { tools: [ask, look] },
    })
    const { run } = await engine.finish()
    expect(run).toMatchObject({ status: 'suspended', plan: 'Plan A' })
    const [approval] = await engine.runs.pendingApprovals(run)
    await engine.approvals.decide(anonymous, approval?.id ?? '', { decision: 'approve' })
    const events = await engine.events(await engine.load(run), run.last_seq)
    expect(eventsOfType(events, 'plan.update')).toMatchObject([{ plan: 'Plan B', updated: true }])
    expect(plans.calls).toHaveLength(2)
    expect(transcript(model.calls[1])).toContain('user: The plan, as it stands:\nPlan A')
    expect(await engine.load(run)).toMatchObject({ status: 'completed', plan: 'Plan B' })
  })

  test('that another process takes up after the plan does not plan the same step again', async () => {
    const plans = planner(['Plan A'])
    const asked = deferred()
    const first = await plan({
      plans,
      replies: [{ text: 'never', gate: () => (asked.resolve(), new Promise(() => {})) }],
    })
    const run = await first.engine.start()
    await asked.promise
    await first.engine.stop()
    const again = planner([])
    const second = await plan({
      plans: again,
      replies: ['Done.'],
      engine: { dataDir: first.engine.dataDir },
    })
    const events = await second.engine.events(run)
    expect(eventsOfType(events, 'plan.update')).toHaveLength(1)
    expect(again.calls).toEqual([])
    expect(transcript(second.model.calls[0])).toEqual([
      'user: hello',
      'user: The plan, as it stands:\nPlan A',
    ])
    expect(await second.engine.load(run)).toMatchObject({ status: 'completed', plan: 'Plan A' })
  })

  test('that was given back while the plan was written plans in the next process', async () => {
    const asked = deferred()
    const hang = planner([{ gate: () => (asked.resolve(), new Promise(() => {})), text: 'never' }])
    const first = await plan({ plans: hang, replies: [] })
    const run = await first.engine.start()
    await asked.promise
    await first.engine.stop()
    expect(hang.aborted).toBe(1)
    const second = await plan({
      plans: planner(['Plan A']),
      replies: ['Done.'],
      engine: { dataDir: first.engine.dataDir },
    })
    const events = await second.engine.events(run)
    expect(eventsOfType(events, 'plan.update')).toMatchObject([{ plan: 'Plan A', updated: false }])
  })
})

describe('a planning model that fails', () => {
  test('is tried again as in a step, then the run fails with its code, and nothing was answered', async () => {
    const clock = createFakeClock()
    const plans = planner([
      failure('model_unavailable'),
      failure('model_rate_limited'),
      failure('model_unavailable'),
    ])
    const { engine, model } = await plan({ plans, replies: [], engine: { clock } })
    const began = clock.monotonic()
    const { run } = await advanceUntil(clock, engine.finish(), 50)
    expect(run).toMatchObject({ status: 'failed', steps: 0, error: { code: 'model_unavailable' } })
    expect(plans.calls).toHaveLength(3)
    expect(clock.monotonic() - began).toBeGreaterThanOrEqual(750)
    expect(model.calls).toEqual([])
  })

  test('is not asked again where that is no use, and its words reach nobody', async () => {
    const plans = planner([{ text: 'x', error: { throw: new Error('secret of the provider'), after: 0 } }])
    const { engine } = await plan({ plans, replies: [] })
    const { run, events } = await engine.finish()
    expect(run.error?.code).toBe('internal')
    expect(plans.calls).toHaveLength(1)
    expect(JSON.stringify([run, events])).not.toContain('secret')
  })

  test('is no failure where it answers in the end', async () => {
    const clock = createFakeClock()
    const { engine } = await plan({
      plans: planner([failure('model_timeout'), 'Plan']),
      replies: ['Done.'],
      engine: { clock },
    })
    const { run, events } = await advanceUntil(clock, engine.finish(), 50)
    expect(run).toMatchObject({ status: 'completed', plan: 'Plan' })
    expect(eventsOfType(events, 'step.retry')).toEqual([])
  })

  test('the agent’s next model writes the plan, at once; one that is no use is asked once', async () => {
    const first = scriptedModel([failure('model_auth_failed'), 'Answer.'], { id: 'scripted/first' })
    const second = scriptedModel(['Plan'], { id: 'scripted/second' })
    const one = agent({ name: 'assistant', model: [first, second], planning: { every: 1 } })
    const engine = await startEngine({ agents: [one] })
    const { run, text } = await engine.finish()
    expect(run.plan).toBe('Plan')
    expect(text).toBe('Answer.')

    const broken = [0, 1].map((i) => scriptedModel([failure('model_refused')], { id: `scripted/${i}` }))
    const other = agent({ name: 'assistant', model: broken, planning: { every: 1 } })
    const failing = await startEngine({ agents: [other] })
    expect((await failing.finish()).run.error?.code).toBe('model_refused')
    expect(broken.map(({ calls }) => calls.length)).toEqual([1, 1])
  })

  test('for which the conversation is too long is asked once more with half of the turns', async () => {
    const sent: number[] = []
    const plans = scriptedModel((request) => {
      const earlier = (request.items.length - 2) / 2
      sent.push(earlier)
      return earlier > 2 ? failure('context_length_exceeded') : 'Plan'
    })
    const { engine } = await plan({ plans, replies: Array.from({ length: 6 }, () => 'ok') })
    for (let i = 0; i < 4; i++) await engine.finish({ conversation: { session: 's' } })
    expect(sent).toEqual([0, 1, 2, 3, 1])
    expect((await engine.finish({ conversation: { session: 's' } })).run).toMatchObject({
      status: 'completed',
      plan: 'Plan',
    })
  })

  test('with a small window gets a history that fits it', async () => {
    const plans = scriptedModel(() => 'Plan', { id: 'scripted/small', contextWindow: 48 })
    const { engine } = await plan({ plans, replies: Array.from({ length: 6 }, (_, i) => `answer ${i}`) })
    for (let i = 0; i < 6; i++) {
      await engine.finish({ input: `question ${i}`, conversation: { session: 's' } })
    }
    expect(transcript(plans.calls[5])).toEqual([
      'user: question 3',
      'assistant: answer 3',
      'user: question 4',
      'assistant: answer 4',
      'user: question 5',
      'user: Write the plan now.',
    ])
  })

  test('that takes no pictures is told that there is one', async () => {
    const plans: ScriptedModel = { ...planner(['Plan']), accepts: [] }
    const { engine, model } = await plan({ plans, replies: ['A cat.'] })
    const picture: Item = {
      type: 'message',
      id: 'item_1',
      role: 'user',
      content: [
        { type: 'text', text: 'What is it? ' },
        { type: 'image', url: 'data:image/png;base64,AAAA' },
      ],
    }
    const { run } = await engine.finish({ input: [picture] })
    expect(run).toMatchObject({ status: 'completed', plan: 'Plan' })
    expect(transcript(plans.calls[0])[0]).toBe('user: What is it? [image: not shown to this model]')
    expect(transcript(model.calls[0])[0]).toBe('user: What is it? image')
  })
})

describe('while the plan is written', () => {
  const hanging = () => {
    const asked = deferred()
    const plans = planner([{ text: 'x', gate: () => (asked.resolve(), new Promise(() => {})) }])
    return { plans, asked: asked.promise }
  }

  test('a cancel ends the run and the call', async () => {
    const { plans, asked } = hanging()
    const { engine } = await plan({ plans, replies: [] })
    const run = await engine.start()
    await asked
    await engine.runs.cancel(anonymous, run.id, 'enough')
    expect(await engine.load(run)).toMatchObject({ status: 'cancelled', plan: null, steps: 0 })
    expect(plans.aborted).toBe(1)
  })

  test('a cancel ends the wait between two tries', async () => {
    const clock = createFakeClock()
    const failed = deferred()
    const plans = planner([
      { text: 'x', gate: () => failed.resolve(), error: { code: 'model_unavailable', after: 1 } },
    ])
    const { engine } = await plan({ plans, replies: [], engine: { clock } })
    const run = await engine.start()
    await failed.promise
    await engine.runs.cancel(anonymous, run.id, 'enough')
    expect(await engine.load(run)).toMatchObject({ status: 'cancelled' })
    expect(plans.calls).toHaveLength(1)
  })

  test('the time of the run can end', async () => {
    const clock = createFakeClock()
    const { plans, asked } = hanging()
    const { engine } = await plan({ plans, replies: [], engine: { clock, runTimeoutMs: 5_000 } })
    const run = await engine.start()
    await asked
    await advanceUntil(clock, engine.settled(run), 1_000)
    expect(await engine.load(run)).toMatchObject({ status: 'failed', error: { code: 'run_timeout' } })
  })
})

describe('the hooks of the agent', () => {
  const shout: Hooks = {
    filterText: () => ({ push: (delta) => delta.toUpperCase(), end: () => '' }),
  }
  async function withHooks(hooks: Hooks) {
    const plans = planner(['do it'])
    const { engine, model } = await plan({ plans, replies: ['done'], agent: { hooks } })
    return { plans, model, ...(await engine.finish('the secret')) }
  }

  test('change what the planning model reads and what it wrote', async () => {
    const hide: Hooks = {
      beforeModel: (request) => ({
        ...request,
        items: request.items.map((item) =>
          item.type === 'message'
            ? { ...item, content: [{ type: 'text' as const, text: '[hidden]' }] }
            : item,
        ),
      }),
    }
    const { plans, run, events } = await withHooks({ ...hide, ...shout })
    expect(JSON.stringify(plans.calls)).not.toContain('secret')
    expect(run.plan).toBe('DO IT')
    expect(eventsOfType(events, 'plan.update')).toMatchObject([{ plan: 'DO IT' }])
  })

  test.each<[string, Hooks]>([
    ['before', { beforeModel: () => ({ refuse: { code: 'content_filter', message: 'Not this.' } }) }],
    ['after', { afterModel: () => ({ refuse: { code: 'content_filter', message: 'Not this.' } }) }],
    [
      'during',
      {
        filterText: (_kind, context) => ({
          push: () => (context.refuse('Not this.'), 'leak'),
          end: () => 'leak',
        }),
      },
    ],
    [
      'at the end of',
      {
        filterText: (_kind, context) => ({
          push: () => '',
          end: () => (context.refuse('Not this.'), 'leak'),
        }),
      },
    ],
  ])('that refuse %s the reply end the run as a refused step does', async (_when, hooks) => {
    const { run, events, model } = await withHooks(hooks)
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'content_filter', plan: null })
    expect(run.warnings.at(-1)).toEqual({ code: 'content_filter', message: 'Not this.' })
    expect(JSON.stringify(events)).not.toContain('leak')
    expect(model.calls).toEqual([])
  })

  test('that throw fail the run, and no other model is asked', async () => {
    const models = ['one', 'two'].map((id) => scriptedModel(['Plan'], { id }))
    const hooks: Hooks = {
      filterText: () => ({
        push: () => {
          throw new Error('secret')
        },
        end: () => '',
      }),
    }
    const one = agent({ name: 'assistant', model: models, planning: { every: 1 }, hooks })
    const { run } = await (await startEngine({ agents: [one] })).finish()
    expect(run).toMatchObject({ status: 'failed', error: { code: 'internal' } })
    expect(models.map(({ calls }) => calls.length)).toEqual([1, 0])
  })
})
