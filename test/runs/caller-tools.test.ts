import { describe, expect, test, vi } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { createId } from '../../src/ids.ts'
import type { Item } from '../../src/items.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import {
  advanceUntil,
  eventsOfType,
  principal,
  startEngine,
  transcript,
  typesOf,
} from '../agent/engine-under-test.ts'
import { call, decide, goesOn, read, send, sendTool, suspended, theirs } from './suspended-run.ts'

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
      details: { run_status: 'completed' },
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

  test("in the mode 'end' the conversation's next runs bring the results, as far back as a turn goes", async () => {
    const asks = { toolCalls: [call('theirs')] }
    const model = scriptedModel(['Hi.', asks, asks, asks, 'All in.'])
    const engine = await startEngine({ model, agent: { history: { maxTurns: 1 } } })
    const inSession = { conversation: { session: 's' }, options: { tools: [theirs] } }
    await engine.finish({ ...inSession, input: 'hello' })
    let asking = (await engine.finish({ ...inSession, input: 'look three times' })).run
    for (const output of ['one', 'two', 'three']) {
      const called = (await engine.items(asking)).findLast(({ item }) => item.type === 'tool_call')
      const call_id = called?.item.type === 'tool_call' ? called.item.call_id : ''
      const input: Item[] = [{ type: 'tool_result', id: createId('item'), call_id, output }]
      asking = (await engine.finish({ ...inSession, input })).run
    }
    expect(asking.stop_reason).toBe('final')
    expect(transcript(model.calls.at(-1))).toEqual([
      'user: hello',
      'assistant: Hi.',
      'user: look three times',
      'call theirs {}',
      'result one',
      'call theirs {}',
      'result two',
      'call theirs {}',
      'result three',
    ])
  })

  test("in the mode 'end' results go to whoever asked for them, without another choice", async () => {
    const model = scriptedModel([{ toolCalls: [call('theirs')] }, 'Found it.'])
    const finder = agent({ name: 'finder', model })
    const other = agent({ name: 'other', model: scriptedModel([]) })
    const by = vi.fn((input: string) => (input === 'find it' ? 'finder' : 'other'))
    const router = agent({ name: 'router', model, specialists: [finder, other], routing: { by } })
    const engine = await startEngine({ agents: [router] })
    const inSession = { agent: 'router', conversation: { session: 's' }, options: { tools: [theirs] } }
    const { run } = await engine.finish({ ...inSession, input: 'find it' })
    const called = (await engine.items(run)).find(({ item }) => item.type === 'tool_call')?.item
    const call_id = called?.type === 'tool_call' ? called.call_id : ''
    const input: Item[] = [{ type: 'tool_result', id: createId('item'), call_id, output: 'here' }]
    expect((await engine.finish({ ...inSession, input })).text).toBe('Found it.')
    expect(by).toHaveBeenCalledTimes(1)
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

  test('results that do not come in time: the model is told, and the conversation goes on', async () => {
    const clock = createFakeClock()
    const sent: string[] = []
    const model = scriptedModel([{ toolCalls: [call('theirs'), send('ada'), call('theirs')] }, 'Too late.'])
    const engine = await startEngine({
      model,
      clock,
      agent: { tools: [sendTool(sent)], approvalTimeoutMs: 30_000 },
    })
    const conversation = { session: 's' }
    const { run } = await engine.finish({
      conversation,
      options: { tools: [theirs], on_caller_tool: 'suspend' },
    })
    const [approval] = await engine.runs.pendingApprovals(run)
    await decide(engine, approval?.id, { decision: 'approve' })
    const [early, late] = run.pending_calls.map(({ call_id }) => ({ call_id, output: 'from afar' }))
    await engine.runs.addToolResults(anonymous, run.id, [early!])
    const after = await advanceUntil(clock, goesOn(engine, run), 1_000)
    expect(after.run).toMatchObject({ status: 'completed', pending_calls: [] })
    expect(eventsOfType(after.events, 'tool.end').map(({ error }) => error?.code)).toEqual([
      undefined,
      'tool_expired',
      undefined,
    ])
    expect(sent).toEqual(['ada'])
    expect(transcript(model.calls[1]).slice(-3)).toEqual([
      'result from afar',
      'result sent to ada',
      'result Error: The caller gave no result of this call in time. It may have taken effect.',
    ])
    await expect(engine.runs.addToolResults(anonymous, run.id, [late!])).rejects.toMatchObject({
      code: 'run_not_suspended',
    })
    const next = await engine.conversations.findSession(anonymous, 's')
    expect(next.holder_run_id).toBeNull()
  })

  test('a result that comes while the time is over stands, and the others expire', async () => {
    const clock = createFakeClock()
    const model = scriptedModel([{ toolCalls: [call('theirs'), call('theirs')] }, 'Went on.'])
    let first = true
    const engine = await startEngine({
      model,
      clock,
      agent: { approvalTimeoutMs: 30_000 },
      wrapStore: (store) => ({
        ...store,
        runs: {
          ...store.runs,
          async overdue(input) {
            const runs = await store.runs.overdue(input)
            for (const { id, pending_calls } of first ? runs : []) {
              first = false
              const results = [{ call_id: pending_calls[0]?.call_id ?? '', output: 'just in time' }]
              await engine.runs.addToolResults(anonymous, id, results)
            }
            return runs
          },
        },
      }),
    })
    const { run } = await engine.finish({ options: { tools: [theirs], on_caller_tool: 'suspend' } })
    await advanceUntil(clock, goesOn(engine, run), 1_000)
    expect(transcript(model.calls[1]).slice(-2)).toEqual([
      'result just in time',
      'result Error: The caller gave no result of this call in time. It may have taken effect.',
    ])
  })

  test('an agent may let them wait for ever', async () => {
    const clock = createFakeClock()
    const engine = await startEngine({
      model: scriptedModel([{ toolCalls: [call('theirs')] }]),
      clock,
      agent: { approvalTimeoutMs: null },
    })
    const { run } = await engine.finish({ options: { tools: [theirs], on_caller_tool: 'suspend' } })
    const forever = { now: Number.MAX_SAFE_INTEGER, limit: 1 }
    expect(await engine.store.runs.overdue(forever)).toEqual([])
    expect((await engine.load(run)).status).toBe('suspended')
  })

  test('arguments that are not JSON reach the caller as they are', async () => {
    const { run } = await suspended([{ name: 'theirs', arguments: '{"a":' }])
    expect(run.pending_calls).toMatchObject([{ arguments: '{"a":' }])
  })
})
