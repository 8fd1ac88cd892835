import { describe, expect, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { AppError } from '../../src/errors.ts'
import type { Model } from '../../src/models/model.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { call, serving } from '../protocols/server-under-test.ts'
import { eventsOfType, startEngine } from './engine-under-test.ts'

const usage = { input_tokens: 1000, output_tokens: 100, total_tokens: 1100 }
const prices = { 'scripted/model': { input: 1, output: 10, cachedInput: 0.1 } }
/** 1000 in at 1, 100 out at 10, of a million each. */
const cost = 0.002
const look = tool({ name: 'look', description: 'Looks.', effect: 'read', execute: () => 'found' })
const callLook: ScriptedReply = { toolCalls: [{ name: 'look', arguments: {} }], usage }
const done: ScriptedReply = { text: 'Done.', usage }
const tools = { tools: [look] }
const twice = { input_tokens: 2000, output_tokens: 200, total_tokens: 2200 }

describe('usage and cost', () => {
  test('are said for each step and summed over the run', async () => {
    const engine = await startEngine({ model: scriptedModel([callLook, done]), prices, agent: tools })
    const { run, events } = await engine.finish()
    expect(eventsOfType(events, 'step.end')).toMatchObject([
      { usage, cost },
      { usage, cost },
    ])
    expect(events.at(-1)).toMatchObject({ type: 'run.end', usage: twice, cost: 2 * cost })
    expect(run).toMatchObject({ usage: twice, spent: { cost: 2 * cost, tool_calls: 1 } })
  })

  test('count cached input at its own price, and reasoning as output', async () => {
    const detailed = { ...usage, cached_input_tokens: 800, reasoning_tokens: 60 }
    const engine = await startEngine({ model: scriptedModel([{ text: 'x', usage: detailed }]), prices })
    const { run, events } = await engine.finish()
    expect(run.usage).toEqual(detailed)
    // 200 at 1, 800 at 0.1, 100 at 10.
    expect(events.at(-1)).toMatchObject({ cost: expect.closeTo(0.00128, 12) as number })
  })

  test('without a price there is no cost', async () => {
    const engine = await startEngine({ model: scriptedModel([{ text: 'x', usage }]) })
    const { run, events } = await engine.finish()
    expect(events.at(-1)).not.toHaveProperty('cost')
    expect(run).toMatchObject({ usage, spent: null, warnings: [] })
  })
})

describe('a run that does not go well', () => {
  test('failed: what was used until then', async () => {
    const failing: ScriptedReply = { text: 'x', error: { code: 'model_refused', after: 0 } }
    const engine = await startEngine({ model: scriptedModel([callLook, failing]), prices, agent: tools })
    const { run, events } = await engine.finish()
    expect(run).toMatchObject({ status: 'failed', usage, spent: { cost }, warnings: [] })
    expect(events.at(-1)).toMatchObject({ type: 'run.end', usage, cost, steps: 1 })
  })

  test('failed by a hook behind a reply: that reply was used', async () => {
    const hooks = {
      afterModel: () => {
        throw new Error('bug')
      },
    }
    const engine = await startEngine({ model: scriptedModel([done]), prices, agent: { hooks } })
    const { run, events } = await engine.finish()
    expect(run).toMatchObject({ status: 'failed', error: { code: 'internal' }, usage, spent: { cost } })
    expect(events.at(-1)).toMatchObject({ usage, cost })
  })

  test('refused by a hook: the reply was used', async () => {
    const hooks = { afterModel: () => ({ refuse: { code: 'content_filter' as const, message: 'No.' } }) }
    const engine = await startEngine({ model: scriptedModel([done]), prices, agent: { hooks } })
    const { run } = await engine.finish()
    expect(run).toMatchObject({ stop_reason: 'content_filter', usage, spent: { cost } })
  })

  test('tried again: what failed before it said anything counts nothing', async () => {
    const model = scriptedModel([{ text: 'x', error: { code: 'model_auth_failed', after: 0 } }], {
      id: 'scripted/a',
    })
    const other = scriptedModel([done])
    const agents = [agent({ name: 'assistant', model: [model, other] })]
    const engine = await startEngine({ agents, prices })
    const { run } = await engine.finish()
    expect(run).toMatchObject({ status: 'completed', usage, spent: { cost } })
    expect(run.warnings.map(({ code }) => code)).toEqual(['model_fallback'])
  })
})

describe('over HTTP', () => {
  test('a run has its usage and its cost, also in lists; POST /chat has its tokens', async () => {
    const model = scriptedModel(() => done)
    const server = await serving(model, { models: { 'scripted/model': { price: prices['scripted/model'] } } })
    const created = await call(server, '/v1/agents/assistant/runs', { input: 'hi' })
    expect(created.json).toMatchObject({ status: 'completed', usage, cost })
    expect((await call(server, `/v1/runs/${created.json.id}`)).json).toMatchObject({ usage, cost })
    expect((await call(server, '/v1/runs')).json.data[0]).toMatchObject({ usage, cost })
    expect((await call(server, '/chat', { message: 'hi' })).json).toMatchObject({ tokens_used: 1100 })
  })

  test('a request’s budget is taken, and refused with its place where it makes no sense', async () => {
    const server = await serving(scriptedModel([callLook, callLook, done], { atEnd: 'loop' }), {
      agents: [agent({ name: 'assistant', model: scriptedModel([callLook, callLook, done]), ...tools })],
    })
    const path = '/v1/agents/assistant/runs'
    const { json } = await call(server, path, { input: 'hi', budget: { tokens: 2000 } })
    expect(json).toMatchObject({ status: 'completed', stop_reason: 'budget', steps: 2, usage: twice })
    for (const [budget, at] of [
      [{ tokens: 0 }, ['body', 'budget', 'tokens']],
      [{ tool_calls: -1 }, ['body', 'budget', 'tool_calls']],
      [{ seconds: '5' }, ['body', 'budget', 'seconds']],
      [{ toolCalls: 1 }, ['body', 'budget', 'toolCalls']],
    ]) {
      const refused = await call(server, path, { input: 'hi', budget })
      expect(refused.status).toBe(400)
      expect(JSON.stringify(refused.json)).toContain(JSON.stringify(at))
    }
  })
})

test('an error that a model throws holds no usage: nothing is counted of it', async () => {
  const model: Model = {
    provider: 'odd',
    id: 'scripted/model',
    stream: () => Promise.reject(new AppError('model_refused')),
  }
  const engine = await startEngine({ model, prices })
  expect((await engine.finish()).run).toMatchObject({ status: 'failed', usage: { total_tokens: 0 } })
})
