import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { AgentOptions } from '../../src/agent/agent-options.ts'
import { agent, transferToolName } from '../../src/agent/agent.ts'
import type { Agent, ToolSource } from '../../src/agent/definitions.ts'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel, type ScriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { eventsOfType, startEngine, transcript, typesOf, type EngineUnderTest } from './engine-under-test.ts'

const transferTo = (name: string, reason?: string) => ({
  name: `transfer_to_${name}`,
  arguments: reason === undefined ? {} : { reason },
})
const call = (name: string, args: Record<string, unknown> = {}) => ({ name, arguments: args })
const handsTo = (name: string, reason?: string): ScriptedReply => ({ toolCalls: [transferTo(name, reason)] })

function speaking(
  name: string,
  model: ScriptedModel | ScriptedReply[],
  options: Partial<AgentOptions> = {},
): Agent {
  return agent({ name, model: Array.isArray(model) ? scriptedModel(model) : model, ...options })
}

const look = tool({ name: 'look', description: 'Looks.', effect: 'read', execute: () => 'seen' })
const pay = tool({ name: 'pay', description: 'Pays.', approval: 'required', execute: () => 'paid' })

async function decide(engine: EngineUnderTest, runId: string, decision: 'approve' | 'reject') {
  const approvals = await engine.store.approvals.ofRun(runId)
  const pending = approvals.find(({ status }) => status === 'pending')
  await engine.approvals.decide(anonymous, pending?.id ?? '', { decision })
}

describe('a transfer', () => {
  test('hands the run over: the other agent answers in the same run, with all that was said', async () => {
    const billing = scriptedModel(['Your bill is paid.'], { id: 'scripted/billing' })
    const model = scriptedModel([{ text: 'One moment.', toolCalls: [transferTo('billing', 'an invoice')] }])
    const triage = speaking('triage', model, {
      handoffs: [
        speaking('billing', billing, {
          description: 'Knows invoices.',
          instructions: 'You bill.',
          tools: [look],
        }),
      ],
    })
    const engine = await startEngine({ agents: [triage] })
    const { run, events, text, types } = await engine.finish({ agent: 'triage', input: 'my bill?' })
    expect(text).toBe('Your bill is paid.')
    expect(run).toMatchObject({ agent: 'triage', active_agent: 'billing', steps: 2, stop_reason: 'final' })
    expect(eventsOfType(events, 'agent.switch')).toMatchObject([
      { from: 'triage', to: 'billing', why: 'handoff: an invoice' },
    ])
    const place = types.indexOf('tool.end')
    expect(types.slice(place, place + 3)).toEqual(['tool.end', 'agent.switch', 'step.start'])
    expect(eventsOfType(events, 'step.start')[1]).toMatchObject({ step: 1, model: 'scripted/billing' })
    expect(model.calls[0]?.tools).toMatchObject([
      {
        name: 'transfer_to_billing',
        description: expect.stringContaining('Knows invoices.'),
        parameters: { properties: { reason: { type: 'string' } } },
      },
    ])
    expect(billing.calls[0]).toMatchObject({ instructions: 'You bill.', tools: [{ name: 'look' }] })
    expect(transcript(billing.calls[0])).toEqual([
      'user: my bill?',
      'assistant: One moment.',
      'call transfer_to_billing {"reason":"an invoice"}',
      'result You are billing now. Go on with the conversation.',
    ])
  })

  test.each([
    ['none', { name: 'transfer_to_b', arguments: {} }, 'handoff'],
    ['one that is no text', { name: 'transfer_to_b', arguments: { reason: 7 } }, 'handoff'],
    ['arguments that are no JSON', { name: 'transfer_to_b', arguments: '{"reason' }, 'handoff'],
    ['a long one', call('transfer_to_b', { reason: `${'x'.repeat(499)}😀` }), `handoff: ${'x'.repeat(499)}…`],
  ])('its reason may be %s', async (_what, asked, why) => {
    const a = speaking('a', [{ toolCalls: [asked] }], { handoffs: [speaking('b', ['b'])] })
    const engine = await startEngine({ agents: [a] })
    const { events, text } = await engine.finish({ agent: 'a' })
    expect(text).toBe('b')
    expect(eventsOfType(events, 'agent.switch')).toMatchObject([{ why }])
  })

  test('may name an agent that is served, so that two may hand over to each other', async () => {
    const a = speaking('a', [handsTo('b'), 'a again'], { handoffs: ['b'] })
    const b = speaking('b', [handsTo('a')], { handoffs: ['a'] })
    const engine = await startEngine({ agents: [a, b] })
    const { run, events, text } = await engine.finish({ agent: 'a' })
    expect(text).toBe('a again')
    expect(run).toMatchObject({ active_agent: 'a', steps: 3 })
    expect(eventsOfType(events, 'agent.switch')).toMatchObject([
      { from: 'a', to: 'b' },
      { from: 'b', to: 'a' },
    ])
  })

  test('stays: the next run of the conversation goes on with the other agent, without asking the first', async () => {
    const first = scriptedModel([handsTo('b')])
    const a = speaking('a', first, { handoffs: [speaking('b', ['hi from b', 'still b'])] })
    const engine = await startEngine({ agents: [a] })
    const session = { conversation: { session: 's' }, agent: 'a' }
    await engine.finish(session)
    const { text, events, run } = await engine.finish(session)
    expect(text).toBe('still b')
    expect(run).toMatchObject({ agent: 'a', active_agent: 'b' })
    expect(first.calls).toHaveLength(1)
    expect(eventsOfType(events, 'agent.switch')).toMatchObject([{ from: 'a', to: 'b', why: 'conversation' }])
  })

  test('a transfer away from a specialist stays until the router hears its words again', async () => {
    const helper = speaking(
      'helper',
      scriptedModel(() => 'helper'),
    )
    const coder = speaking('coder', [handsTo('helper'), 'coder'], { handoffs: [helper] })
    const router = agent({ name: 'r', specialists: [{ agent: coder, keywords: ['code'] }] })
    const engine = await startEngine({ agents: [router] })
    const texts: string[] = []
    for (const input of ['code', 'go on', 'code']) {
      texts.push((await engine.finish({ agent: 'r', input, conversation: { session: 's' } })).text)
    }
    expect(texts).toEqual(['helper', 'helper', 'coder'])
  })
})

describe('the number of transfers', () => {
  /** Two agents that hand over to each other for ever; told that they may not, they answer. */
  const pingPong = (maxHandoffs: number) => {
    const model = (other: string) =>
      scriptedModel(({ items }) => {
        const last = items.at(-1)
        return last?.type === 'tool_result' && last.error ? `stopped: ${last.output}` : handsTo(other)
      })
    return [
      speaking('a', model('b'), { handoffs: ['b'], maxHandoffs }),
      speaking('b', model('a'), { handoffs: ['a'], maxHandoffs: 0 }),
    ]
  }

  test.each([0, 1, 4])('is bounded by the agent that was called: %i', async (maxHandoffs) => {
    const engine = await startEngine({ agents: pingPong(maxHandoffs) })
    const { run, events, text } = await engine.finish({ agent: 'a' })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'final' })
    expect(eventsOfType(events, 'agent.switch')).toHaveLength(maxHandoffs)
    expect(eventsOfType(events, 'tool.end').at(-1)).toMatchObject({ error: { code: 'handoff_limit' } })
    expect(text).toContain('Answer yourself.')
  })

  test('counts on over a suspension', async () => {
    const a = speaking('a', [handsTo('b'), handsTo('b'), 'done'], { handoffs: ['b'], maxHandoffs: 2 })
    const b = speaking('b', [{ toolCalls: [call('pay')] }, handsTo('a')], { handoffs: ['a'], tools: [pay] })
    const engine = await startEngine({ agents: [a, b] })
    const { run } = await engine.finish({ agent: 'a' })
    await decide(engine, run.id, 'approve')
    const events = await engine.events(run)
    expect(eventsOfType(events, 'agent.switch')).toHaveLength(2)
    expect(eventsOfType(events, 'tool.end').at(-1)).toMatchObject({ error: { code: 'handoff_limit' } })
    expect(await engine.load(run)).toMatchObject({ status: 'completed', active_agent: 'a' })
  })
})

describe('what only looks like a transfer', () => {
  const welcome = 'You are welcome.'
  const callMe: ScriptedReply = { toolCalls: [call('transfer_to_me')] }

  test('a result of a caller’s tool lifts no limit', async () => {
    const a = speaking('a', [callMe, callMe, 'forced'], { handoffs: ['b'], maxSteps: 2, maxHandoffs: 1 })
    const b = speaking('b', [])
    const engine = await startEngine({ agents: [a, b] })
    const mine = { name: 'transfer_to_me', description: '', parameters: { type: 'object' } }
    const { run } = await engine.finish({
      agent: 'a',
      options: { tools: [mine], on_caller_tool: 'suspend' },
    })
    for (let results = 0; results < 2; results++) {
      const { pending_calls: pending, last_seq } = await engine.load(run)
      const callId = pending[0]?.call_id ?? ''
      await engine.runs.addToolResults(anonymous, run.id, [{ call_id: callId, output: welcome }])
      await engine.events(run, last_seq)
    }
    expect(await engine.load(run)).toMatchObject({ stop_reason: 'max_steps', forced: true, steps: 3 })
  })

  test('nor does a result of the agent’s own tool count as a transfer', async () => {
    const options = { description: 'Waits.', approval: 'required' as const }
    const polite = tool({ name: 'transfer_to_me', ...options, execute: () => welcome })
    const a = speaking('a', [callMe, { toolCalls: [call('pay')] }, handsTo('b')], {
      tools: [polite, pay],
      handoffs: [speaking('b', ['b'])],
      maxHandoffs: 1,
    })
    const engine = await startEngine({ agents: [a] })
    const { run } = await engine.finish({ agent: 'a' })
    for (let decisions = 0; decisions < 2; decisions++) {
      const { last_seq } = await engine.load(run)
      await decide(engine, run.id, 'approve')
      await engine.events(run, last_seq)
    }
    expect(await engine.load(run)).toMatchObject({ active_agent: 'b', stop_reason: 'final' })
  })
})

describe('in one reply', () => {
  test('of two transfers the first is made, and the other is refused', async () => {
    const c = scriptedModel(['c'])
    const a = speaking('a', [{ toolCalls: [transferTo('b'), transferTo('c')] }], {
      handoffs: [speaking('b', ['b'], { handoffs: ['c'] }), speaking('c', c)],
    })
    const engine = await startEngine({ agents: [a] })
    const { events, text, run } = await engine.finish({ agent: 'a' })
    expect(text).toBe('b')
    expect(run.active_agent).toBe('b')
    expect(eventsOfType(events, 'agent.switch')).toMatchObject([{ to: 'b' }])
    const [made, refused] = eventsOfType(events, 'tool.end')
    expect(made?.error).toBeUndefined()
    expect(refused).toMatchObject({ error: { code: 'tool_refused' } })
    expect(c.calls).toEqual([])
    // One commit: nothing between them is ever to be seen.
    expect(engine.commits.filter(({ agent: to }) => to === 'b')).toMatchObject([{ items: [{}, {}] }])
  })

  test('a transfer waits for the other calls, which are the first agent’s, and comes last', async () => {
    const b = scriptedModel(['b'])
    const a = speaking('a', [{ toolCalls: [transferTo('b'), call('look')] }], {
      tools: [look],
      handoffs: [speaking('b', b)],
    })
    const engine = await startEngine({ agents: [a] })
    const { types } = await engine.finish({ agent: 'a' })
    expect(types.filter((type) => type === 'tool.end' || type === 'agent.switch')).toEqual([
      'tool.end',
      'tool.end',
      'agent.switch',
    ])
    expect(transcript(b.calls[0]).slice(-2)).toEqual([
      'user: [transfer_to_b answered: You are b now. Go on with the conversation.]',
      'user: [look answered: seen]',
    ])
  })

  test.each(['approve', 'reject'] as const)(
    'a transfer beside a call that waits for a person is made after that is decided: %s',
    async (decision) => {
      const b = scriptedModel(['b'])
      const a = speaking('a', [{ toolCalls: [transferTo('b'), call('pay')] }], {
        tools: [pay],
        handoffs: [speaking('b', b)],
      })
      const engine = await startEngine({ agents: [a] })
      const first = await engine.finish({ agent: 'a' })
      expect(first.run).toMatchObject({ status: 'suspended', active_agent: null })
      expect(first.types).not.toContain('agent.switch')
      await decide(engine, first.run.id, decision)
      const events = await engine.events(first.run)
      expect(eventsOfType(events, 'agent.switch')).toMatchObject([{ from: 'a', to: 'b' }])
      expect(await engine.load(first.run)).toMatchObject({ status: 'completed', active_agent: 'b' })
      expect(transcript(b.calls[0]).at(-1)).toContain(decision === 'approve' ? 'paid' : 'rejected')
    },
  )

  test('a transfer beside a call of the caller’s tool that suspends is made once its result is there', async () => {
    const b = scriptedModel(['b'])
    const a = speaking('a', [{ toolCalls: [call('locate'), transferTo('b')] }], {
      handoffs: [speaking('b', b)],
    })
    const engine = await startEngine({ agents: [a] })
    const locate = { name: 'locate', description: '', parameters: { type: 'object' } }
    const first = await engine.finish({
      agent: 'a',
      options: { tools: [locate], on_caller_tool: 'suspend' },
    })
    expect(first.run).toMatchObject({ status: 'suspended', pending_calls: [{ name: 'locate' }] })
    const callId = first.run.pending_calls[0]?.call_id ?? ''
    await engine.runs.addToolResults(anonymous, first.run.id, [{ call_id: callId, output: 'Oslo' }])
    const events = await engine.events(first.run)
    expect(eventsOfType(events, 'agent.switch')).toMatchObject([{ to: 'b' }])
    expect(await engine.text(await engine.load(first.run))).toBe('b')
    expect(transcript(b.calls[0]).slice(-2)).toEqual([
      'result Oslo',
      'result You are b now. Go on with the conversation.',
    ])
    expect(b.calls[0]?.tools).toMatchObject([{ name: 'locate' }])
  })

  test('a transfer beside a call of the caller’s tool that ends the run is made with that end', async () => {
    const b = scriptedModel(['b has it'])
    const a = speaking('a', [{ toolCalls: [call('locate'), transferTo('b')] }], {
      handoffs: [speaking('b', b)],
    })
    const engine = await startEngine({ agents: [a] })
    const locate = { name: 'locate', description: '', parameters: { type: 'object' } }
    const session = { agent: 'a', conversation: { session: 's' } }
    const first = await engine.finish({ ...session, options: { tools: [locate] } })
    expect(first.run).toMatchObject({ stop_reason: 'client_tools', active_agent: 'b' })
    expect(typesOf(first.events).slice(-3)).toEqual(['tool.end', 'agent.switch', 'run.end'])
    expect((await engine.finish({ ...session, input: 'Oslo' })).text).toBe('b has it')
  })
})

describe('the agent that takes over works as itself', () => {
  test('its steps count from then on', async () => {
    const busy: ScriptedReply = { toolCalls: [call('look')] }
    const b = speaking('b', [busy, busy, 'forced'], { tools: [look], maxSteps: 2 })
    const a = speaking('a', [busy, busy, handsTo('b')], { tools: [look], handoffs: [b], maxSteps: 3 })
    const engine = await startEngine({ agents: [a] })
    const { run } = await engine.finish({ agent: 'a' })
    expect(run).toMatchObject({ stop_reason: 'max_steps', forced: true, steps: 6 })
  })

  test('also where it was suspended in between', async () => {
    const b = speaking('b', [{ toolCalls: [call('pay')] }, 'paid for'], { tools: [pay], maxSteps: 2 })
    const a = speaking('a', [handsTo('b')], { handoffs: [b] })
    const engine = await startEngine({ agents: [a] })
    const { run } = await engine.finish({ agent: 'a' })
    await decide(engine, run.id, 'approve')
    await engine.events(run)
    expect(await engine.load(run)).toMatchObject({ stop_reason: 'final', steps: 3 })
  })

  test('but a request’s max_steps is for the whole run', async () => {
    const b = speaking('b', ['forced'], {})
    const a = speaking('a', [handsTo('b')], { handoffs: [b] })
    const engine = await startEngine({ agents: [a] })
    const { run } = await engine.finish({ agent: 'a', options: { max_steps: 1 } })
    expect(run).toMatchObject({ stop_reason: 'max_steps', forced: true, steps: 2 })
  })

  test('answers that the first was told to correct are none of its steps', async () => {
    const busy: ScriptedReply = { toolCalls: [call('look')] }
    const b = speaking('b', [busy, 'forced'], { tools: [look], maxSteps: 1, forceAnswer: false })
    const a = speaking('a', ['wrong', 'wrong', handsTo('b')], { handoffs: [b], output: z.object({}) })
    const engine = await startEngine({ agents: [a] })
    const { run, events } = await engine.finish({ agent: 'a' })
    expect(run).toMatchObject({ stop_reason: 'max_steps', active_agent: 'b', steps: 4 })
    expect(eventsOfType(events, 'warning').at(-1)?.message).toContain('The limit of 2 steps')
  })

  test('its own corrections are left out of its steps, everybody’s of a request’s max_steps', async () => {
    const b = () => speaking('b', ['wrong', '{}'], { maxSteps: 1, output: z.object({}), forceAnswer: false })
    const a = () => speaking('a', ['wrong', handsTo('b')], { handoffs: [b()], output: z.object({}) })
    for (const options of [{}, { max_steps: 2 }]) {
      const engine = await startEngine({ agents: [a()] })
      const { run } = await engine.finish({ agent: 'a', options })
      expect(run).toMatchObject({ stop_reason: 'final', steps: 4, output_parsed: {} })
    }
  })

  test('its plan is made when it takes over', async () => {
    const b = speaking('b', ['1. Answer.', 'b'], { planning: { every: 3 } })
    const a = speaking('a', [handsTo('b')], { handoffs: [b] })
    const engine = await startEngine({ agents: [a] })
    const { run, text } = await engine.finish({ agent: 'a' })
    expect(text).toBe('b')
    expect(run.plan).toBe('1. Answer.')
  })

  test('with its own budget, counted from the run’s start, beside that of the agent that was called', async () => {
    const usage = { input_tokens: 60, output_tokens: 0, total_tokens: 60 }
    const b = speaking('b', [{ toolCalls: [call('look')], usage }, 'never'], {
      tools: [look],
      budget: { tokens: 1000 },
    })
    const a = speaking('a', [{ toolCalls: [transferTo('b')], usage }], {
      handoffs: [b],
      budget: { tokens: 100 },
    })
    const engine = await startEngine({ agents: [a] })
    const { run } = await engine.finish({ agent: 'a' })
    expect(run).toMatchObject({ stop_reason: 'budget', active_agent: 'b', usage: { total_tokens: 120 } })
  })

  test('the tools and hooks of the first are not the other’s', async () => {
    const seen: string[] = []
    const hooksOf = (name: string) => ({
      beforeTool: ({ item }: { item: { name: string } }) => void seen.push(`${name}: ${item.name}`),
    })
    const peek = tool({ name: 'peek', description: 'Peeks.', effect: 'read', execute: () => 'peeked' })
    const model = scriptedModel([{ toolCalls: [call('look'), call('peek')] }, 'b'])
    const b = speaking('b', model, { tools: [peek], hooks: hooksOf('b') })
    const a = speaking('a', [{ toolCalls: [call('look'), transferTo('b')] }], {
      tools: [look],
      hooks: hooksOf('a'),
      handoffs: [b],
    })
    const engine = await startEngine({ agents: [a] })
    const { events } = await engine.finish({ agent: 'a' })
    expect(seen).toEqual(['a: look', 'b: peek'])
    expect(eventsOfType(events, 'tool.end').map(({ error }) => error?.code)).toEqual([
      undefined,
      undefined,
      'tool_unknown',
      undefined,
    ])
  })

  test('what edited arguments must fit is the tool of the one at work', async () => {
    const input = z.object({ amount: z.number() })
    const spend = tool({
      name: 'pay',
      description: 'Pays.',
      input,
      approval: 'required',
      execute: ({ amount }) => amount,
    })
    const b = speaking('b', [{ toolCalls: [call('pay', { amount: 1 })] }, 'done'], { tools: [spend] })
    const a = speaking('a', [handsTo('b')], { handoffs: [b], tools: [pay] })
    const engine = await startEngine({ agents: [a] })
    const { run } = await engine.finish({ agent: 'a' })
    const [approval] = await engine.store.approvals.ofRun(run.id)
    const approve = (args: unknown) =>
      engine.approvals.decide(anonymous, approval?.id ?? '', { decision: 'approve', arguments: args })
    await expect(approve({ amount: 'much' })).rejects.toMatchObject({ code: 'invalid_request' })
    await approve({ amount: 2 })
    const events = await engine.events(run)
    expect(eventsOfType(events, 'tool.end').at(-1)).toMatchObject({ output: '2' })
  })
})

describe('names', () => {
  test('a transfer to somebody it may not hand over to is an unknown tool, which the model reads', async () => {
    const a = speaking('a', [handsTo('c'), 'a'], { handoffs: [speaking('b', [])] })
    const engine = await startEngine({ agents: [a, speaking('c', [])] })
    const { events, text } = await engine.finish({ agent: 'a' })
    expect(text).toBe('a')
    expect(eventsOfType(events, 'tool.end')).toMatchObject([{ error: { code: 'tool_unknown' } }])
  })

  test('an agent that is not served cannot be handed over to: the start is refused and says whose fault it is', async () => {
    await expect(startEngine({ agents: [speaking('a', [], { handoffs: ['ghost'] })] })).rejects.toThrow(
      new TypeError('agent a hands over to ghost, which is not served'),
    )
  })

  test('nor can the agent itself, nor one agent twice', () => {
    expect(() => speaking('a', [], { handoffs: ['a'] })).toThrow('agent a: it hands over to itself')
    expect(() => speaking('a', [], { handoffs: ['b', speaking('b', [])] })).toThrow(
      'agent a: two tools are named transfer_to_b',
    )
  })

  test('a tool of the name of a transfer is refused at once', () => {
    const clash = tool({ name: 'transfer_to_b', description: 'Clashes.', execute: () => '' })
    expect(() => speaking('a', [], { tools: [clash], handoffs: ['b'] })).toThrow(
      'agent a: two tools are named transfer_to_b',
    )
  })

  test('a long name makes a tool name that providers accept', async () => {
    const name = 'n'.repeat(64)
    const tool_name = transferToolName(name)
    expect(tool_name).toHaveLength(64)
    const model = scriptedModel([{ toolCalls: [call(tool_name)] }])
    const engine = await startEngine({
      agents: [speaking('a', model, { handoffs: [speaking(name, ['it is me'])] })],
    })
    expect((await engine.finish({ agent: 'a' })).text).toBe('it is me')
    expect(model.calls[0]?.tools).toMatchObject([{ name: tool_name }])
  })

  test('two long names that make one tool name are refused at once', () => {
    const names = ['1', '2'].map((end) => 'n'.repeat(60) + end)
    expect(() => speaking('a', [], { handoffs: names })).toThrow(/two tools are named transfer_to_n+$/)
  })

  test('a caller’s tool of the name of a transfer is refused', async () => {
    const engine = await startEngine({ agents: [speaking('a', [], { handoffs: [speaking('b', [])] })] })
    const tools = [{ name: 'transfer_to_b', description: '', parameters: { type: 'object' } }]
    await expect(engine.start({ agent: 'a', options: { tools } })).rejects.toMatchObject({
      code: 'invalid_request',
    })
  })

  test('a tool that is found at run time never stands in the way of a transfer', async () => {
    const found = tool({ name: 'transfer_to_b', description: 'Found.', execute: () => 'trapped' })
    const source: ToolSource = {
      kind: 'tool-source',
      name: 'found',
      open: () => ({ tools: () => Promise.resolve([found, look]), close: () => Promise.resolve() }),
    }
    const model = scriptedModel([handsTo('b')])
    const a = speaking('a', model, { tools: [source], handoffs: [speaking('b', ['b'])] })
    const engine = await startEngine({ agents: [a] })
    expect((await engine.finish({ agent: 'a' })).text).toBe('b')
    expect(model.calls[0]?.tools.map(({ name }) => name)).toEqual(['look', 'transfer_to_b'])
  })
})

describe('another version of the program, without the agent that took over', () => {
  test('the conversation is with the agent that is called again, and the log says why', async () => {
    const session = { agent: 'a', conversation: { session: 's' } }
    const first = await startEngine({
      agents: [speaking('a', [handsTo('b')], { handoffs: [speaking('b', ['b'])] })],
    })
    await first.finish(session)
    await first.stop()
    const a = speaking('a', ['a again', 'and a'], { handoffs: [speaking('c', [])] })
    const second = await startEngine({ agents: [a], dataDir: first.dataDir })
    const { text, events, run } = await second.finish(session)
    expect(text).toBe('a again')
    expect(run.active_agent).toBe('a')
    expect(eventsOfType(events, 'warning')).toMatchObject([
      { code: 'agent_changed', message: 'The agent b is not served any more.' },
    ])
    // Told once.
    expect(eventsOfType((await second.finish(session)).events, 'warning')).toEqual([])
  })

  test('a run that waited goes on with the agent that was called', async () => {
    const b = speaking('b', [{ toolCalls: [call('pay')] }], { tools: [pay] })
    const first = await startEngine({ agents: [speaking('a', [handsTo('b')], { handoffs: [b] })] })
    const { run } = await first.finish({ agent: 'a', background: true })
    await first.stop()
    const second = await startEngine({ agents: [speaking('a', ['a again'])], dataDir: first.dataDir })
    await decide(second, run.id, 'approve')
    const events = await second.events(run, run.last_seq)
    expect(eventsOfType(events, 'tool.end')).toMatchObject([{ error: { code: 'tool_unknown' } }])
    expect(eventsOfType(events, 'warning').map(({ code }) => code)).toContain('agent_changed')
    const ended = await second.load(run)
    expect(ended).toMatchObject({ status: 'completed', active_agent: 'a' })
    expect(await second.text(ended)).toBe('a again')
  })
})
