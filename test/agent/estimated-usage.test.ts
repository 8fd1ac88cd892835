import { describe, expect, onTestFinished, test } from 'vitest'
import type { AgentOptions } from '../../src/agent/agent-options.ts'
import { agent } from '../../src/agent/agent.ts'
import type { TextFilter } from '../../src/agent/hooks.ts'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import type { Model } from '../../src/models/model.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { addUsage, type Usage } from '../../src/run-state.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import { createUpstreamServer, streamReply } from '../../src/testing/upstream-server.ts'
import { deferred } from './deferred.ts'
import { advanceUntil, eventsOfType, startEngine, type EngineUnderTestOptions } from './engine-under-test.ts'
import { ask, boss, helper } from './team.ts'

const said = (input: number, output: number): Usage => ({
  input_tokens: input,
  output_tokens: output,
  total_tokens: input + output,
})

/** A message of 14 characters more than its text: 100 tokens of 3.5; so have the instructions. */
const input = 'i'.repeat(336)
const instructions = 'w'.repeat(350)
/** 100 tokens of 4 characters. */
const text = ['o'.repeat(300), 'o'.repeat(100)]
const asked = said(200, 0)
const whole = said(200, 100)
const prices = { 'scripted/model': { input: 1, output: 10 } }
/** 200 in at 1, 100 out at 10, of a million each. */
const cost = 0.0012
const usage = said(1000, 100)
const look = tool({ name: 'look', description: 'Looks.', effect: 'read', execute: () => 'found' })
const codes = ({ warnings }: { warnings: readonly { code: string }[] }) => warnings.map(({ code }) => code)

function start(model: Model, options: Partial<EngineUnderTestOptions> = {}) {
  return startEngine({ model, prices, ...options, agent: { instructions, ...options.agent } })
}

/** A reply that stops before its part `at` and says so. */
function stuck(at: number, reply: Partial<Exclude<ScriptedReply, string>> = {}) {
  const reached = deferred()
  const gate = (index: number) => (index < at ? undefined : (reached.resolve(), new Promise(() => {})))
  return { reply: { text, gate, ...reply }, reached: reached.promise }
}

describe('where the provider does not say what a reply used', () => {
  test('it is estimated: the request as history is counted, the reply by its length', async () => {
    const engine = await start(scriptedModel([{ text, usage: null }]))
    const { run, events } = await engine.finish({ input })
    expect(run).toMatchObject({ status: 'completed', usage: whole, spent: { cost } })
    expect(codes(run)).toEqual(['usage_estimated'])
    expect(eventsOfType(events, 'step.end')).toMatchObject([{ usage: null, cost }])
    expect(events.at(-1)).toMatchObject({ type: 'run.end', usage: whole, cost })
  })

  test('tools count, what is called with them and reasoning', async () => {
    const call = { name: 'look', arguments: { a: 'x'.repeat(400) } }
    const replies = [
      { reasoning: text, toolCalls: [call], usage: null },
      { text: 'Done.', usage },
    ]
    const description = 'd'.repeat(3500)
    const tools = [tool({ name: 'look', description, effect: 'read', execute: () => 'found' })]
    const engine = await start(scriptedModel(replies), { agent: { tools } })
    const { run } = await engine.finish({ input })
    expect(run.usage.input_tokens).toBeGreaterThanOrEqual(1000 + 200 + 1000)
    expect(run.usage.input_tokens).toBeLessThan(1000 + 200 + 1100)
    expect(run.usage.output_tokens).toBeGreaterThanOrEqual(100 + 200)
    expect(run.usage.output_tokens).toBeLessThan(100 + 210)
  })

  test('the run is warned once, also over its attempts', async () => {
    const silent: ScriptedReply = { toolCalls: [{ name: 'look', arguments: {} }], usage: null }
    const gated = tool({ name: 'look', description: 'Looks.', approval: 'required', execute: () => 'found' })
    const model = scriptedModel([silent, silent, { text: 'Done.', usage: null }])
    const engine = await start(model, { agent: { tools: [gated] } })
    let { run } = await engine.finish({ input })
    for (let i = 0; i < 2; i++) {
      expect(codes(run)).toEqual(['usage_estimated'])
      const [approval] = await engine.runs.pendingApprovals(run)
      await engine.approvals.decide(anonymous, approval!.id, { decision: 'approve' })
      run = await engine.settled(run)
    }
    expect(run).toMatchObject({ status: 'completed', steps: 3 })
    expect(run.usage.total_tokens).toBeGreaterThan(3 * 200)
    expect(eventsOfType(await engine.events(run), 'warning')).toHaveLength(1)
  })
})

describe('a reply that breaks off counts what came of it', () => {
  test.each([
    ['in its middle: the request and what was streamed', 1, said(200, 75)],
    ['before its first word: the request', 0, asked],
  ])('cancelled %s', async (_when, at, estimate) => {
    const { reply, reached } = stuck(at)
    const callLook = { toolCalls: [{ name: 'look', arguments: {} }], usage }
    const engine = await start(scriptedModel([reply]))
    const run = await engine.start({ input })
    await reached
    const { run: ended } = await engine.runs.cancel(anonymous, run.id, 'enough')
    expect(ended).toMatchObject({ status: 'cancelled', steps: 0, usage: estimate })
    expect(codes(ended)).toEqual(['usage_estimated'])
    expect((await engine.events(run)).at(-1)).toMatchObject({ type: 'run.end', usage: estimate })
    // What whole replies used is known as before.
    const second = stuck(at)
    const other = await start(scriptedModel([callLook, second.reply]), { agent: { tools: [look] } })
    const longer = await other.start({ input })
    await second.reached
    await other.runs.cancel(anonymous, longer.id, 'enough')
    const { usage: sum } = await other.load(longer)
    expect(sum.input_tokens).toBeGreaterThan(1200)
    expect(sum.output_tokens).toBe(100 + estimate.output_tokens)
  })

  test('timed out', async () => {
    const clock = createFakeClock()
    const { reply, reached } = stuck(1)
    const engine = await start(scriptedModel([reply]), { clock, runTimeoutMs: 60_000 })
    const run = await engine.start({ input })
    await reached
    const ended = await advanceUntil(clock, engine.settled(run), 10_000)
    expect(ended).toMatchObject({ status: 'failed', stop_reason: 'timeout', usage: said(200, 75) })
  })

  test('failed behind its first word, with no try left', async () => {
    const failing: ScriptedReply = { text, error: { code: 'model_refused', after: 1 } }
    const engine = await start(scriptedModel([failing]))
    const { run } = await engine.finish({ input })
    expect(run).toMatchObject({ status: 'failed', usage: said(200, 75) })
    expect(codes(run)).toEqual(['usage_estimated'])
  })

  test('each that is tried again or falls over, at the price of its own model; all are kept at once', async () => {
    const clock = createFakeClock()
    const failing = { text, error: { code: 'model_unavailable' as const, after: 1 } }
    const last = stuck(0)
    const models = [
      scriptedModel([failing, failing], { id: 'scripted/a' }),
      scriptedModel([failing, last.reply], { id: 'scripted/b' }),
    ]
    const engine = await startEngine({
      agents: [agent({ name: 'assistant', instructions, model: models, modelTries: 2 })],
      prices: { 'scripted/a': { input: 10, output: 0 }, 'scripted/b': { input: 20, output: 0 } },
      clock,
    })
    const run = await engine.start({ input })
    await advanceUntil(clock, last.reached)
    // Before any reply was whole: a process that dies now has not lost them.
    const thrice = [1, 2, 3].reduce((sum) => addUsage(sum, said(200, 75)), said(0, 0))
    const kept = await engine.load(run)
    expect(kept).toMatchObject({ status: 'running', usage: thrice })
    expect(kept.spent?.cost).toBeCloseTo((200 * 10 * 2 + 200 * 20) / 1e6, 12)
    expect(codes(kept).filter((code) => code === 'usage_estimated')).toHaveLength(1)
    await engine.runs.cancel(anonymous, run.id, 'enough')
    expect((await engine.load(run)).usage).toEqual(addUsage(thrice, asked))
  })

  test('refused by a filter', async () => {
    const refusing = (_kind: string, context: { refuse(message: string): void }): TextFilter => ({
      push: (delta) => (delta.length === 100 ? (context.refuse('No.'), '') : delta),
      end: () => '',
    })
    const agentOptions: Partial<AgentOptions> = { hooks: { filterText: refusing } }
    const engine = await start(scriptedModel([{ text, hang: true }]), { agent: agentOptions })
    const { run } = await engine.finish({ input })
    expect(run).toMatchObject({
      stop_reason: 'content_filter',
      usage: said(200, 75),
      spent: { cost: 0.00095 },
    })
    expect(codes(run)).toEqual(['usage_estimated', 'content_filter'])
  })

  test('beside the answer: of a plan that fails over and is cancelled then', async () => {
    const clock = createFakeClock()
    const failing = { text, error: { code: 'model_unavailable' as const, after: 1 } }
    const last = stuck(1)
    const planner = scriptedModel([failing, last.reply], { id: 'scripted/planner' })
    const engine = await start(scriptedModel([]), {
      clock,
      agent: { planning: { every: 1, model: planner } },
    })
    const run = await engine.start({ input })
    await advanceUntil(clock, last.reached)
    await engine.runs.cancel(anonymous, run.id, 'enough')
    const ended = await engine.load(run)
    expect(ended.usage.output_tokens).toBe(75 + 75)
    expect(ended.usage.input_tokens).toBeGreaterThan(2 * 100)
    expect(codes(ended)).toEqual(['usage_estimated'])
  })

  test('of an agent that serves as a tool: the usage is the run’s, and so is the warning', async () => {
    const expert = helper('expert', [{ text, usage: null }])
    const engine = await startEngine({
      agents: [boss([{ toolCalls: [ask('expert')], usage }, 'Done.'], [expert])],
    })
    const { run, events } = await engine.finish({ agent: 'boss' })
    expect(codes(run)).toEqual(['usage_estimated'])
    expect(eventsOfType(events, 'warning')).toHaveLength(1)
    expect(run.usage.output_tokens).toBe(100 + 100 + 1)
  })
})

test('a client that hangs up in the middle of a reply, every time, has used what a real provider streamed to it', async () => {
  const upstream = await createUpstreamServer()
  onTestFinished(() => upstream.close())
  upstream.replyAlways(
    streamReply({ text, before: (delta) => (delta === 1 ? { type: 'silence' } : undefined) }),
  )
  const server = await createTestServer({
    llmBaseUrl: upstream.baseURL,
    agents: [agent({ name: 'assistant', model: 'llm/any', instructions })],
    models: { 'llm/any': { price: { input: 1, output: 10 } } },
  })
  onTestFinished(() => server.close())
  const client = new AbortController()
  const response = await fetch(new URL('/v1/agents/assistant/runs', server.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input, stream: true }),
    signal: client.signal,
  })
  let wire = ''
  const decoder = new TextDecoder()
  for await (const bytes of response.body!) {
    wire += decoder.decode(bytes, { stream: true })
    if (wire.includes('text.delta')) break
  }
  client.abort()
  // Not before: whoever waits for the run is a reader, too.
  expect(await (await upstream.request(0)).outcome).toBe('closed')
  const id = /"run_id":"(run_\w+)"/.exec(wire)?.[1]
  const ended = await (await server.request(`/v1/runs/${id}/wait`)).json()
  expect(ended).toMatchObject({ status: 'cancelled', usage: said(200, 75), cost: 0.00095 })
  expect(codes(ended)).toEqual(['usage_estimated'])
})

test('a provider that sends no usage at all is counted, by an estimate', async () => {
  const upstream = await createUpstreamServer({ replies: [streamReply({ text, usage: null })] })
  onTestFinished(() => upstream.close())
  const server = await createTestServer({
    llmBaseUrl: upstream.baseURL,
    agents: [agent({ name: 'assistant', model: 'llm/any', instructions })],
  })
  onTestFinished(() => server.close())
  const run = await (await server.request('/v1/agents/assistant/runs', { body: { input } })).json()
  expect(run).toMatchObject({ status: 'completed', usage: whole })
  expect(codes(run)).toEqual(['usage_estimated'])
})
