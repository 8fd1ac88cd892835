import { describe, expect, test } from 'vitest'
import type { AgentOptions } from '../../src/agent/agent-options.ts'
import { agent } from '../../src/agent/agent.ts'
import { AppError } from '../../src/errors.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { createId } from '../../src/ids.ts'
import { scriptedModel, type ScriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { eventsOfType, startEngine, transcript, typesOf, userMessage } from './engine-under-test.ts'
import { createLogCapture } from './log-capture.ts'
import { inSession, office, speaker } from './office.ts'

describe('by keywords', () => {
  test('the one spoken for answers, and the log says who, from whom and why', async () => {
    const engine = await startEngine({ agents: [office()] })
    const { run, events, text } = await engine.finish({ agent: 'office', input: 'a stack trace in my poem' })
    expect(text).toBe('coder')
    expect(typesOf(events).slice(0, 3)).toEqual(['run.start', 'agent.switch', 'step.start'])
    expect(eventsOfType(events, 'agent.switch')).toMatchObject([
      { from: 'office', to: 'coder', why: 'keywords' },
    ])
    expect(run).toMatchObject({ agent: 'office', active_agent: 'coder' })
  })

  test('only what the caller said last counts', async () => {
    const engine = await startEngine({ agents: [office()] })
    const input = [
      userMessage('some code'),
      {
        type: 'message' as const,
        id: createId('item'),
        role: 'assistant' as const,
        content: [{ type: 'text' as const, text: 'code' }],
      },
      userMessage('a poem'),
    ]
    expect((await engine.finish({ agent: 'office', input })).text).toBe('writer')
  })

  test('where nothing speaks for anybody the router answers itself, without a switch', async () => {
    const engine = await startEngine({ agents: [office()] })
    const { run, events, text } = await engine.finish({ agent: 'office', input: 'hello' })
    expect(text).toBe('office')
    expect(eventsOfType(events, 'agent.switch')).toEqual([])
    expect(run.active_agent).toBe('office')
  })

  test('or the specialist that is named as fallback', async () => {
    const engine = await startEngine({ agents: [office({ routing: { fallback: 'writer' } })] })
    const { events, text } = await engine.finish({ agent: 'office', input: 'hello' })
    expect(text).toBe('writer')
    expect(eventsOfType(events, 'agent.switch')).toMatchObject([{ to: 'writer', why: 'fallback' }])
  })

  test('a fallback that is none of the specialists is refused at once', () => {
    expect(() => office({ routing: { fallback: 'nobody' } })).toThrow(
      'agent office: routing.fallback: nobody is none of its specialists',
    )
  })
})

describe('by a function', () => {
  test('it is given the input and who answered before, and may take its time', async () => {
    const seen: unknown[] = []
    const by = async (input: string, { current, owner }: { current: string | null; owner: string }) => {
      await Promise.resolve()
      seen.push({ input, current, owner })
      return current === 'coder' ? 'writer' : 'coder'
    }
    const engine = await startEngine({ agents: [office({ routing: { by } })] })
    const first = await engine.finish(inSession('s', 'one'))
    const second = await engine.finish(inSession('s', 'two'))
    expect([first.text, second.text]).toEqual(['coder', 'writer'])
    expect(eventsOfType(first.events, 'agent.switch')).toMatchObject([{ why: 'function' }])
    expect(seen).toEqual([
      { input: 'one', current: null, owner: 'anonymous' },
      { input: 'two', current: 'coder', owner: 'anonymous' },
    ])
  })

  test.each([undefined, null])('%s leaves the conversation with the one it has', async (nobody) => {
    const by = (input: string) => (input === 'first' ? 'coder' : (nobody as undefined))
    const engine = await startEngine({ agents: [office({ routing: { by } })] })
    await engine.finish(inSession('s', 'first'))
    const { text, events } = await engine.finish(inSession('s', 'second'))
    expect(text).toBe('coder')
    expect(eventsOfType(events, 'agent.switch')).toMatchObject([{ to: 'coder', why: 'conversation' }])
    expect(eventsOfType(events, 'warning')).toEqual([])
  })

  test('a name it makes up is a warning, and the fallback answers', async () => {
    const engine = await startEngine({ agents: [office({ routing: { by: () => 'lawyer' } })] })
    const { run, text, events } = await engine.finish({ agent: 'office' })
    expect(run.status).toBe('completed')
    expect(text).toBe('office')
    expect(eventsOfType(events, 'warning')).toMatchObject([
      { code: 'route_unknown', message: expect.stringContaining('"lawyer"') },
    ])
  })

  test.each([
    [
      'that throws',
      () => {
        throw new Error('secret')
      },
    ],
    ['that gives no name', () => 7 as unknown as string],
  ])('one %s is a bug: the run fails with internal, and what it said stays here', async (_what, by) => {
    const log = createLogCapture()
    const engine = await startEngine({ agents: [office({ routing: { by } })], logger: log.logger })
    const { run, events } = await engine.finish({ agent: 'office' })
    expect(run).toMatchObject({ status: 'failed', error: { code: 'internal' } })
    expect(JSON.stringify(events)).not.toContain('secret')
    expect(log.lines().some(({ level }) => level === 'error')).toBe(true)
  })

  test('a cancel ends the run while it still thinks, and tells it', async () => {
    const asked = Promise.withResolvers<AbortSignal>()
    const by = (_input: string, { signal }: { signal: AbortSignal }) => {
      asked.resolve(signal)
      return new Promise<string>(() => {})
    }
    const engine = await startEngine({ agents: [office({ routing: { by } })] })
    const run = await engine.start({ agent: 'office' })
    const signal = await asked.promise
    await engine.runs.cancel(anonymous, run.id, 'test')
    expect(signal.aborted).toBe(true)
    expect(await engine.settled(run)).toMatchObject({ status: 'cancelled', steps: 0 })
  })
})

describe('by a model', () => {
  const chooser = (...replies: ScriptedReply[]) => scriptedModel(replies, { id: 'scripted/chooser' })
  const routed = (model: ScriptedModel, options: Partial<AgentOptions> = {}) =>
    office({ routing: { by: 'model', model }, ...options })

  test('it chooses from a closed set, by a schema, and is not seen in the run', async () => {
    const model = chooser('{"agent": "writer"}')
    const engine = await startEngine({ agents: [routed(model)] })
    const { run, events, text, types } = await engine.finish({ agent: 'office', input: 'A sonnet, please.' })
    expect(text).toBe('writer')
    expect(eventsOfType(events, 'agent.switch')).toMatchObject([{ to: 'writer', why: 'model' }])
    const [request] = model.calls
    expect(request?.outputSchema).toMatchObject({
      properties: { agent: { enum: ['coder', 'writer', 'office'] } },
      required: ['agent'],
    })
    expect(request?.instructions).toContain('writer: Knows writer.')
    expect(request?.tools).toEqual([])
    expect(transcript(request).at(-1)).toBe('user: A sonnet, please.')
    expect(types.filter((type) => type === 'step.start')).toHaveLength(1)
    expect(await engine.items(run)).toHaveLength(2)
  })

  test('the router is no choice where somebody else is the fallback', async () => {
    const model = chooser('{"agent": "writer"}')
    const engine = await startEngine({
      agents: [office({ routing: { by: 'model', model, fallback: 'coder' } })],
    })
    await engine.finish({ agent: 'office' })
    expect(model.calls[0]?.outputSchema).toMatchObject({
      properties: { agent: { enum: ['coder', 'writer'] } },
    })
  })

  test('its usage and its cost are the run’s', async () => {
    const usage = { input_tokens: 100, output_tokens: 10, total_tokens: 110 }
    const model = chooser({ text: 'coder', usage })
    const engine = await startEngine({
      agents: [routed(model)],
      prices: { 'scripted/chooser': { input: 1_000_000, output: 0 } },
    })
    const { run } = await engine.finish({ agent: 'office' })
    expect(run.usage).toEqual({ input_tokens: 101, output_tokens: 11, total_tokens: 112 })
    expect(run.spent?.cost).toBe(100)
    // Durable with the choice: another attempt does not choose again.
    expect(engine.commits[0]).toMatchObject({ agent: 'coder', usage })
  })

  test.each(['writer', '"Writer"', 'WRITER.', '```json\n{"agent": "writer"}\n```', '{"agent":"writer"'])(
    'a model that is not held to the schema is understood: %j',
    async (reply) => {
      const engine = await startEngine({ agents: [routed(chooser(reply))] })
      expect((await engine.finish({ agent: 'office' })).text).toBe('writer')
    },
  )

  test.each(['lawyer', '', 'I would say the writer or the coder'])(
    'an answer outside the set is a warning, and the fallback answers: %j',
    async (reply) => {
      const engine = await startEngine({ agents: [routed(chooser(reply))] })
      const { run, text, events } = await engine.finish({ agent: 'office' })
      expect(run).toMatchObject({ status: 'completed', active_agent: 'office' })
      expect(text).toBe('office')
      expect(eventsOfType(events, 'warning')).toMatchObject([{ code: 'route_unknown' }])
    },
  )

  test('it is told who answers now and may leave it so, though that is no specialist', async () => {
    const helper = speaker('helper')
    const coder = agent({
      name: 'coder',
      model: scriptedModel([{ toolCalls: [{ name: 'transfer_to_helper', arguments: {} }] }]),
      handoffs: [helper],
    })
    const model = chooser('coder', '{"agent":"helper"}')
    const router = agent({ name: 'office', specialists: [coder], routing: { by: 'model', model } })
    const engine = await startEngine({ agents: [router] })
    await engine.finish(inSession('s', 'one'))
    const { text, events } = await engine.finish(inSession('s', 'two'))
    expect(text).toBe('helper')
    expect(model.calls[1]?.instructions).toContain('helper')
    expect(eventsOfType(events, 'warning')).toEqual([])
  })

  test('it reads what was said before, so that a short answer can be placed', async () => {
    const model = chooser('writer', 'writer')
    const engine = await startEngine({ agents: [routed(model)] })
    await engine.finish(inSession('s', 'A poem?'))
    await engine.finish(inSession('s', 'And one more.'))
    const said = transcript(model.calls[1]).join('\n')
    expect(said).toContain('A poem?')
    expect(said).toContain('And one more.')
    expect(transcript(model.calls[1])).toHaveLength(1)
  })

  test('one that fails is a warning, not the end of the run, and says nothing of the provider', async () => {
    const log = createLogCapture()
    const model = chooser({ error: { code: 'model_auth_failed' } })
    const engine = await startEngine({ agents: [routed(model)], logger: log.logger })
    const { run, text, events } = await engine.finish({ agent: 'office' })
    expect(run.status).toBe('completed')
    expect(text).toBe('office')
    expect(eventsOfType(events, 'warning')).toEqual([
      expect.objectContaining({
        code: 'route_failed',
        message: 'Who should answer could not be chosen (model_auth_failed).',
      }),
    ])
    expect(log.text()).toContain('the routing model failed')
  })

  test('where it fails the conversation stays with the one it has', async () => {
    const model = chooser('writer', { error: { throw: new Error('socket') } })
    const engine = await startEngine({ agents: [routed(model)] })
    await engine.finish(inSession('s', 'one'))
    const { text, events } = await engine.finish(inSession('s', 'two'))
    expect(text).toBe('writer')
    expect(eventsOfType(events, 'agent.switch')).toMatchObject([{ to: 'writer', why: 'conversation' }])
  })

  test('what may pass is tried again', async () => {
    const model = chooser({ error: { code: 'model_unavailable', retryAfterMs: 0 } }, 'coder')
    const engine = await startEngine({ agents: [routed(model)] })
    expect((await engine.finish({ agent: 'office' })).text).toBe('coder')
  })

  test('what the router’s hooks refuse is not asked, and ends the run', async () => {
    const model = chooser('coder')
    const hooks = {
      beforeModel: () => ({ refuse: { code: 'content_filter' as const, message: 'Not this.' } }),
    }
    const engine = await startEngine({ agents: [routed(model, { hooks })] })
    const { run, events } = await engine.finish({ agent: 'office' })
    expect(run.stop_reason).toBe('content_filter')
    expect(eventsOfType(events, 'warning')).toMatchObject([{ code: 'content_filter', message: 'Not this.' }])
    expect(model.calls).toEqual([])
  })

  test('a cancel ends it', async () => {
    const asked = Promise.withResolvers<void>()
    const model = scriptedModel(() => {
      asked.resolve()
      return { hang: true }
    })
    const engine = await startEngine({ agents: [routed(model)] })
    const run = await engine.start({ agent: 'office' })
    await asked.promise
    await engine.runs.cancel(anonymous, run.id, 'test')
    expect(await engine.settled(run)).toMatchObject({ status: 'cancelled' })
    expect(model.aborted).toBe(1)
  })

  test('where no specialist has keywords a model call decides, by the router’s own model', async () => {
    const model = scriptedModel(['{"agent":"coder"}'])
    const router = agent({ name: 'office', model, specialists: [speaker('coder'), speaker('writer')] })
    const engine = await startEngine({ agents: [router] })
    expect((await engine.finish({ agent: 'office' })).text).toBe('coder')
    expect(model.calls).toHaveLength(1)
  })
})

test('two agents of one name cannot be told apart: the start is refused', async () => {
  const router = office({ specialists: [speaker('office')] })
  await expect(startEngine({ agents: [router] })).rejects.toThrow('two agents are named office')
})

test('a routing model that cannot be had is refused at the start', async () => {
  await expect(
    startEngine({ agents: [office({ routing: { by: 'model', model: 'nobody/nothing' } })] }),
  ).rejects.toSatisfy((error) => AppError.is(error) && error.code === 'model_not_configured')
})
