import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { eventsOfType, startEngine, transcript } from '../agent/engine-under-test.ts'
import { decide, goesOn, read, send, sendTool } from './suspended-run.ts'

describe('an agent that changed while a run waited', () => {
  const base = { name: 'assistant', approvalTimeoutMs: null }
  async function restartWith(
    tools: Parameters<typeof agent>[0]['tools'] | 'gone',
    replies: ScriptedReply[] = ['Went on.'],
  ) {
    const first = await startEngine({
      agents: [
        agent({ ...base, tools: [sendTool([])], model: scriptedModel([{ toolCalls: [send('ada')] }]) }),
      ],
    })
    const { run } = await first.finish()
    await first.stop()
    const model = scriptedModel(replies)
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

  test('a call that is made up only later has nothing to do with the change', async () => {
    const nonsense = { toolCalls: [{ name: 'nonsense', arguments: {} }] }
    const { run, events } = await restartWith([sendTool([]), read], [nonsense, 'Went on.'])
    expect(run.status).toBe('completed')
    expect(eventsOfType(events, 'tool.end').at(-1)?.error?.code).toBe('tool_unknown')
    expect(eventsOfType(events, 'warning')).toEqual([])
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

  test('a write that was started, and whose tool is gone, may have taken effect: the model reads that', async () => {
    const write = tool({
      name: 'write',
      description: 'Writes.',
      input: z.object({ to: z.string() }),
      execute: () => 'wrote',
    })
    const calls = ['write', 'read'].map((name) => ({ name, arguments: { to: 'ada' } }))
    let results = 0
    const first = await startEngine({
      agents: [agent({ ...base, tools: [write, read], model: scriptedModel([{ toolCalls: calls }]) })],
      // Dies with the results in hand.
      onCommit: async (commit, next) => (commit.claims && results++ === 0 ? next() : 'fenced'),
    })
    const run = await first.start()
    await first.drain(10_000)
    await first.stop()
    const model = scriptedModel(['Went on.'])
    const second = await startEngine({ dataDir: first.dataDir, agents: [agent({ ...base, model })] })
    const events = await second.events(run)
    expect(await second.load(run)).toMatchObject({ status: 'completed' })
    const codes = eventsOfType(events, 'tool.end').map(({ error }) => error?.code)
    expect(codes.map(String).toSorted()).toEqual(['outcome_unknown', 'tool_unknown'])
    expect(transcript(model.calls[0]).join()).toContain('may have taken effect')
  })

  test('an agent that is gone fails the run', async () => {
    const { run, events } = await restartWith('gone')
    expect(run).toMatchObject({ status: 'failed', error: { code: 'agent_gone' } })
    expect(eventsOfType(events, 'run.start')).toMatchObject([{ definition: null, model: null }])
  })
})
