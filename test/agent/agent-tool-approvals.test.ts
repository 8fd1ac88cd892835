import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import type { RunRecord } from '../../src/store/store.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import {
  advanceUntil,
  eventsOfType,
  startEngine,
  transcript,
  type EngineUnderTest,
} from './engine-under-test.ts'
import { ask, boss, call, helper, shownTypes } from './team.ts'

/** A tool that needs a person's word, and what it did. */
function payTool(paid: unknown[] = []) {
  return tool({
    name: 'pay',
    description: 'Pays.',
    input: z.object({ amount: z.number() }),
    approval: 'required',
    execute: ({ amount }, { idempotencyKey }) => {
      paid.push(amount)
      return `paid ${amount} (${idempotencyKey === '' ? 'no key' : 'with a key'})`
    },
  })
}

const pending = async (engine: EngineUnderTest, run: RunRecord) =>
  (await engine.store.approvals.ofRun(run.id)).filter(({ status }) => status === 'pending')

/** Decides, and reads on to where the run settles again. */
async function decideAndRead(
  engine: EngineUnderTest,
  run: RunRecord,
  decision: Parameters<EngineUnderTest['approvals']['decide']>[2],
) {
  const [approval] = await pending(engine, run)
  const { last_seq } = await engine.load(run)
  await engine.approvals.decide(anonymous, approval?.id ?? '', decision)
  const events = await engine.events(run, last_seq)
  return { events, run: await engine.load(run) }
}

function bank() {
  const paid: unknown[] = []
  const model = scriptedModel([{ text: 'Paying.', toolCalls: [call('pay', { amount: 5 })] }, 'It is paid.'])
  const asking = scriptedModel([{ toolCalls: [ask('teller', 'Pay 5.')] }, 'All done.'])
  return {
    paid,
    model,
    asking,
    agents: [boss(asking, [helper('teller', model, { tools: [payTool(paid)] })])],
  }
}

describe('an approval within an agent that serves as a tool', () => {
  test('suspends the run, which shows it as its own', async () => {
    const { paid, agents } = bank()
    const engine = await startEngine({ agents })
    const { run, events } = await engine.finish({ agent: 'boss' })
    expect(run).toMatchObject({ status: 'suspended', steps: 1 })
    expect(events.at(-1)).toMatchObject({
      type: 'run.suspend',
      approvals: [{ tool: 'pay', arguments: { amount: 5 }, reason: 'policy' }],
      tool_calls: [],
    })
    expect(paid).toEqual([])
    expect(shownTypes(events)).toContain('tool.call')
  })

  test('once approved it goes on where it was: no model is asked again, and the other gets the answer', async () => {
    const { paid, model, asking, agents } = bank()
    const engine = await startEngine({ agents })
    const first = await engine.finish({ agent: 'boss' })
    const { run, events } = await decideAndRead(engine, first.run, { decision: 'approve' })
    expect(run).toMatchObject({ status: 'completed', steps: 2 })
    expect(await engine.text(run)).toBe('All done.')
    expect(paid).toEqual([5])
    expect([model.calls.length, asking.calls.length]).toEqual([2, 2])
    expect(transcript(model.calls[1])).toEqual([
      'user: Pay 5.',
      'assistant: Paying.',
      'call pay {"amount":5}',
      'result paid 5 (with a key)',
    ])
    expect(transcript(asking.calls[1]).at(-1)).toBe('result It is paid.')
    expect(eventsOfType(events, 'approval.resolve')).toMatchObject([{ decision: 'approve' }])
    expect(eventsOfType(events, 'tool.end')).toMatchObject([{ output: 'It is paid.' }])
  })

  test('once rejected its model reads the reason', async () => {
    const { paid, model, agents } = bank()
    const engine = await startEngine({ agents })
    const first = await engine.finish({ agent: 'boss' })
    const { run } = await decideAndRead(engine, first.run, { decision: 'reject', reason: 'Too much.' })
    expect(run.status).toBe('completed')
    expect(paid).toEqual([])
    expect(transcript(model.calls[1]).at(-1)).toContain('Too much.')
  })

  test('may be approved with other arguments, which must fit its tool', async () => {
    const { paid, agents } = bank()
    const engine = await startEngine({ agents })
    const { run } = await engine.finish({ agent: 'boss' })
    await expect(
      decideAndRead(engine, run, { decision: 'approve', arguments: { amount: 'a lot' } }),
    ).rejects.toMatchObject({ code: 'invalid_request' })
    await decideAndRead(engine, run, { decision: 'approve', arguments: { amount: 3 } })
    expect(paid).toEqual([3])
  })

  test('what they must fit is the tool of the agent that called it, though the other has one of that name', async () => {
    const { paid, asking, model } = bank()
    const other = tool({
      name: 'pay',
      description: 'Pays otherwise.',
      input: z.object({ iban: z.string() }),
      execute: () => 'wrong',
    })
    const teller = helper('teller', model, { tools: [payTool(paid)] })
    const engine = await startEngine({ agents: [boss(asking, [teller, other])] })
    const { run } = await engine.finish({ agent: 'boss' })
    await decideAndRead(engine, run, { decision: 'approve', arguments: { amount: 4 } })
    expect(paid).toEqual([4])
  })

  test('that nobody decides in time expires, after the time its own agent gives', async () => {
    const clock = createFakeClock()
    const { asking, model } = bank()
    const teller = helper('teller', model, { tools: [payTool()], approvalTimeoutMs: 60_000 })
    const engine = await startEngine({ agents: [boss(asking, [teller])], clock })
    const { run } = await engine.finish({ agent: 'boss' })
    const [approval] = await pending(engine, run)
    expect(approval?.expires_at).toBe(clock.now() + 60_000)
    await advanceUntil(clock, engine.events(run, run.last_seq), 30_000)
    expect(await engine.load(run)).toMatchObject({ status: 'completed' })
    expect(transcript(model.calls[1]).at(-1)).toContain('Nobody approved this call in time.')
  })

  test('is waited for while the other calls of the step run to their end', async () => {
    const { paid, model } = bank()
    const quick = helper('quick', ['quick answer'])
    const asking = scriptedModel([{ toolCalls: [ask('teller', 'Pay.'), ask('quick')] }, 'All done.'])
    const teller = helper('teller', model, { tools: [payTool(paid)] })
    const engine = await startEngine({ agents: [boss(asking, [teller, quick])] })
    const first = await engine.finish({ agent: 'boss' })
    expect(first.run.status).toBe('suspended')
    expect(eventsOfType(first.events, 'tool.end')).toMatchObject([{ output: 'quick answer' }])
    const { run } = await decideAndRead(engine, first.run, { decision: 'approve' })
    expect(run.status).toBe('completed')
    expect(transcript(asking.calls[1]).slice(-2)).toEqual(['result It is paid.', 'result quick answer'])
  })

  test('stands beside one of the run’s own agent; the run goes on when both are decided', async () => {
    const { paid, model } = bank()
    const own: unknown[] = []
    const asking = scriptedModel([
      { toolCalls: [call('pay', { amount: 1 }), ask('teller', 'Pay.')] },
      'All done.',
    ])
    const teller = helper('teller', model, { tools: [payTool(paid)] })
    const engine = await startEngine({ agents: [boss(asking, [payTool(own), teller])] })
    const { run, events } = await engine.finish({ agent: 'boss' })
    expect(eventsOfType(events, 'run.suspend')).toHaveLength(1)
    const waiting = await pending(engine, run)
    expect(
      waiting
        .map((one) => one.arguments)
        .toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
    ).toEqual([{ amount: 1 }, { amount: 5 }])
    const [first, second] = waiting
    await engine.approvals.decide(anonymous, first?.id ?? '', { decision: 'approve' })
    expect(await engine.load(run)).toMatchObject({ status: 'suspended' })
    await engine.approvals.decide(anonymous, second?.id ?? '', { decision: 'approve' })
    await engine.events(run, (await engine.load(run)).last_seq)
    expect(await engine.load(run)).toMatchObject({ status: 'completed' })
    expect([own, paid]).toEqual([[1], [5]])
  })

  test('comes from two agents at once: each goes on with its own', async () => {
    const paid: unknown[] = []
    const teller = (name: string, amount: number) =>
      helper(name, [{ toolCalls: [call('pay', { amount })] }, `${name} paid`], { tools: [payTool(paid)] })
    const asking = scriptedModel([{ toolCalls: [ask('one'), ask('two')] }, 'ok'])
    const engine = await startEngine({ agents: [boss(asking, [teller('one', 1), teller('two', 2)])] })
    const { run } = await engine.finish({ agent: 'boss' })
    for (const { id } of await pending(engine, run)) {
      await engine.approvals.decide(anonymous, id, { decision: 'approve' })
    }
    await engine.events(run, (await engine.load(run)).last_seq)
    expect(transcript(asking.calls[1]).slice(-2)).toEqual(['result one paid', 'result two paid'])
    expect(paid.map(Number).toSorted((a, b) => a - b)).toEqual([1, 2])
  })

  test('may come again in a later step of the same agent', async () => {
    const paid: unknown[] = []
    const model = scriptedModel([
      { toolCalls: [call('pay', { amount: 1 })] },
      { toolCalls: [call('pay', { amount: 2 })] },
      'both',
    ])
    const asking = scriptedModel([{ toolCalls: [ask('teller')] }, 'ok'])
    const engine = await startEngine({
      agents: [boss(asking, [helper('teller', model, { tools: [payTool(paid)] })])],
    })
    const { run } = await engine.finish({ agent: 'boss' })
    expect((await decideAndRead(engine, run, { decision: 'approve' })).run.status).toBe('suspended')
    expect((await decideAndRead(engine, run, { decision: 'approve' })).run.status).toBe('completed')
    expect(paid).toEqual([1, 2])
    expect(model.calls).toHaveLength(3)
  })

  test('comes from two deep', async () => {
    const { paid, model } = bank()
    const middle = scriptedModel([{ toolCalls: [ask('teller', 'Pay 5.')] }, 'I had it paid.'])
    const branch = helper('branch', middle, {
      tools: [helper('teller', model, { tools: [payTool(paid)] }).asTool()],
    })
    const asking = scriptedModel([{ toolCalls: [ask('branch')] }, 'ok'])
    const engine = await startEngine({ agents: [boss(asking, [branch])] })
    const { run } = await engine.finish({ agent: 'boss' })
    await expect(
      decideAndRead(engine, run, { decision: 'approve', arguments: { amount: null } }),
    ).rejects.toMatchObject({ code: 'invalid_request' })
    const end = await decideAndRead(engine, run, { decision: 'approve', arguments: { amount: 6 } })
    expect(end.run.status).toBe('completed')
    expect(paid).toEqual([6])
    expect(transcript(asking.calls[1]).at(-1)).toBe('result I had it paid.')
    expect([model, middle, asking].map(({ calls }) => calls.length)).toEqual([2, 2, 2])
  })

  test('a question of its tool is answered the same way', async () => {
    const greet = tool({
      name: 'greet',
      description: 'Greets.',
      effect: 'read',
      execute: async (_input, { ask: askPerson }) => {
        const answer = await askPerson({ message: 'Who?' })
        return answer.action === 'accept' ? `Hello ${String(answer.content)}` : 'nobody'
      },
    })
    const model = scriptedModel([{ toolCalls: [call('greet')] }, 'greeted'])
    const asking = scriptedModel([{ toolCalls: [ask('host')] }, 'ok'])
    const engine = await startEngine({ agents: [boss(asking, [helper('host', model, { tools: [greet] })])] })
    const first = await engine.finish({ agent: 'boss' })
    expect(first.events.at(-1)).toMatchObject({ approvals: [{ reason: 'question', tool: 'greet' }] })
    const { run } = await decideAndRead(engine, first.run, { decision: 'answer', answer: 'Ada' })
    expect(run.status).toBe('completed')
    expect(transcript(model.calls[1]).at(-1)).toBe('result Hello Ada')
  })

  test('a cancel while it waits ends the run, and it never runs', async () => {
    const { paid, agents } = bank()
    const engine = await startEngine({ agents })
    const { run } = await engine.finish({ agent: 'boss' })
    await engine.runs.cancel(anonymous, run.id, 'enough')
    expect(await engine.load(run)).toMatchObject({ status: 'cancelled' })
    expect(await pending(engine, run)).toEqual([])
    expect(paid).toEqual([])
  })

  test('another program without that agent goes on: the call is told to be unknown', async () => {
    const { agents } = bank()
    const first = await startEngine({ agents })
    const { run } = await first.finish({ agent: 'boss', background: true })
    await first.stop()
    const asking = scriptedModel(['Sorry.'])
    const second = await startEngine({ agents: [boss(asking, [])], dataDir: first.dataDir })
    const { run: ended, events } = await decideAndRead(second, run, { decision: 'approve' })
    expect(ended.status).toBe('completed')
    expect(eventsOfType(events, 'tool.end')).toMatchObject([{ error: { code: 'tool_unknown' } }])
    expect(eventsOfType(events, 'warning')).toMatchObject([{ code: 'agent_changed' }])
    expect(transcript(asking.calls[0]).at(-1)).toContain('There is no tool named "teller"')
  })
})
