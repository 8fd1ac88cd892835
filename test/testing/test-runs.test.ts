import { expect, onTestFinished, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { assertEvents } from '../../src/testing/assert-events.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { createTestServer, type TestServerOptions } from '../../src/testing/test-server.ts'
import { z } from 'zod'

async function serving(options: TestServerOptions) {
  const server = await createTestServer(options)
  onTestFinished(() => server.close())
  return server
}

const add = tool({
  name: 'add',
  description: 'Adds.',
  input: z.object({ a: z.number(), b: z.number() }),
  effect: 'read',
  execute: ({ a, b }) => {
    if (a > 100) throw new Error('too much')
    return a + b
  },
})
const send = tool({
  name: 'send',
  description: 'Sends.',
  input: z.object({ to: z.string() }),
  approval: 'required',
  execute: ({ to }) => `sent to ${to}`,
})

function assistant(replies: ScriptedReply[]) {
  return agent({ name: 'assistant', model: scriptedModel(replies), tools: [add, send] })
}

const call = (name: string, given: Record<string, unknown>) => ({ name, arguments: given })

test('a run gives its record, its log, its answer and its tool calls', async () => {
  const server = await serving({
    agents: [
      assistant([{ toolCalls: [call('add', { a: 1, b: 2 }), call('add', { a: 101, b: 0 })] }, 'It is 3.']),
    ],
  })
  const { run, events, text, toolCalls } = await server.run('1 + 2?')
  expect(run).toMatchObject({
    status: 'completed',
    agent: 'assistant',
    steps: 2,
    owner: server.principal.owner,
  })
  expect(text).toBe('It is 3.')
  expect(toolCalls).toEqual([
    { call_id: expect.stringMatching(/^call_/), name: 'add', arguments: { a: 1, b: 2 }, output: '3' },
    {
      call_id: expect.stringMatching(/^call_/),
      name: 'add',
      arguments: { a: 101, b: 0 },
      output: expect.any(String),
      error: { code: 'tool_failed', message: expect.any(String) },
    },
  ])
  assertEvents(events, ['run.start', '...', { type: 'run.end', status: 'completed', steps: 2 }])
  expect(events.map((event) => ('seq' in event ? event.seq : 0))).toEqual(events.map((_, i) => i + 1))
})

test('runs of one session know each other', async () => {
  const model = scriptedModel(['Hello Ada.', 'You are Ada.'])
  const server = await serving({ model })
  await server.run('I am Ada.', { conversation: { session: 'ada' } })
  const { text } = await server.run('Who am I?', { conversation: { session: 'ada' } })
  expect(text).toBe('You are Ada.')
  expect(model.calls[1]!.items).toHaveLength(3)
})

test('a run names its agent, its options and who asks', async () => {
  const other = agent({ name: 'other', model: scriptedModel(['Other.']) })
  const server = await serving({ agents: [assistant([]), other] })
  const principal = { owner: 'ada', namespace: 'n', name: 'ada' }
  const options = { metadata: { a: 'b' } }
  const { run, text } = await server.run('hi', { agent: 'other', principal, options })
  expect([text, run.owner, run.namespace, run.options]).toEqual(['Other.', 'ada', 'n', options])
  await expect(server.runs.get(server.principal, run.id)).rejects.toMatchObject({ code: 'run_not_found' })
  await expect(server.run('hi', { agent: 'none' })).rejects.toMatchObject({ code: 'agent_not_found' })
})

test('a failed run is given as one that ended, with its error', async () => {
  const server = await serving({
    model: scriptedModel([{ text: 'Half', error: { code: 'model_auth_failed' } }]),
  })
  const { run, events } = await server.run('hi')
  expect(run).toMatchObject({ status: 'failed', error: { code: 'model_auth_failed' } })
  assertEvents(events, [
    'run.start',
    'step.start',
    'text.start',
    'text.delta',
    { type: 'text.end', partial: true },
    '...',
    'run.end',
  ])
})

test('a run that waits for a person is given as it waits, and goes on once that is decided', async () => {
  const server = await serving({
    agents: [assistant([{ toolCalls: [call('send', { to: 'ada' }), call('send', { to: 'bob' })] }, 'Done.'])],
  })
  const asked = await server.run('Write to both.')
  expect(asked.run.status).toBe('suspended')
  expect(asked.toolCalls.map(({ output }) => output)).toEqual([undefined, undefined])
  assertEvents(asked.events, [
    '...',
    { type: 'run.suspend', approvals: [{ tool: 'send' }, { tool: 'send' }] },
  ])

  const { run, text, toolCalls, events } = await server.decide(asked.run, { decision: 'approve' })
  expect([run.id, run.status, text]).toEqual([asked.run.id, 'completed', 'Done.'])
  expect(toolCalls.map(({ output }) => output)).toEqual(['sent to ada', 'sent to bob'])
  assertEvents(events, ['...', 'run.suspend', 'approval.resolve', 'approval.resolve', '...', 'run.end'])
  await expect(server.decide(run, { decision: 'approve' })).rejects.toMatchObject({
    code: 'run_not_suspended',
  })
})

test('a rejection is told to the model as the result of the call', async () => {
  const server = await serving({
    agents: [assistant([{ toolCalls: [call('send', { to: 'ada' })] }, 'Not sent.'])],
  })
  const asked = await server.run('Write.')
  const { text, toolCalls } = await server.decide(asked.run, { decision: 'reject', reason: 'too late' })
  expect(text).toBe('Not sent.')
  expect(toolCalls[0]).toMatchObject({
    error: { code: 'tool_rejected' },
    output: expect.stringContaining('too late'),
  })
})

test('each approval may be decided in its own way', async () => {
  const server = await serving({
    agents: [assistant([{ toolCalls: [call('send', { to: 'ada' }), call('send', { to: 'eve' })] }, 'Done.'])],
  })
  const asked = await server.run('Write to both.')
  const { toolCalls } = await server.decide(asked.run, ({ arguments: given }) => ({
    decision: (given as { to: string }).to === 'ada' ? 'approve' : 'reject',
  }))
  expect(toolCalls.map(({ error }) => error?.code)).toEqual([undefined, 'tool_rejected'])
})

test('a question of a tool is answered', async () => {
  const paint = tool({
    name: 'paint',
    description: 'Paints.',
    execute: async (_input, { ask }) => {
      const answer = await ask({ message: 'Which colour?' })
      return answer.action === 'accept' ? `painted ${String(answer.content)}` : 'not painted'
    },
  })
  const model = scriptedModel([{ toolCalls: [call('paint', {})] }, 'Done.'])
  const server = await serving({ agents: [agent({ name: 'assistant', model, tools: [paint] })] })
  const asked = await server.run('Paint it.')
  assertEvents(asked.events, [
    '...',
    { type: 'run.suspend', approvals: [{ question: { message: 'Which colour?' } }] },
  ])
  const { toolCalls } = await server.decide(asked.run, { decision: 'answer', answer: 'blue' })
  expect(toolCalls).toMatchObject([{ output: 'painted blue' }])
})

test('a live run is reached at an event, and cancelled there', async () => {
  const gate = Promise.withResolvers<void>()
  const model = scriptedModel([
    { text: ['Once', ' upon'], gate: (i) => (i === 1 ? gate.promise : undefined) },
  ])
  const server = await serving({ model })
  const live = await server.start('A story!')
  expect(await live.reach('text.delta')).toMatchObject({ delta: 'Once' })
  expect(await live.reach('run.start')).toMatchObject({ run_id: live.id })
  expect(live.events.at(-1)).toMatchObject({ type: 'text.delta' })
  const { run, text } = await live.cancel('enough')
  expect(run).toMatchObject({ status: 'cancelled', cancel: { reason: 'enough' } })
  expect(text).toBe('Once')
  expect(model.aborted).toBe(1)
})

test('an event that never comes is told with those that came, early and late', async () => {
  const server = await serving({ model: scriptedModel(['Hi.']) })
  const live = await server.start('hi')
  const message = /without tool\.call: run\.start, step\.start, .*run\.end$/
  await expect(live.reach('tool.call')).rejects.toThrow(message)
  await live.end()
  await expect(live.reach('tool.call')).rejects.toThrow(message)
})

test('calls of a try that was thrown away are not among the tool calls', async () => {
  const clock = createFakeClock()
  const add1 = call('add', { a: 1, b: 1 })
  const model = scriptedModel([
    { toolCalls: [add1] },
    {
      toolCalls: [call('add', { a: 9, b: 9 }), call('add', { a: 8, b: 8 })],
      error: { code: 'model_unavailable', after: 3 },
    },
    { toolCalls: [call('add', { a: 2, b: 2 })] },
    'Done.',
  ])
  const server = await serving({ agents: [agent({ name: 'assistant', model, tools: [add] })], clock })
  const { toolCalls, events } = await clock.advanceUntil(server.run('go'))
  assertEvents(events, ['...', 'step.retry', '...', 'run.end'])
  expect(toolCalls.map(({ output }) => output)).toEqual(['2', '4'])
})

test('a server on a fake clock closes although a run hangs', async () => {
  const clock = createFakeClock()
  const deaf = tool({ name: 'deaf', description: 'Hears no signal.', execute: () => new Promise(() => {}) })
  const model = scriptedModel([{ toolCalls: [call('deaf', {})] }])
  const server = await createTestServer({
    agents: [agent({ name: 'assistant', model, tools: [deaf] })],
    clock,
  })
  const live = await server.start('go')
  await live.reach('step.end')
  const never = expect(live.end()).rejects.toThrow('the server was closed before the run')
  await server.close()
  await never
  expect(server.gauges()).toMatchObject({ activeRuns: 0, readers: 0 })
})
