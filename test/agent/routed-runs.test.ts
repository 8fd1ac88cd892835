import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { AgentOptions } from '../../src/agent/agent-options.ts'
import { agent } from '../../src/agent/agent.ts'
import { template } from '../../src/agent/instructions.ts'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel, type ScriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { eventsOfType, startEngine, transcript } from './engine-under-test.ts'
import { inSession, office, speaker } from './office.ts'

describe('a choice stays', () => {
  test('with the conversation until somebody else is spoken for', async () => {
    const engine = await startEngine({ agents: [office()] })
    const said: string[] = []
    for (const input of ['some code', 'and then?', 'a poem', 'go on']) {
      said.push((await engine.finish(inSession('s', input))).text)
    }
    expect(said).toEqual(['coder', 'coder', 'writer', 'writer'])
    expect((await engine.finish(inSession('other', 'go on'))).text).toBe('office')
  })

  test('with the branch: a run goes on with whoever answered its parent', async () => {
    const engine = await startEngine({ agents: [office()] })
    const first = await engine.finish(inSession('s', 'some code'))
    await engine.finish(inSession('s', 'a poem'))
    const branch = await engine.finish(inSession('s', 'go on', { parentRunId: first.run.id }))
    expect(branch.text).toBe('coder')
    expect((await engine.finish({ agent: 'office', input: 'go on', parentRunId: first.run.id })).text).toBe(
      'coder',
    )
  })

  test('past a run that ended before anybody was chosen', async () => {
    const hanging = Promise.withResolvers<void>()
    let asked = 0
    const by = (input: string) => {
      asked++
      if (input === 'first') return 'coder'
      if (input !== 'hang') return undefined
      hanging.resolve()
      return new Promise<string>(() => {})
    }
    const engine = await startEngine({ agents: [office({ routing: { by } })] })
    await engine.finish(inSession('s', 'first'))
    const lost = await engine.start(inSession('s', 'hang'))
    await hanging.promise
    await engine.runs.cancel(anonymous, lost.id, 'test')
    expect((await engine.finish(inSession('s', 'go on'))).text).toBe('coder')
    expect(asked).toBe(3)
  })

  test('and another entry agent of the conversation does not inherit it', async () => {
    const other = agent({
      name: 'other',
      model: scriptedModel(() => 'other'),
      specialists: [{ agent: speaker('lawyer'), keywords: ['law'] }],
    })
    const engine = await startEngine({ agents: [office(), other] })
    await engine.finish(inSession('s', 'some code'))
    const { text, events } = await engine.finish(inSession('s', 'go on', { agent: 'other' }))
    expect(text).toBe('other')
    expect(eventsOfType(events, 'agent.switch')).toEqual([])
  })

  test('over a suspension: the one that was chosen goes on, and nobody chooses again', async () => {
    const pay = tool({
      name: 'pay',
      description: 'Pays.',
      approval: 'required',
      execute: () => 'paid',
    })
    const coder = agent({
      name: 'coder',
      model: scriptedModel([{ toolCalls: [{ name: 'pay', arguments: {} }] }, 'done']),
      tools: [pay],
    })
    let asked = 0
    const router = agent({
      name: 'office',
      specialists: [coder],
      routing: {
        by: () => {
          asked++
          return 'coder'
        },
      },
    })
    const engine = await startEngine({ agents: [router] })
    const { run } = await engine.finish({ agent: 'office' })
    expect(run).toMatchObject({ status: 'suspended', active_agent: 'coder' })
    const [approval] = await engine.store.approvals.ofRun(run.id)
    await engine.approvals.decide(anonymous, approval?.id ?? '', {
      decision: 'approve',
    })
    await engine.events(run, run.last_seq)
    expect(await engine.load(run)).toMatchObject({ status: 'completed', active_agent: 'coder' })
    expect(asked).toBe(1)
  })
})

describe('the specialist works as itself', () => {
  test('with its own model, tools, instructions, settings and hooks', async () => {
    const model = scriptedModel(['mine'], { id: 'scripted/mine' })
    const seen: string[] = []
    const look = tool({ name: 'look', description: 'Looks.', execute: () => 'seen' })
    const coder = agent({
      name: 'coder',
      model,
      tools: [look],
      instructions: 'You code.',
      settings: { temperature: 0.1 },
      hooks: { beforeModel: () => void seen.push('coder') },
    })
    const router = agent({
      name: 'office',
      model: scriptedModel([]),
      instructions: 'You route.',
      settings: { temperature: 0.9 },
      hooks: { beforeModel: () => void seen.push('office') },
      specialists: [{ agent: coder, keywords: ['code'] }],
    })
    const engine = await startEngine({ agents: [router] })
    const { events } = await engine.finish({ agent: 'office', input: 'code' })
    expect(model.calls[0]).toMatchObject({
      instructions: 'You code.',
      settings: { temperature: 0.1 },
      tools: [{ name: 'look' }],
    })
    expect(seen).toEqual(['coder'])
    expect(eventsOfType(events, 'step.start')).toMatchObject([{ model: 'scripted/mine' }])
  })

  test('with its own limits of steps and its own budget', async () => {
    const look = tool({ name: 'look', description: 'Looks.', effect: 'read', execute: () => 'seen' })
    const looks = () => scriptedModel(() => ({ toolCalls: [{ name: 'look', arguments: {} }] }))
    const hasty = agent({ name: 'hasty', model: looks(), tools: [look], maxSteps: 2, forceAnswer: false })
    const poor = agent({
      name: 'poor',
      model: looks(),
      tools: [look],
      budget: { toolCalls: 3 },
      forceAnswer: false,
    })
    const router = agent({
      name: 'office',
      maxSteps: 9,
      specialists: [
        { agent: hasty, keywords: ['hasty'] },
        { agent: poor, keywords: ['poor'] },
      ],
    })
    const engine = await startEngine({ agents: [router] })
    const first = await engine.finish({ agent: 'office', input: 'hasty' })
    expect(first.run).toMatchObject({ stop_reason: 'max_steps', steps: 2 })
    const second = await engine.finish({ agent: 'office', input: 'poor' })
    expect(second.run).toMatchObject({ stop_reason: 'budget', steps: 3 })
  })

  test('with its own history: it reads more of the past than the router would', async () => {
    const model = scriptedModel(() => 'ok')
    const coder = agent({ name: 'coder', model })
    const router = agent({
      name: 'office',
      model: scriptedModel([]),
      history: { maxTurns: 0 },
      specialists: [coder],
      routing: { by: () => 'coder' },
    })
    const engine = await startEngine({ agents: [router] })
    for (const input of ['one', 'two', 'three', 'four']) await engine.finish(inSession('s', input))
    expect(transcript(model.calls[3]).filter((line) => line.startsWith('user'))).toEqual([
      'user: one',
      'user: two',
      'user: three',
      'user: four',
    ])
    const { events } = await engine.finish(inSession('s', 'five'))
    expect(eventsOfType(events, 'warning')).toEqual([])
  })

  test('a value that its instructions need and the request lacks fails the run with that code', async () => {
    const coder = agent({
      name: 'coder',
      model: scriptedModel(() => 'ok'),
      instructions: template('You help {{customer}}.'),
    })
    const router = agent({ name: 'office', specialists: [{ agent: coder, keywords: ['code'] }] })
    const engine = await startEngine({ agents: [router] })
    const { run } = await engine.finish({ agent: 'office', input: 'code' })
    expect(run).toMatchObject({ status: 'failed', error: { code: 'run_context_missing' } })
    const told = { options: { run_context: { customer: 'Ada' } } }
    expect((await engine.finish({ agent: 'office', input: 'code', ...told })).text).toBe('ok')
  })
})

describe('what a request overrides', () => {
  const models = { other: scriptedModel(() => 'other', { id: 'scripted/other' }) }
  const overriding = (coder: Partial<AgentOptions>) =>
    agent({
      name: 'office',
      model: scriptedModel(() => 'office'),
      overrides: { model: true, maxStepsUpTo: 20 },
      specialists: [{ agent: speaker('coder', coder), keywords: ['code'] }],
    })

  test('its model stands where the specialist lets a request choose', async () => {
    const engine = await startEngine({ agents: [overriding({ overrides: { model: true } })], models })
    const { text } = await engine.finish({ agent: 'office', input: 'code', options: { model: 'other' } })
    expect(text).toBe('other')
  })

  test('and the specialist’s own where it does not', async () => {
    const engine = await startEngine({ agents: [overriding({})], models })
    const { text } = await engine.finish({ agent: 'office', input: 'code', options: { model: 'other' } })
    expect(text).toBe('coder')
  })

  test('its instructions are added as the specialist allows', async () => {
    const model = scriptedModel(() => 'ok')
    const replaced = scriptedModel(() => 'ok')
    const never = scriptedModel(() => 'ok')
    const make = (name: string, made: ScriptedModel, instructions: 'append' | 'replace' | 'never') =>
      agent({ name, model: made, instructions: `I am ${name}.`, overrides: { instructions } })
    const router = agent({
      name: 'office',
      specialists: [
        make('one', model, 'append'),
        make('two', replaced, 'replace'),
        make('three', never, 'never'),
      ],
      routing: { by: (input) => input },
    })
    const engine = await startEngine({ agents: [router] })
    for (const input of ['one', 'two', 'three']) {
      await engine.finish({ agent: 'office', input, options: { instructions: 'Be brief.' } })
    }
    expect(model.calls[0]?.instructions).toBe('I am one.\n\nBe brief.')
    expect(replaced.calls[0]?.instructions).toBe('Be brief.')
    expect(never.calls[0]?.instructions).toBe('I am three.')
  })

  test.each([{ name: 'look' }, 'required'] as const)(
    'a tool it forces that the specialist does not have is not asked for: %j',
    async (tool_choice) => {
      const model = scriptedModel(() => 'ok')
      const look = tool({ name: 'look', description: 'Looks.', execute: () => 'seen' })
      const router = agent({
        name: 'office',
        tools: [look],
        specialists: [{ agent: agent({ name: 'coder', model }), keywords: ['code'] }],
      })
      const engine = await startEngine({ agents: [router] })
      const { run } = await engine.finish({ agent: 'office', input: 'code', options: { tool_choice } })
      expect(run.status).toBe('completed')
      expect(model.calls[0]?.toolChoice).toBeUndefined()
    },
  )

  test('its steps count down the specialist’s', async () => {
    const look = tool({ name: 'look', description: 'Looks.', effect: 'read', execute: () => 'seen' })
    const coder = agent({
      name: 'coder',
      model: scriptedModel(() => ({ toolCalls: [{ name: 'look', arguments: {} }] })),
      tools: [look],
      forceAnswer: false,
    })
    const router = agent({ name: 'office', specialists: [{ agent: coder, keywords: ['code'] }] })
    const engine = await startEngine({ agents: [router] })
    const { run } = await engine.finish({ agent: 'office', input: 'code', options: { max_steps: 1 } })
    expect(run).toMatchObject({ stop_reason: 'max_steps', steps: 1 })
  })
})

describe('another version of the program', () => {
  test('a conversation whose specialist is gone is routed anew, and the log says so', async () => {
    const first = await startEngine({ agents: [office()] })
    await first.finish(inSession('s', 'some code'))
    await first.stop()
    const without = agent({
      name: 'office',
      model: scriptedModel(() => 'office'),
      specialists: [{ agent: speaker('writer'), keywords: ['poem'] }],
    })
    const second = await startEngine({ agents: [without], dataDir: first.dataDir })
    const { run, text, events } = await second.finish(inSession('s', 'go on'))
    expect(text).toBe('office')
    expect(run.active_agent).toBe('office')
    expect(eventsOfType(events, 'warning')).toMatchObject([
      { code: 'agent_changed', message: expect.stringContaining('coder') },
    ])
  })

  test('a run that waited for a person while its specialist went is routed anew; its call is told to be unknown', async () => {
    const pay = tool({ name: 'pay', description: 'Pays.', approval: 'required', execute: () => 'paid' })
    const coder = agent({
      name: 'coder',
      model: scriptedModel([{ toolCalls: [{ name: 'pay', arguments: {} }] }]),
      tools: [pay],
    })
    const first = await startEngine({
      agents: [agent({ name: 'office', specialists: [{ agent: coder, keywords: ['code'] }] })],
    })
    const { run } = await first.finish({ agent: 'office', input: 'code', background: true })
    expect(run.status).toBe('suspended')
    await first.stop()
    const writer = scriptedModel(() => 'writer')
    const without = agent({
      name: 'office',
      model: scriptedModel(() => 'office'),
      specialists: [{ agent: agent({ name: 'writer', model: writer }), keywords: ['code'] }],
    })
    const second = await startEngine({ agents: [without], dataDir: first.dataDir })
    const [approval] = await second.store.approvals.ofRun(run.id)
    await second.approvals.decide(anonymous, approval?.id ?? '', {
      decision: 'approve',
    })
    const events = await second.events(run, run.last_seq)
    expect(eventsOfType(events, 'tool.end')).toMatchObject([{ error: { code: 'tool_unknown' } }])
    expect(eventsOfType(events, 'warning')).toContainEqual(
      expect.objectContaining({ code: 'agent_changed', message: expect.stringContaining('coder') }),
    )
    expect(eventsOfType(events, 'agent.switch')).toMatchObject([{ from: 'office', to: 'writer' }])
    expect(await second.load(run)).toMatchObject({ status: 'completed', active_agent: 'writer' })
    expect(transcript(writer.calls[0]).at(-1)).toContain('There is no tool named "pay"')
  })

  test('a specialist that changed is told as such where its call no longer fits', async () => {
    const office = (input: z.ZodType<Record<string, unknown>>, replies: ScriptedReply[]) => {
      const pay = tool({
        name: 'pay',
        description: 'Pays.',
        approval: 'required',
        input,
        execute: () => 'ok',
      })
      const coder = agent({ name: 'coder', model: scriptedModel(replies), tools: [pay] })
      return agent({ name: 'office', specialists: [{ agent: coder, keywords: ['code'] }] })
    }
    const reply = { toolCalls: [{ name: 'pay', arguments: { to: 'Ada' } }] }
    const first = await startEngine({ agents: [office(z.object({ to: z.string() }), [reply])] })
    const { run } = await first.finish({ agent: 'office', input: 'code', background: true })
    await first.stop()
    const changed = office(z.object({ iban: z.string() }), ['sorry'])
    const second = await startEngine({ agents: [changed], dataDir: first.dataDir })
    const [approval] = await second.store.approvals.ofRun(run.id)
    await second.approvals.decide(anonymous, approval?.id ?? '', {
      decision: 'approve',
    })
    const events = await second.events(run, run.last_seq)
    expect(eventsOfType(events, 'tool.end')).toMatchObject([{ error: { code: 'tool_bad_arguments' } }])
    expect(eventsOfType(events, 'warning')).toMatchObject([{ code: 'agent_changed' }])
  })
})
