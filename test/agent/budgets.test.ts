import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { AgentOptions } from '../../src/agent/agent-options.ts'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import type { ModelPrice } from '../../src/models/model.ts'
import { scriptedModel, type ReplyFunction, type ScriptedReply } from '../../src/models/scripted.ts'
import type { RunOptions } from '../../src/run-state.ts'
import { createFakeClock, type FakeClock } from '../../src/testing/fake-clock.ts'
import { eventsOfType, startEngine, transcript } from './engine-under-test.ts'
import { createLogCapture } from './log-capture.ts'

const usage = (tokens: number) => ({ input_tokens: tokens, output_tokens: 0, total_tokens: tokens })
const look = tool({ name: 'look', description: 'Looks.', effect: 'read', execute: () => 'found' })
const callLook = (tokens = 0, calls = 1): ScriptedReply => ({
  text: ['Looking.'],
  toolCalls: Array.from({ length: calls }, () => ({ name: 'look', arguments: {} })),
  usage: usage(tokens),
})
const say = (text: string, tokens = 0): ScriptedReply => ({ text: [text], usage: usage(tokens) })

async function spend(input: {
  replies: readonly ScriptedReply[] | ReplyFunction
  budget?: AgentOptions['budget']
  agent?: Partial<AgentOptions>
  options?: RunOptions
  prices?: Record<string, ModelPrice>
  clock?: FakeClock
}) {
  const model = scriptedModel(input.replies)
  const log = createLogCapture()
  const engine = await startEngine({
    model,
    agent: { tools: [look], ...(input.budget && { budget: input.budget }), ...input.agent },
    logger: log.logger,
    ...(input.prices && { prices: input.prices }),
    ...(input.clock && { clock: input.clock }),
  })
  const start = { conversation: { session: 's' }, ...(input.options && { options: input.options }) }
  return { engine, model, log, ...(await engine.finish(start)) }
}

const warnings = (events: Parameters<typeof eventsOfType>[0]) =>
  eventsOfType(events, 'warning').map(({ code, message }) => `${code}: ${message}`)
const told = (lines: string[]) => lines.filter((line) => line.includes('allowed for this task'))

describe('a budget that is used up ends the run between two steps, with what there is', () => {
  test('tokens, input and output together', async () => {
    const { run, text, events, model } = await spend({
      replies: [callLook(60), callLook(60), say('never')],
      budget: { tokens: 100 },
    })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'budget', steps: 2, usage: usage(120) })
    expect(text).toBe('Looking.')
    expect(warnings(events)).toEqual(['budget: The run has used up its budget: tokens.'])
    expect(events.at(-1)).toMatchObject({ type: 'run.end', stop_reason: 'budget', usage: usage(120) })
    expect(model.calls).toHaveLength(2)
  })

  test('cost, in the unit of the prices', async () => {
    const { run, events } = await spend({
      replies: [callLook(1000), callLook(1000), say('never')],
      budget: { cost: 0.002 },
      prices: { 'scripted/model': { input: 1, output: 1 } },
    })
    expect(run).toMatchObject({ stop_reason: 'budget', steps: 2, spent: { cost: 0.002 } })
    expect(warnings(events)).toEqual(['budget: The run has used up its budget: cost.'])
  })

  test('an answer that comes with the last of it is an answer', async () => {
    const { run, text } = await spend({ replies: [say('Done.', 500)], budget: { tokens: 100 } })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'final' })
    expect(text).toBe('Done.')
  })

  test('no last answer is asked for at the limit of steps either', async () => {
    const { run, model } = await spend({
      replies: [callLook(100)],
      budget: { tokens: 100 },
      agent: { maxSteps: 1 },
    })
    expect(run).toMatchObject({ stop_reason: 'budget', steps: 1, forced: false })
    expect(model.calls).toHaveLength(1)
  })

  test('nor the correction of an answer: the value is missing', async () => {
    const { run, text } = await spend({
      replies: [say('no JSON', 100), say('{}')],
      budget: { tokens: 100 },
      agent: { output: z.object({}) },
    })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'budget', output_parsed: null })
    expect(text).toBe('no JSON')
  })
})

describe('tool calls', () => {
  test('that are used up leave one answer, without tools', async () => {
    const { run, text, events, model } = await spend({
      replies: [callLook(0, 2), say('What I have.')],
      budget: { toolCalls: 2 },
    })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'budget', forced: true, steps: 2 })
    expect(text).toBe('What I have.')
    expect(model.calls.map(({ toolChoice }) => toolChoice)).toEqual([undefined, 'none'])
    expect(warnings(events)).toEqual(['budget: The run has used up its budget: toolCalls.'])
    expect(run.spent?.tool_calls).toBe(2)
  })

  test('leave none where the agent forces no answer', async () => {
    const { run, text } = await spend({
      replies: [callLook(0, 2)],
      budget: { toolCalls: 2 },
      agent: { forceAnswer: false },
    })
    expect(run).toMatchObject({ stop_reason: 'budget', forced: false, steps: 1 })
    expect(text).toBe('Looking.')
  })

  test('leave none where something else is used up, too', async () => {
    const { run, events } = await spend({
      replies: [callLook(110, 3)],
      budget: { toolCalls: 2, tokens: 100 },
    })
    expect(run).toMatchObject({ stop_reason: 'budget', steps: 1 })
    expect(warnings(events)).toEqual(['budget: The run has used up its budget: tokens.'])
  })

  test('of none at all: the agent answers without calls', async () => {
    const { run, model } = await spend({ replies: [say('Just so.')], budget: { toolCalls: 0 } })
    expect(run).toMatchObject({ stop_reason: 'budget', forced: true, steps: 1 })
    expect(model.calls[0]).toMatchObject({ toolChoice: 'none' })
  })

  test('the answer is corrected, as long as nothing else is used up', async () => {
    const output = { output: z.object({ a: z.number() }) }
    const fine = await spend({
      replies: [callLook(), say('no', 10), say('{"a":1}')],
      budget: { toolCalls: 1, tokens: 100 },
      agent: output,
    })
    expect(fine.run).toMatchObject({ stop_reason: 'budget', forced: true, output_parsed: { a: 1 } })
    const over = await spend({
      replies: [callLook(), say('no', 200)],
      budget: { toolCalls: 1, tokens: 100 },
      agent: output,
    })
    expect(over.run).toMatchObject({
      status: 'completed',
      stop_reason: 'budget',
      output_parsed: null,
      steps: 2,
    })
  })
})

describe('seconds', () => {
  test('count while the run is worked on: by models and by tools', async () => {
    const clock = createFakeClock()
    const slow = tool({
      name: 'look',
      description: 'Looks.',
      effect: 'read',
      execute: async () => {
        await clock.advance(6_000)
        return 'found'
      },
    })
    const replies: ReplyFunction = async () => {
      await clock.advance(5_000)
      return callLook()
    }
    const { run, events } = await spend({ replies, budget: { seconds: 20 }, agent: { tools: [slow] }, clock })
    expect(run).toMatchObject({ stop_reason: 'budget', steps: 2, spent: { worked_ms: 22_000 } })
    expect(warnings(events)).toEqual(['budget: The run has used up its budget: seconds.'])
  })

  test('do not count while people are waited for, nor in the queue; but all attempts together do', async () => {
    const clock = createFakeClock()
    const send = tool({ name: 'send', description: 'Sends.', approval: 'required', execute: () => 'sent' })
    const model = scriptedModel(async (_request, index) => {
      await clock.advance(6_000)
      return index < 2 ? { toolCalls: [{ name: 'send', arguments: {} }] } : 'never'
    })
    const engine = await startEngine({ model, clock, agent: { tools: [send], budget: { seconds: 11 } } })
    const inSession = { conversation: { session: 's' }, onConflict: 'queue' as const }
    const first = await engine.start(inSession)
    const decide = async () => {
      await engine.settled(first)
      const [approval] = await engine.runs.pendingApprovals(await engine.load(first))
      await clock.advance(3_600_000)
      await engine.approvals.decide(anonymous, approval!.id, { decision: 'approve' })
    }
    await engine.settled(first)
    const waiting = await engine.start({ ...inSession, background: true })
    await decide()
    expect((await engine.load(first)).spent?.worked_ms).toBe(6_000)
    await engine.events(first, (await engine.load(first)).last_seq)
    await decide()
    await engine.events(first, (await engine.load(first)).last_seq)
    const over = await engine.load(first)
    expect(over).toMatchObject({ status: 'completed', stop_reason: 'budget', spent: { worked_ms: 12_000 } })
    // Two hours in the queue are no work.
    expect((await engine.settled(waiting)).spent?.worked_ms).toBe(6_000)
  })
})

describe('near the end of a budget', () => {
  test('the model is told so, once, and never again in later runs', async () => {
    const { model, engine, types } = await spend({
      replies: [callLook(40), callLook(45), callLook(5), say('In time.'), say('Again.')],
      budget: { tokens: 100 },
    })
    expect(model.calls.map((call) => told(transcript(call)).length)).toEqual([0, 0, 1, 1])
    expect(told(transcript(model.calls[2]))).toEqual([
      'user: 85 % of the tokens allowed for this task are used up. Come to an end: give your answer with what you have.',
    ])
    expect(types).not.toContain('warning')
    await engine.finish({ conversation: { session: 's' } })
    expect(told(transcript(model.calls[4]))).toEqual([])
  })

  test('the largest share is what it is told of', async () => {
    const { model } = await spend({
      replies: [callLook(85, 9), say('Done.')],
      budget: { tokens: 100, toolCalls: 10 },
    })
    expect(told(transcript(model.calls[1]))[0]).toContain('90 % of the tool calls')
  })
})

describe('after a transfer', () => {
  /** The first spends 85 tokens of its 100, is told so and hands over. */
  async function handOver(input: {
    second: Partial<AgentOptions> & { model: ReturnType<typeof scriptedModel> }
    options?: RunOptions
  }) {
    const second = agent({ name: 'second', tools: [look], ...input.second })
    const firstModel = scriptedModel([
      callLook(85),
      { toolCalls: [{ name: 'transfer_to_second', arguments: {} }], usage: usage(5) },
    ])
    const first = agent({
      name: 'first',
      model: firstModel,
      tools: [look],
      budget: { tokens: 100 },
      handoffs: [second],
    })
    const desk = agent({
      name: 'assistant',
      model: scriptedModel([]),
      specialists: [{ agent: first, keywords: ['hello'] }],
    })
    const engine = await startEngine({ agents: [desk] })
    const { run, types } = await engine.finish(input.options ? { options: input.options } : {})
    expect(told(transcript(firstModel.calls[1]))).toHaveLength(1)
    return { run, types, told: input.second.model.calls.map((call) => told(transcript(call))) }
  }

  test('the other agent reads nothing of a limit that was the first’s alone', async () => {
    const model = scriptedModel([callLook(), say('Done.')])
    expect((await handOver({ second: { model } })).told).toEqual([[], []])
  })

  test('but is told of its own limit, once', async () => {
    const model = scriptedModel([callLook(), callLook(80), callLook(1), say('Done.')])
    const after = await handOver({ second: { model, budget: { tokens: 200 } } })
    const near = expect.stringContaining('85 % of the tokens') as string
    expect(after.told).toEqual([[], [], [near], [near]])
  })

  test('and of the request’s, which holds on', async () => {
    const model = scriptedModel([callLook(), say('Done.')])
    const after = await handOver({ second: { model }, options: { budget: { tokens: 100 } } })
    const near = expect.stringContaining('90 % of the tokens') as string
    expect(after.told).toEqual([[near], [near]])
  })
})

describe('a request’s own budget', () => {
  test('holds beside the agent’s: the smaller of both', async () => {
    const replies = [callLook(60), callLook(60), say('Done.')]
    const smaller = await spend({ replies, budget: { tokens: 1000 }, options: { budget: { tokens: 50 } } })
    expect(smaller.run).toMatchObject({ stop_reason: 'budget', steps: 1 })
    const larger = await spend({ replies, budget: { tokens: 50 }, options: { budget: { tokens: 1000 } } })
    expect(larger.run).toMatchObject({ stop_reason: 'budget', steps: 1 })
    const alone = await spend({ replies, options: { budget: { tokens: 100 } } })
    expect(alone.run).toMatchObject({ stop_reason: 'budget', steps: 2 })
  })

  test('may limit tool calls and cost', async () => {
    const calls = await spend({ replies: [callLook(), say('Done.')], options: { budget: { tool_calls: 1 } } })
    expect(calls.run).toMatchObject({ stop_reason: 'budget', forced: true })
    const cost = await spend({
      replies: [callLook(1000)],
      options: { budget: { cost: 0.001 } },
      prices: { 'scripted/model': { input: 1, output: 1 } },
    })
    expect(cost.run).toMatchObject({ stop_reason: 'budget', steps: 1 })
  })

  test('holds for a specialist, and after a suspension', async () => {
    const send = tool({ name: 'send', description: 'Sends.', approval: 'required', execute: () => 'sent' })
    const callSend = { toolCalls: [{ name: 'send', arguments: {} }], usage: usage(60) }
    const sender = agent({
      name: 'sender',
      tools: [send],
      model: scriptedModel([callSend, callSend, say('never')]),
    })
    const desk = agent({
      name: 'assistant',
      model: scriptedModel([]),
      specialists: [{ agent: sender, keywords: ['hello'] }],
    })
    const engine = await startEngine({ agents: [desk] })
    const run = await engine.start({ options: { budget: { tokens: 100 } } })
    for (let i = 0; i < 2; i++) {
      const suspended = await engine.settled(run)
      const [approval] = await engine.runs.pendingApprovals(suspended)
      await engine.approvals.decide(anonymous, approval!.id, { decision: 'approve' })
      await engine.events(run, suspended.last_seq)
    }
    expect(await engine.load(run)).toMatchObject({ stop_reason: 'budget', steps: 2, active_agent: 'sender' })
  })
})

test('what was spent before a suspension counts for whoever takes over behind it', async () => {
  const send = tool({ name: 'send', description: 'Sends.', approval: 'required', execute: () => 'sent' })
  const name = (one: string) => ({ name: one, arguments: {} })
  const second = agent({
    name: 'second',
    model: scriptedModel([callLook(), say('Within it.')]),
    tools: [look],
    budget: { toolCalls: 5 },
  })
  const engine = await startEngine({
    model: scriptedModel([
      { toolCalls: [name('look'), name('look'), name('look'), name('send')] },
      { toolCalls: [name('transfer_to_second')] },
    ]),
    agent: { tools: [look, send], handoffs: [second] },
  })
  const { run } = await engine.finish()
  expect(run).toMatchObject({ status: 'suspended', spent: { tool_calls: 3 } })
  const [approval] = await engine.runs.pendingApprovals(run)
  await engine.approvals.decide(anonymous, approval!.id, { decision: 'approve' })
  await engine.events(run, run.last_seq)
  const ended = await engine.load(run)
  expect(ended).toMatchObject({ active_agent: 'second', stop_reason: 'budget', forced: true })
  expect(ended.spent?.tool_calls).toBe(5)
})

describe('an agent that serves as a tool', () => {
  const helper = (replies: readonly ScriptedReply[], budget?: AgentOptions['budget']) =>
    agent({
      name: 'helper',
      description: 'Helps.',
      model: scriptedModel(replies, { id: 'scripted/helper' }),
      tools: [look],
      ...(budget && { budget }),
    }).asTool()
  const askHelper = (tokens: number): ScriptedReply => ({
    toolCalls: [{ name: 'helper', arguments: { task: 'Help.' } }],
    usage: usage(tokens),
  })

  test('works within what the run has left', async () => {
    const served = helper([callLook(50), callLook(50), say('never')])
    const { run, events } = await spend({
      replies: [askHelper(10), say('never')],
      budget: { tokens: 100 },
      agent: { tools: [served] },
    })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'budget', steps: 1, usage: usage(110) })
    expect(eventsOfType(events, 'tool.end')).toMatchObject([
      { output: 'Looking.\n[The agent ended before it had an answer: budget.]' },
    ])
  })

  test('and within its own, counted from its call', async () => {
    const served = helper([callLook(30), callLook(30), say('never')], { tokens: 50 })
    const { run, text } = await spend({
      replies: [askHelper(900), say('Done.', 30)],
      budget: { tokens: 1000 },
      agent: { tools: [served] },
    })
    expect(run).toMatchObject({ stop_reason: 'final', usage: usage(990) })
    expect(text).toBe('Done.')
  })
})

describe('what nobody counts', () => {
  test('a cost without a price is said at the start and in each run, once', async () => {
    const { run, events, log } = await spend({
      replies: [callLook(1000), say('Done.', 1000)],
      budget: { cost: 0.001 },
    })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'final' })
    expect(warnings(events)).toEqual([
      'cost_unknown: The cost of a call of scripted/model is not known: the budget does not count it.',
    ])
    expect(log.lines().filter(({ level }) => level === 'warn')).toMatchObject([
      {
        message: expect.stringContaining('no price') as string,
        fields: { agent: 'assistant', models: ['scripted/model'] },
      },
      { fields: { code: 'cost_unknown' } },
    ])
  })

  test('a cost without a price matters to nobody without such a budget', async () => {
    const { types } = await spend({ replies: [say('Done.', 10)], budget: { seconds: 100 } })
    expect(types).not.toContain('warning')
  })

  test('is estimated where the provider does not say it: the budget holds', async () => {
    const silent = { ...(callLook() as object), usage: null }
    const { run, events } = await spend({
      replies: (_request, index) => (index < 10 ? silent : say('never')),
      budget: { tokens: 200 },
    })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'budget' })
    expect(run.usage.total_tokens).toBeGreaterThanOrEqual(200)
    expect(run.steps).toBeLessThan(6)
    expect(warnings(events)).toEqual([
      'usage_estimated: What a call of scripted/model used is not known, because it was cut off or the provider does not say: an estimate is counted.',
      'budget: The run has used up its budget: tokens.',
    ])
  })
})

test('a budget that makes no sense is refused when the agent is made', () => {
  for (const budget of [
    { tokens: 0 },
    { cost: -1 },
    { seconds: 0 },
    { toolCalls: 1.5 },
    { token: 5 },
  ] as object[]) {
    expect(() => agent({ name: 'a', budget })).toThrow(/^agent a: budget/)
  }
})
