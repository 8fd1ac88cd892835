import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel, type ScriptedReply, type ScriptedToolCall } from '../../src/models/scripted.ts'
import type { RunRecord } from '../../src/store/store.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import {
  advanceUntil,
  eventsOfType,
  nextOfType,
  principal,
  startEngine,
  transcript,
  typesOf,
  type EngineUnderTest,
} from '../agent/engine-under-test.ts'

function sendTool(sent: string[], options: { timeoutMs?: number } = {}) {
  return tool({
    name: 'send',
    description: 'Sends.',
    input: z.object({ to: z.string() }),
    approval: 'required',
    ...options,
    execute: ({ to }) => {
      sent.push(to)
      return `sent to ${to}`
    },
  })
}
const read = tool({ name: 'read', description: 'Reads.', effect: 'read', execute: () => 'was read' })
const send = (to: string): ScriptedToolCall => ({ name: 'send', arguments: { to } })
const call = (name: string): ScriptedToolCall => ({ name, arguments: {} })
const theirs = { name: 'theirs', description: 'Runs at the caller.', parameters: { type: 'object' } }

async function suspended(toolCalls: ScriptedToolCall[], ...rest: ScriptedReply[]) {
  const sent: string[] = []
  const model = scriptedModel([{ toolCalls }, ...(rest.length > 0 ? rest : ['Done.'])])
  const engine = await startEngine({ model, agent: { tools: [sendTool(sent), read] } })
  const { run, events } = await engine.finish({
    conversation: { session: 's' },
    options: { tools: [theirs], on_caller_tool: 'suspend' },
  })
  return { engine, model, run, events, sent, approvals: await engine.runs.pendingApprovals(run) }
}

/** Reads on from where the run was suspended to where it settles again. */
async function goesOn(engine: EngineUnderTest, run: RunRecord) {
  const events = await engine.events(await engine.load(run), run.last_seq)
  return { events, run: await engine.load(run) }
}

const decide = (
  engine: EngineUnderTest,
  id: string | undefined,
  decision: Parameters<EngineUnderTest['approvals']['decide']>[2],
) => engine.approvals.decide(anonymous, id ?? '', decision)

describe('a call that needs approval', () => {
  test('suspends the run, after the other calls have run', async () => {
    const { run, events, sent, approvals } = await suspended([call('read'), send('ada'), call('read')])
    expect(run.status).toBe('suspended')
    expect(sent).toEqual([])
    expect(typesOf(events).slice(-3)).toEqual(['tool.end', 'tool.end', 'run.suspend'])
    expect(eventsOfType(events, 'run.suspend')).toMatchObject([
      {
        approvals: [{ tool: 'send', arguments: { to: 'ada' }, reason: 'policy', id: approvals[0]?.id }],
        tool_calls: [],
      },
    ])
    expect(approvals).toMatchObject([{ status: 'pending', decision: null }])
  })

  test('approved: runs once, and the model goes on with all results in call order', async () => {
    const { engine, model, run, sent, approvals } = await suspended([call('read'), send('ada'), call('read')])
    const approval = await decide(engine, approvals[0]?.id, { decision: 'approve' })
    expect(approval).toMatchObject({ status: 'approved', decision: { by: 'anonymous' } })
    const after = await goesOn(engine, run)
    expect(sent).toEqual(['ada'])
    expect(typesOf(after.events)).toEqual([
      'approval.resolve',
      'run.start',
      'tool.end',
      'step.start',
      'text.start',
      'text.delta',
      'text.end',
      'step.end',
      'run.end',
    ])
    expect(eventsOfType(after.events, 'run.start')[0]?.attempt).toBeGreaterThan(1)
    expect(after.run).toMatchObject({ status: 'completed', steps: 2 })
    expect(transcript(model.calls[1]).slice(-3)).toEqual([
      'result was read',
      'result sent to ada',
      'result was read',
    ])
    expect(await engine.store.ledger.ofRun(run.id)).toMatchObject([
      { index: 0, approval_id: null },
      { index: 1, approval_id: approvals[0]?.id, state: 'committed' },
      { index: 2, approval_id: null },
    ])
  })

  test('rejected: never runs, and the model is told by whom it was not wanted, with the reason', async () => {
    const { engine, model, run, sent, approvals } = await suspended([send('ada')])
    await decide(engine, approvals[0]?.id, { decision: 'reject', reason: 'She is on holiday.' })
    const after = await goesOn(engine, run)
    expect(sent).toEqual([])
    expect(after.run.status).toBe('completed')
    expect(eventsOfType(after.events, 'tool.end')[0]?.error?.code).toBe('tool_rejected')
    expect(transcript(model.calls[1]).at(-1)).toBe(
      'result Error: A person rejected this call. Reason: She is on holiday.',
    )
    expect(await engine.store.ledger.ofRun(run.id)).toEqual([])
  })

  test('rejected without a reason', async () => {
    const { engine, model, run, approvals } = await suspended([send('ada')])
    await decide(engine, approvals[0]?.id, { decision: 'reject' })
    await goesOn(engine, run)
    expect(transcript(model.calls[1]).at(-1)).toBe('result Error: A person rejected this call.')
  })

  test('approved with edited arguments: those run', async () => {
    const { engine, run, sent, approvals } = await suspended([send('ada')])
    await decide(engine, approvals[0]?.id, { decision: 'approve', arguments: { to: 'bob' } })
    const after = await goesOn(engine, run)
    expect(sent).toEqual(['bob'])
    expect(eventsOfType(after.events, 'approval.resolve')).toMatchObject([{ arguments: { to: 'bob' } }])
  })

  test('edited arguments that do not fit are refused, and the approval stays open', async () => {
    const { engine, run, sent, approvals } = await suspended([send('ada')])
    await expect(
      decide(engine, approvals[0]?.id, { decision: 'approve', arguments: { to: 7 } }),
    ).rejects.toMatchObject({ code: 'invalid_request', locations: [{ path: ['body', 'arguments'] }] })
    expect((await engine.load(run)).status).toBe('suspended')
    await decide(engine, approvals[0]?.id, { decision: 'approve' })
    await goesOn(engine, run)
    expect(sent).toEqual(['ada'])
  })

  test('a second decision is approval_decided, and says who was first', async () => {
    const { engine, run, approvals } = await suspended([send('ada')])
    await decide(engine, approvals[0]?.id, { decision: 'approve' })
    await expect(decide(engine, approvals[0]?.id, { decision: 'reject' })).rejects.toMatchObject({
      code: 'approval_decided',
      details: { status: 'approved', by: 'anonymous' },
    })
    await goesOn(engine, run)
  })

  test('two decisions at once: one wins', async () => {
    const { engine, run, sent, approvals } = await suspended([send('ada')])
    const results = await Promise.allSettled([
      decide(engine, approvals[0]?.id, { decision: 'approve' }),
      decide(engine, approvals[0]?.id, { decision: 'approve' }),
    ])
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
    await goesOn(engine, run)
    expect(sent).toEqual(['ada'])
  })

  test('several: the run goes on when the last is decided', async () => {
    const { engine, model, run, sent, approvals } = await suspended([send('ada'), send('bob'), send('cyd')])
    expect(approvals).toHaveLength(3)
    await decide(engine, approvals[2]?.id, { decision: 'approve' })
    await decide(engine, approvals[0]?.id, { decision: 'reject' })
    expect((await engine.load(run)).status).toBe('suspended')
    expect(sent).toEqual([])
    await decide(engine, approvals[1]?.id, { decision: 'approve' })
    await goesOn(engine, run)
    expect(sent.toSorted()).toEqual(['bob', 'cyd'])
    expect(transcript(model.calls[1]).slice(-3)).toEqual([
      'result Error: A person rejected this call.',
      'result sent to bob',
      'result sent to cyd',
    ])
  })

  test('again in the next step: the run is suspended again', async () => {
    const { engine, run, sent, approvals } = await suspended(
      [send('ada')],
      { toolCalls: [send('bob')] },
      'Done.',
    )
    await decide(engine, approvals[0]?.id, { decision: 'approve' })
    const second = await goesOn(engine, run)
    expect(second.run.status).toBe('suspended')
    const [next] = await engine.runs.pendingApprovals(second.run)
    expect(next?.arguments).toEqual({ to: 'bob' })
    await decide(engine, next?.id, { decision: 'approve' })
    const last = await goesOn(engine, second.run)
    expect(last.run).toMatchObject({ status: 'completed', steps: 3 })
    expect(sent).toEqual(['ada', 'bob'])
    const all = await engine.events(last.run)
    expect(eventsOfType(all, 'run.suspend')).toHaveLength(2)
    expect(eventsOfType(all, 'run.end')).toHaveLength(1)
  })

  test('a policy decides by the arguments', async () => {
    const sent: string[] = []
    const picky = tool({
      name: 'send',
      description: 'Sends.',
      input: z.object({ to: z.string() }),
      approval: ({ to }, { principal: who }) => to === 'stranger' && who.owner === 'anonymous',
      execute: ({ to }) => sent.push(to),
    })
    const model = scriptedModel([{ toolCalls: [send('friend')] }, { toolCalls: [send('stranger')] }])
    const engine = await startEngine({ model, agent: { tools: [picky] } })
    const { run } = await engine.finish()
    expect(run).toMatchObject({ status: 'suspended', steps: 2 })
    expect(sent).toEqual(['friend'])
  })

  test('approved but timed out: outcome_unknown, like any write', async () => {
    const clock = createFakeClock()
    const hang = tool({
      name: 'send',
      description: 'Hangs.',
      approval: 'required',
      timeoutMs: 1_000,
      execute: () => new Promise(() => {}),
    })
    const engine = await startEngine({
      model: scriptedModel([{ toolCalls: [call('send')] }, 'ok']),
      clock,
      agent: { tools: [hang] },
    })
    const { run } = await engine.finish()
    const [approval] = await engine.runs.pendingApprovals(run)
    await decide(engine, approval?.id, { decision: 'approve' })
    const after = await advanceUntil(clock, goesOn(engine, run))
    expect(eventsOfType(after.events, 'tool.end')[0]?.error?.code).toBe('outcome_unknown')
  })

  test('what nobody decides in time expires: it never runs, and the model is told', async () => {
    const clock = createFakeClock()
    const sent: string[] = []
    const model = scriptedModel([{ toolCalls: [send('ada')] }, 'Too late.'])
    const engine = await startEngine({
      model,
      clock,
      agent: { tools: [sendTool(sent)], approvalTimeoutMs: 30_000 },
    })
    const { run, events } = await engine.finish()
    expect(eventsOfType(events, 'run.suspend')[0]?.approvals[0]?.expires_at).toBe(
      new Date(clock.now() + 30_000).toISOString(),
    )
    const [approval] = await engine.runs.pendingApprovals(run)
    const after = await advanceUntil(clock, goesOn(engine, run), 1_000)
    expect(after.run.status).toBe('completed')
    expect(eventsOfType(after.events, 'approval.resolve')).toMatchObject([{ decision: 'expire' }])
    expect(eventsOfType(after.events, 'tool.end')[0]?.error?.code).toBe('tool_expired')
    expect(transcript(model.calls[1]).at(-1)).toBe('result Error: Nobody approved this call in time.')
    expect(sent).toEqual([])
    await expect(decide(engine, approval?.id, { decision: 'approve' })).rejects.toMatchObject({
      code: 'approval_decided',
      details: { status: 'expired' },
    })
  })

  test('an agent may let approvals wait for ever', async () => {
    const engine = await startEngine({
      model: scriptedModel([{ toolCalls: [send('ada')] }]),
      agent: { tools: [sendTool([])], approvalTimeoutMs: null },
    })
    const { events } = await engine.finish()
    expect(eventsOfType(events, 'run.suspend')[0]?.approvals[0]?.expires_at).toBeNull()
  })
})

describe('a reader of a suspended run', () => {
  test('that comes back after the suspension gets what follows', async () => {
    const { engine, run, approvals } = await suspended([send('ada')])
    const reader = engine.runs.read({ run, after: run.last_seq })
    const end = nextOfType(reader, 'run.end')
    await decide(engine, approvals[0]?.id, { decision: 'approve' })
    expect(await end).toMatchObject({ status: 'completed' })
    reader.detach('server')
  })

  test('that begins anew passes the suspension that is over', async () => {
    const { engine, run, events, approvals } = await suspended([send('ada')])
    await decide(engine, approvals[0]?.id, { decision: 'approve' })
    const after = await goesOn(engine, run)
    expect(await engine.events(after.run)).toEqual([...events, ...after.events])
  })
})

describe("the caller's tools", () => {
  test('suspend the run until their results come', async () => {
    const { engine, model, run, events } = await suspended([call('theirs')])
    expect(run.status).toBe('suspended')
    expect(run.pending_calls).toMatchObject([{ name: 'theirs', arguments: {} }])
    expect(eventsOfType(events, 'run.suspend')).toMatchObject([
      { approvals: [], tool_calls: run.pending_calls },
    ])
    const callId = run.pending_calls[0]?.call_id ?? ''
    await engine.runs.addToolResults(anonymous, run.id, [{ call_id: callId, output: 'from afar' }])
    const after = await goesOn(engine, run)
    expect(after.run).toMatchObject({ status: 'completed', pending_calls: [] })
    expect(typesOf(after.events).slice(0, 2)).toEqual(['tool.end', 'run.start'])
    expect(transcript(model.calls[1]).at(-1)).toBe('result from afar')
    expect(await engine.events(after.run)).toEqual([...events, ...after.events])
  })

  test('may report a failure', async () => {
    const { engine, model, run } = await suspended([call('theirs')])
    const callId = run.pending_calls[0]?.call_id ?? ''
    await engine.runs.addToolResults(anonymous, run.id, [
      { call_id: callId, output: 'broken', is_error: true },
    ])
    const after = await goesOn(engine, run)
    expect(eventsOfType(after.events, 'tool.end')[0]?.error?.code).toBe('tool_failed')
    expect(transcript(model.calls[1]).at(-1)).toBe('result broken')
  })

  test('results may come one by one', async () => {
    const { engine, model, run } = await suspended([call('theirs'), call('theirs')])
    const [first, second] = run.pending_calls
    await engine.runs.addToolResults(anonymous, run.id, [{ call_id: second?.call_id ?? '', output: 'two' }])
    expect(await engine.load(run)).toMatchObject({ status: 'suspended', pending_calls: [first] })
    await engine.runs.addToolResults(anonymous, run.id, [{ call_id: first?.call_id ?? '', output: 'one' }])
    await goesOn(engine, run)
    expect(transcript(model.calls[1]).slice(-2)).toEqual(['result one', 'result two'])
  })

  test('a call that is not awaited is call_not_found, and nothing is taken', async () => {
    const { engine, run } = await suspended([call('theirs')])
    const known = { call_id: run.pending_calls[0]?.call_id ?? '', output: 'x' }
    await expect(
      engine.runs.addToolResults(anonymous, run.id, [known, { call_id: 'call_unknown', output: 'x' }]),
    ).rejects.toMatchObject({ code: 'call_not_found', details: { call_id: 'call_unknown' } })
    expect(await engine.load(run)).toEqual(run)
    await expect(engine.runs.addToolResults(anonymous, run.id, [known, known])).rejects.toMatchObject({
      code: 'call_not_found',
    })
    expect(await engine.load(run)).toEqual(run)
  })

  test('a run that waits for nothing is run_not_suspended, one of somebody else run_not_found', async () => {
    const { engine, run } = await suspended([call('theirs')])
    const results = [{ call_id: run.pending_calls[0]?.call_id ?? '', output: 'x' }]
    await expect(engine.runs.addToolResults(principal('eve'), run.id, results)).rejects.toMatchObject({
      code: 'run_not_found',
    })
    await engine.runs.addToolResults(anonymous, run.id, results)
    await goesOn(engine, run)
    await expect(engine.runs.addToolResults(anonymous, run.id, results)).rejects.toMatchObject({
      code: 'run_not_suspended',
      details: { status: 'completed' },
    })
  })

  test('beside own tools and approvals: everybody is waited for', async () => {
    const { engine, model, run, sent, approvals } = await suspended([
      call('theirs'),
      call('read'),
      send('ada'),
      call('nobody'),
    ])
    expect(run.pending_calls).toHaveLength(1)
    expect(approvals).toHaveLength(1)
    await decide(engine, approvals[0]?.id, { decision: 'approve' })
    expect((await engine.load(run)).status).toBe('suspended')
    await engine.runs.addToolResults(anonymous, run.id, [
      { call_id: run.pending_calls[0]?.call_id ?? '', output: 'from afar' },
    ])
    const after = await goesOn(engine, run)
    expect(after.run.status).toBe('completed')
    expect(sent).toEqual(['ada'])
    expect(transcript(model.calls[1]).slice(-4)).toEqual([
      'result from afar',
      'result was read',
      'result sent to ada',
      expect.stringContaining('There is no tool named "nobody"'),
    ])
  })

  test("in the mode 'end' the run ends with client_tools, after its own tools have run", async () => {
    const model = scriptedModel([{ text: 'Over to you.', toolCalls: [call('read'), call('theirs')] }])
    const engine = await startEngine({ model, agent: { tools: [read] } })
    const { run, text, events } = await engine.finish({
      options: { tools: [theirs], on_caller_tool: 'end' },
    })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'client_tools', steps: 1 })
    expect(text).toBe('Over to you.')
    expect(typesOf(events).slice(-2)).toEqual(['tool.end', 'run.end'])
  })

  test("in the mode 'end' approvals come first", async () => {
    const sent: string[] = []
    const model = scriptedModel([{ toolCalls: [send('ada'), call('theirs')] }])
    const engine = await startEngine({ model, agent: { tools: [sendTool(sent)] } })
    const { run } = await engine.finish({ options: { tools: [theirs], on_caller_tool: 'end' } })
    expect(run).toMatchObject({ status: 'suspended', pending_calls: [] })
    const [approval] = await engine.runs.pendingApprovals(run)
    await decide(engine, approval?.id, { decision: 'approve' })
    const after = await goesOn(engine, run)
    expect(after.run).toMatchObject({ status: 'completed', stop_reason: 'client_tools' })
    expect(sent).toEqual(['ada'])
  })

  test('arguments that are not JSON reach the caller as they are', async () => {
    const { run } = await suspended([{ name: 'theirs', arguments: '{"a":' }])
    expect(run.pending_calls).toMatchObject([{ arguments: '{"a":' }])
  })
})

describe('an agent that changed while a run waited', () => {
  const base = { name: 'assistant', approvalTimeoutMs: null }
  async function restartWith(tools: Parameters<typeof agent>[0]['tools'] | 'gone') {
    const first = await startEngine({
      agents: [
        agent({ ...base, tools: [sendTool([])], model: scriptedModel([{ toolCalls: [send('ada')] }]) }),
      ],
    })
    const { run } = await first.finish()
    await first.stop()
    const model = scriptedModel(['Went on.'])
    const second = await startEngine({
      dataDir: first.dataDir,
      agents: [
        tools === 'gone' ? agent({ name: 'other', model }) : agent({ ...base, model, tools: tools ?? [] }),
      ],
    })
    const [approval] = await second.runs.pendingApprovals(run)
    await decide(second, approval?.id, { decision: 'approve' })
    return { ...(await goesOn(second, run)), model }
  }

  test('the same agent goes on as if nothing had happened', async () => {
    const sent: string[] = []
    const { run, events } = await restartWith([sendTool(sent)])
    expect(run.status).toBe('completed')
    expect(sent).toEqual(['ada'])
    expect(eventsOfType(events, 'warning')).toEqual([])
  })

  test('a model that the request chose is no change of the agent', async () => {
    let fits = true
    const moody = tool({
      name: 'send',
      description: 'Fits at first.',
      input: z.object({ to: z.string().refine(() => fits) }),
      approval: 'required',
      execute: () => 'never',
    })
    const chosen = scriptedModel([{ toolCalls: [send('ada')] }, 'ok'], { id: 'scripted/chosen' })
    const engine = await startEngine({
      model: scriptedModel([]),
      models: { chosen },
      agent: { tools: [moody], overrides: { model: true } },
    })
    const { run } = await engine.finish({ options: { model: 'chosen' } })
    const [approval] = await engine.runs.pendingApprovals(run)
    await decide(engine, approval?.id, { decision: 'approve' })
    fits = false
    const after = await goesOn(engine, run)
    expect(eventsOfType(after.events, 'tool.end')[0]?.error?.code).toBe('tool_bad_arguments')
    expect(eventsOfType(after.events, 'warning')).toEqual([])
  })

  test('a tool that is gone is a result the model reads, with a warning', async () => {
    const { run, events, model } = await restartWith([read])
    expect(run.status).toBe('completed')
    expect(eventsOfType(events, 'warning')).toMatchObject([{ code: 'agent_changed' }])
    expect(eventsOfType(events, 'tool.end')[0]?.error?.code).toBe('tool_unknown')
    expect(transcript(model.calls[0]).at(-1)).toContain('There is no tool named "send"')
  })

  test('arguments that no longer fit are a result the model reads, with a warning', async () => {
    const stricter = tool({
      name: 'send',
      description: 'Sends.',
      input: z.object({ to: z.string().length(40) }),
      approval: 'required',
      execute: () => 'never',
    })
    const { run, events } = await restartWith([stricter])
    expect(run.status).toBe('completed')
    expect(eventsOfType(events, 'warning')).toMatchObject([{ code: 'agent_changed' }])
    expect(eventsOfType(events, 'tool.end')[0]?.error?.code).toBe('tool_bad_arguments')
  })

  test('an agent that is gone fails the run', async () => {
    const { run, events } = await restartWith('gone')
    expect(run).toMatchObject({ status: 'failed', error: { code: 'agent_gone' } })
    expect(eventsOfType(events, 'run.start')).toMatchObject([{ definition: null, model: null }])
  })
})

describe('approvals of others', () => {
  test('are approval_not_found, to read, to decide, to list', async () => {
    const { engine, run, approvals } = await suspended([send('ada')])
    const id = approvals[0]?.id ?? ''
    for (const other of [principal('eve'), principal('anonymous', 'elsewhere')]) {
      await expect(engine.approvals.get(other, id)).rejects.toMatchObject({ code: 'approval_not_found' })
      await expect(engine.approvals.decide(other, id, { decision: 'approve' })).rejects.toMatchObject({
        code: 'approval_not_found',
      })
      await expect(
        engine.approvals.decide(other, id, { decision: 'approve', arguments: { to: 'eve' } }),
      ).rejects.toMatchObject({ code: 'approval_not_found' })
      expect(await engine.approvals.list(other, { limit: 10 })).toEqual({ data: [], has_more: false })
    }
    const listed = await engine.approvals.list(anonymous, { limit: 10, status: 'pending', run_id: run.id })
    expect(listed.data.map((approval) => approval.id)).toEqual([id])
  })
})

test('a sync request answers 200 with its suspension and approvals', async () => {
  const model = scriptedModel(({ items }) =>
    items.at(-1)?.type === 'tool_result' ? 'Done.' : { text: 'May I?', toolCalls: [send('ada')] },
  )
  const server = await createTestServer({
    agents: [agent({ name: 'assistant', model, tools: [sendTool([])] })],
  })
  onTestFinished(() => server.close())
  const response = await server.request('/v1/agents/assistant/runs', { body: { input: 'hi' } })
  expect(response.status).toBe(200)
  const body = (await response.json()) as { id: string; approvals: { id: string }[] }
  expect(body).toMatchObject({
    status: 'suspended',
    output: null,
    approvals: [{ tool: 'send', arguments: { to: 'ada' }, reason: 'policy' }],
  })
  const quick = await server.request('/chat', { body: { message: 'hi' } })
  expect(quick.status).toBe(200)
  await server.approvals.decide(anonymous, body.approvals[0]?.id ?? '', { decision: 'approve' })
  const done = await server.request(`/v1/runs/${body.id}/wait`)
  expect(await done.json()).toMatchObject({ status: 'completed', output: 'Done.', approvals: [] })
})
