import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import type { ModelRequest } from '../../src/models/model.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { deferred } from './deferred.ts'
import { eventsOfType, startEngine, transcript, typesOf } from './engine-under-test.ts'
import { createLogCapture } from './log-capture.ts'

const add = tool({
  name: 'add',
  description: 'Adds.',
  effect: 'read',
  input: z.object({ a: z.number(), b: z.number() }),
  execute: ({ a, b }) => a + b,
})

const call = (name: string, args: Record<string, unknown> | string = {}) => ({ name, arguments: args })

test('a final answer ends the run with its text, its usage and one commit', async () => {
  const engine = await startEngine({ model: scriptedModel(['Hello there.']) })
  const { run, types, events, text } = await engine.finish('hi')
  expect(types).toEqual([
    'run.start',
    'step.start',
    'text.start',
    'text.delta',
    'text.delta',
    'text.end',
    'step.end',
    'run.end',
  ])
  expect(text).toBe('Hello there.')
  expect(run).toMatchObject({
    status: 'completed',
    stop_reason: 'final',
    error: null,
    steps: 1,
    usage: { input_tokens: 1, output_tokens: 2, total_tokens: 3 },
  })
  expect(events.at(-1)).toMatchObject({ usage: run.usage, steps: 1, output: run.output })
  expect(engine.commits).toHaveLength(1)
})

test('a step with a tool is two commits: the reply with the claims, then the result', async () => {
  const model = scriptedModel([{ text: 'Let me see.', toolCalls: [call('add', { a: 1, b: 2 })] }, 'Three.'])
  const engine = await startEngine({ model, agent: { tools: [add] } })
  const { run, text } = await engine.finish()
  const [reply, result, end, ...rest] = engine.commits
  expect(rest).toEqual([])
  expect(reply?.claims).toMatchObject([{ step: 0, index: 0, effect: 'read', approval_id: null }])
  expect(typesOf(reply?.events ?? [])).toEqual([
    'step.start',
    'text.start',
    'text.end',
    'tool.start',
    'tool.call',
    'step.end',
  ])
  expect(typesOf(result?.events ?? [])).toEqual(['tool.end'])
  expect(result?.settled).toEqual([{ call_id: expect.stringMatching(/^call_/), state: 'committed' }])
  expect(typesOf(end?.events ?? [])).toEqual(['step.start', 'text.start', 'text.end', 'step.end', 'run.end'])
  expect(text).toBe('Three.')
  expect(run.steps).toBe(2)
  expect(transcript(model.calls[1])).toEqual([
    'user: hello',
    'assistant: Let me see.',
    'call add {"a":1,"b":2}',
    'result 3',
  ])
})

test('the claim is on disk before the tool starts', async () => {
  const seen: string[] = []
  const look = tool({
    name: 'look',
    description: 'Looks at the ledger.',
    execute: async (_input, { runId }) => {
      for (const { state } of await engine.store.ledger.ofRun(runId)) seen.push(state)
    },
  })
  const engine = await startEngine({
    model: scriptedModel([{ toolCalls: [call('look')] }, 'ok']),
    agent: { tools: [look] },
  })
  const { run } = await engine.finish()
  expect(seen).toEqual(['claimed'])
  expect(await engine.store.ledger.ofRun(run.id)).toMatchObject([{ state: 'committed', effect: 'write' }])
})

test('tools run side by side, no more than toolConcurrency, and the model reads results in call order', async () => {
  const gates = [deferred(), deferred(), deferred(), deferred()]
  const started: number[] = []
  const most = { running: 0, seen: 0 }
  const bothRun = deferred()
  const wait = tool({
    name: 'wait',
    description: 'Waits.',
    effect: 'read',
    input: z.object({ i: z.number() }),
    execute: async ({ i }) => {
      started.push(i)
      most.seen = Math.max(most.seen, ++most.running)
      if (most.running === 2) bothRun.resolve()
      await gates[i]?.promise
      most.running--
      return `done ${i}`
    },
  })
  const model = scriptedModel([{ toolCalls: [0, 1, 2, 3].map((i) => call('wait', { i })) }, 'ok'])
  const engine = await startEngine({ model, agent: { tools: [wait], toolConcurrency: 2 } })
  const run = await engine.start()
  await bothRun.promise
  expect(started).toEqual([0, 1])
  gates[1]?.resolve()
  const { event, reader } = await engine.reach(run, 'tool.end')
  expect(event.output).toBe('done 1')
  reader.detach('server')
  for (const i of [3, 2, 0]) gates[i]?.resolve()
  const events = await engine.events(run)
  expect(most.seen).toBe(2)
  expect(eventsOfType(events, 'tool.end')[0]?.output).toBe('done 1')
  expect(transcript(model.calls[1]).filter((line) => line.startsWith('result'))).toEqual([
    'result done 0',
    'result done 1',
    'result done 2',
    'result done 3',
  ])
})

test('results that arrive together are committed together', async () => {
  const quick = tool({ name: 'quick', description: 'Is quick.', execute: () => 'ok' })
  const toolCalls = Array.from({ length: 8 }, () => call('quick'))
  const engine = await startEngine({
    model: scriptedModel([{ toolCalls }, 'ok']),
    agent: { tools: [quick] },
  })
  const { types } = await engine.finish()
  expect(types.filter((type) => type === 'tool.end')).toHaveLength(8)
  expect(engine.commits.length).toBeLessThan(6)
})

test('progress is seen live and never replayed', async () => {
  const told = deferred()
  const shown = deferred()
  const slow = tool({
    name: 'slow',
    description: 'Is slow.',
    execute: async (_input, { progress }) => {
      await shown.promise
      progress({ progress: 1, total: 2, message: 'half' })
      await told.promise
      return 'ok'
    },
  })
  const engine = await startEngine({
    model: scriptedModel([{ toolCalls: [call('slow')] }, 'ok']),
    agent: { tools: [slow] },
  })
  const run = await engine.start()
  const seen = engine.reach(run, 'tool.progress')
  shown.resolve()
  const { event, reader } = await seen
  expect(event).toMatchObject({ progress: 1, total: 2, message: 'half' })
  expect(event).not.toHaveProperty('seq')
  told.resolve()
  reader.detach('server')
  await engine.settled(run)
  expect(typesOf(await engine.events(run))).not.toContain('tool.progress')
})

test('progress that a tool reports after its end goes nowhere', async () => {
  let late: (() => void) | undefined
  const leaky = tool({
    name: 'leaky',
    description: 'Reports too late.',
    execute: (_input, { progress }) => {
      late = () => progress({ message: 'late' })
      return 'ok'
    },
  })
  const model = scriptedModel((_request, index) => {
    if (index === 0) return { toolCalls: [call('leaky')] }
    late?.()
    return 'ok'
  })
  const engine = await startEngine({ model, agent: { tools: [leaky] } })
  const { types } = await engine.finish()
  expect(types).not.toContain('tool.progress')
})

test('a tool sees who calls, its call, and the run context of the request', async () => {
  let seen: Record<string, unknown> = {}
  const who = tool({
    name: 'who',
    description: 'Looks around.',
    execute: (
      _input,
      { principal, namespace, runId, conversationId, callId, idempotencyKey, runContext },
    ) => {
      seen = { principal, namespace, runId, conversationId, callId, idempotencyKey, runContext }
    },
  })
  const engine = await startEngine({
    model: scriptedModel([{ toolCalls: [call('who')] }, 'ok']),
    agent: { tools: [who] },
  })
  const { run, events } = await engine.finish({
    conversation: { session: 's' },
    options: { run_context: { tenant: 7 } },
  })
  expect(seen).toEqual({
    principal: { owner: 'anonymous', namespace: '', name: 'anonymous' },
    namespace: '',
    runId: run.id,
    conversationId: run.conversation_id,
    callId: eventsOfType(events, 'tool.call')[0]?.call_id,
    idempotencyKey: `${run.id}-0-0`,
    runContext: { tenant: 7 },
  })
})

test('a tool writes to the log of the server, with its name, its call and its run', async () => {
  const chatty = tool({
    name: 'chatty',
    description: 'Logs.',
    execute: (_input, { log }) => log('cache missed', { size: 3 }),
  })
  const log = createLogCapture()
  const engine = await startEngine({
    model: scriptedModel([{ toolCalls: [call('chatty')] }, 'ok']),
    agent: { tools: [chatty] },
    logger: log.logger,
  })
  const { run, events } = await engine.finish()
  const call_id = eventsOfType(events, 'tool.call')[0]?.call_id
  expect(log.lines()).toMatchObject([
    {
      level: 'info',
      message: 'cache missed',
      fields: { fields: { size: 3 }, tool: 'chatty', call_id, run_id: run.id },
    },
  ])
})

test.each([
  { force: true, agentForce: false },
  { force: undefined, agentForce: true },
])(
  'at max_steps an answer is forced without calls: request $force, agent $agentForce',
  async ({ force, agentForce }) => {
    const model = scriptedModel((request) =>
      request.toolChoice === 'none' ? 'Two, I think.' : { toolCalls: [call('add', { a: 1, b: 1 })] },
    )
    const engine = await startEngine({ model, agent: { tools: [add], maxSteps: 2, forceAnswer: agentForce } })
    const { run, events, text } = await engine.finish({
      options: { tool_choice: 'required', ...(force === undefined ? {} : { force_answer: force }) },
    })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'max_steps', steps: 3 })
    expect(text).toBe('Two, I think.')
    expect(events.at(-1)).toMatchObject({ type: 'run.end', forced: true, stop_reason: 'max_steps' })
    expect(eventsOfType(events, 'warning')).toMatchObject([{ code: 'max_steps' }])
    expect(model.calls.map(({ toolChoice }) => toolChoice)).toEqual(['required', 'required', 'none'])
    expect(model.calls.map(({ tools }) => tools.length)).toEqual([1, 1, 1])
  },
)

test('a tool that is called in place of a forced answer does not run, and later requests say so', async () => {
  const model = scriptedModel([
    { toolCalls: [call('add', { a: 1, b: 1 })] },
    { text: 'Once more.', toolCalls: [call('add', { a: 2, b: 2 })] },
    'Well.',
  ])
  const engine = await startEngine({ model, agent: { tools: [add], maxSteps: 1 } })
  const conversation = { session: 's' }
  const { run, events, text } = await engine.finish({ input: 'one', conversation })
  expect(run).toMatchObject({ status: 'completed', stop_reason: 'max_steps', forced: true, steps: 2 })
  expect(text).toBe('Once more.')
  expect(eventsOfType(events, 'tool.end')).toMatchObject([
    { output: '2' },
    { error: { code: 'tool_refused' }, duration_ms: 0 },
  ])
  expect(events.at(-1)?.type).toBe('run.end')
  await engine.finish({ input: 'two', conversation })
  expect(transcript(model.calls[2]).slice(-5)).toEqual([
    'result 2',
    'assistant: Once more.',
    'call add {"a":2,"b":2}',
    'result Error: The call was not carried out: the reply was taken as an answer alone.',
    'user: two',
  ])
})

test('an agent without tools is told in messages what others called', async () => {
  const conversation = { session: 's' }
  const model = scriptedModel([{ toolCalls: [call('add', { a: 1, b: 1 })] }, 'Two.', 'Two it was.'])
  const seen = vi.fn()
  const hooks = { beforeModel: ({ items }: ModelRequest) => void seen(items.map(({ type }) => type)) }
  const agents = [agent({ name: 'adds', model, tools: [add] }), agent({ name: 'other', model, hooks })]
  const engine = await startEngine({ agents })
  await engine.finish({ agent: 'adds', input: 'one', conversation })
  await engine.finish({ agent: 'other', input: 'two', conversation })
  expect(transcript(model.calls[2])).toEqual([
    'user: one',
    'assistant: [calls add: {"a":1,"b":1}]',
    'user: [add answered: 2]',
    'assistant: Two.',
    'user: two',
  ])
  // Hooks know results from what people say.
  expect(seen.mock.calls).toEqual([[['message', 'tool_call', 'tool_result', 'message', 'message']]])
})

test('at max_steps without a forced answer the run ends with what the last step said', async () => {
  const model = scriptedModel([{ text: 'Working on it.', toolCalls: [call('add', { a: 1, b: 1 })] }])
  const engine = await startEngine({ model, agent: { tools: [add], maxSteps: 1 } })
  const { run, events, text } = await engine.finish({ options: { force_answer: false } })
  expect(run).toMatchObject({ status: 'completed', stop_reason: 'max_steps', steps: 1 })
  expect(text).toBe('Working on it.')
  expect(events.at(-1)).not.toHaveProperty('forced')
  expect(eventsOfType(events, 'warning')).toMatchObject([{ code: 'max_steps' }])
})

test('max_steps 0 asks once without tools, or not at all', async () => {
  const model = scriptedModel(['Straight away.'])
  const engine = await startEngine({ model, agent: { tools: [add] } })
  const forced = await engine.finish({ options: { max_steps: 0 } })
  expect(forced).toMatchObject({ text: 'Straight away.', run: { stop_reason: 'max_steps', steps: 1 } })
  const empty = await engine.finish({ options: { max_steps: 0, force_answer: false } })
  expect(empty).toMatchObject({ text: '', run: { status: 'completed', stop_reason: 'max_steps', steps: 0 } })
  expect(empty.types).toEqual(['run.start', 'warning', 'run.end'])
  expect(model.calls).toHaveLength(1)
})

test.each([
  { finishReason: 'length' as const, stop: 'max_output_tokens' },
  { finishReason: 'content_filter' as const, stop: 'content_filter' },
  { finishReason: 'other' as const, stop: 'final' },
])('a reply that ends with $finishReason ends the run with $stop', async ({ finishReason, stop }) => {
  const engine = await startEngine({ model: scriptedModel([{ text: 'As far as', finishReason }]) })
  const { run, text, events } = await engine.finish()
  expect(run).toMatchObject({ status: 'completed', stop_reason: stop, error: null })
  expect(text).toBe('As far as')
  expect(eventsOfType(events, 'warning').map(({ code }) => code)).toEqual(
    stop === 'content_filter' ? ['content_filter'] : [],
  )
})

test('an empty reply is an empty answer', async () => {
  const engine = await startEngine({ model: scriptedModel([{ parts: [] }]) })
  const { run, text, events } = await engine.finish()
  expect(run).toMatchObject({ status: 'completed', stop_reason: 'final', output: [] })
  expect(text).toBe('')
  expect(eventsOfType(events, 'step.end')[0]?.timings.first_token).toBeNull()
})

test('settings of a request reach the model over those of the agent', async () => {
  const model = scriptedModel(['ok'])
  const engine = await startEngine({
    model,
    agent: { settings: { temperature: 0.1, seed: 1, maxOutputTokens: 9 } },
  })
  await engine.finish({
    options: {
      temperature: 0.9,
      top_p: 0.5,
      max_output_tokens: 5,
      stop: ['X'],
      seed: 3,
      reasoning_effort: 'low',
      parallel_tool_calls: false,
      output_schema: { type: 'object' },
      tool_choice: 'none',
    },
  })
  expect(model.calls[0]).toMatchObject({
    settings: {
      temperature: 0.9,
      topP: 0.5,
      maxOutputTokens: 5,
      stop: ['X'],
      seed: 3,
      reasoningEffort: 'low',
      parallelToolCalls: false,
    },
    outputSchema: { type: 'object' },
    toolChoice: 'none',
  })
})
