import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
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
} from '../agent/engine-under-test.ts'
import { call, decide, goesOn, send, sendTool, suspended } from './suspended-run.ts'

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
    // The decision is an attempt as well.
    expect(eventsOfType(after.events, 'run.start')[0]?.attempt).toBe(3)
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

  test('that begins anew ends behind the decisions there are, while others are awaited', async () => {
    const { engine, run, events, approvals } = await suspended([call('theirs'), send('ada'), send('bob')])
    await decide(engine, approvals[0]?.id, { decision: 'approve' })
    const decided = await engine.events(run)
    expect(typesOf(decided)).toEqual([...typesOf(events), 'approval.resolve'])
    const callId = run.pending_calls[0]?.call_id ?? ''
    await engine.runs.addToolResults(anonymous, run.id, [{ call_id: callId, output: 'from afar' }])
    expect(typesOf(await engine.events(run))).toEqual([...typesOf(decided), 'tool.end'])
    expect((await engine.load(run)).status).toBe('suspended')
  })

  test('that comes back after the suspension waits on, while only some of it is decided', async () => {
    const { engine, run, approvals } = await suspended([send('ada'), send('bob')])
    const early = engine.events(run, run.last_seq)
    await decide(engine, approvals[0]?.id, { decision: 'approve' })
    // It finds the first decision in the store.
    const late = engine.events(await engine.load(run), run.last_seq)
    await decide(engine, approvals[1]?.id, { decision: 'approve' })
    expect(typesOf(await early).slice(0, 3)).toEqual(['approval.resolve', 'approval.resolve', 'run.start'])
    expect((await early).at(-1)?.type).toBe('run.end')
    expect(await late).toEqual(await early)
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

test('a repeat of a sync request answers 200 with what is still to be decided', async () => {
  const model = scriptedModel(() => ({ toolCalls: [send('ada'), send('bob')] }))
  const server = await createTestServer({
    agents: [agent({ name: 'assistant', model, tools: [sendTool([])] })],
  })
  onTestFinished(() => server.close())
  for (const [path, body] of [
    ['/v1/agents/assistant/runs', { input: 'hi' }],
    ['/chat', { message: 'hi' }],
  ] as const) {
    const ask = async () => {
      const response = await server.request(path, { body, headers: { 'idempotency-key': 'once' } })
      return { status: response.status, body: (await response.json()) as { approvals: { id: string }[] } }
    }
    const first = await ask()
    const [ada, bob] = first.body.approvals
    await server.approvals.decide(anonymous, ada?.id ?? '', { decision: 'approve' })
    expect(await ask()).toMatchObject({ status: 200, body: { status: 'suspended', approvals: [bob] } })
  }
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
