import { describe, expect, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { AppError } from '../../src/errors.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { eventsOfType, principal, startEngine } from './engine-under-test.ts'

const always = () => scriptedModel(['ok'], { atEnd: 'repeat' })
const refused = (path: string) =>
  expect.objectContaining({
    code: 'invalid_request',
    locations: [
      expect.objectContaining({
        path: path.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part)),
      }),
    ],
  })

describe('instructions', () => {
  test.each([
    { own: 'Own.', mode: 'append', extra: 'More.', sent: 'Own.\n\nMore.' },
    { own: 'Own.', mode: 'append', extra: undefined, sent: 'Own.' },
    { own: '', mode: 'append', extra: 'More.', sent: 'More.' },
    { own: '', mode: 'append', extra: undefined, sent: undefined },
    { own: 'Own.', mode: 'replace', extra: 'More.', sent: 'More.' },
    { own: 'Own.', mode: 'replace', extra: undefined, sent: 'Own.' },
    { own: 'Own.', mode: 'never', extra: undefined, sent: 'Own.' },
  ] as const)('agent "$own", request "$extra", $mode: "$sent"', async ({ own, mode, extra, sent }) => {
    const model = always()
    const engine = await startEngine({
      model,
      agent: { instructions: own, overrides: { instructions: mode } },
    })
    await engine.finish({ options: extra === undefined ? {} : { instructions: extra } })
    expect(model.calls[0]?.instructions).toBe(sent)
  })

  test('an agent that takes none refuses the request', async () => {
    const engine = await startEngine({ model: always(), agent: { overrides: { instructions: 'never' } } })
    await expect(engine.start({ options: { instructions: 'More.' } })).rejects.toEqual(
      refused('body.instructions'),
    )
    expect(engine.gauges().activeRuns).toBe(0)
  })

  test('a function sees who calls and the run context', async () => {
    const model = always()
    const engine = await startEngine({
      model,
      agent: {
        instructions: async ({ owner, namespace, runContext, conversationId }) =>
          `${owner}/${namespace} ${String(runContext.language)} ${conversationId?.slice(0, 5)}`,
      },
    })
    const run = await engine.start({
      principal: principal('ada', 'app'),
      conversation: { session: null },
      options: { run_context: { language: 'de' } },
    })
    await engine.settled(run)
    expect(model.calls[0]?.instructions).toBe('ada/app de conv_')
  })

  test('a function that throws fails the run as internal', async () => {
    const engine = await startEngine({
      model: always(),
      agent: {
        instructions: () => {
          throw new AppError('model_refused')
        },
      },
    })
    expect((await engine.finish()).run).toMatchObject({ status: 'failed', error: { code: 'internal' } })
  })
})

describe('the model', () => {
  test('is not for a request to choose, unless the agent says so', async () => {
    const engine = await startEngine({ model: always(), models: { other: always() } })
    await expect(engine.start({ options: { model: 'other' } })).rejects.toEqual(refused('body.model'))
  })

  test('may be chosen where the agent allows it, and run.start names it', async () => {
    const [own, other] = [always(), scriptedModel(['From the other.'], { id: 'scripted/other' })]
    const engine = await startEngine({
      model: own,
      models: { 'scripted/other': other },
      agent: { overrides: { model: true } },
    })
    const { text, events } = await engine.finish({ options: { model: 'scripted/other' } })
    expect(text).toBe('From the other.')
    expect(own.calls).toHaveLength(0)
    expect(eventsOfType(events, 'run.start')[0]?.model).toBe('scripted/other')
    expect(eventsOfType(events, 'step.start')[0]?.model).toBe('scripted/other')
  })
})

describe('limits', () => {
  test('max_steps goes downward by default', async () => {
    const model = always()
    const engine = await startEngine({ model, agent: { maxSteps: 3 } })
    await expect(engine.start({ options: { max_steps: 4 } })).rejects.toEqual(refused('body.max_steps'))
    expect((await engine.finish({ options: { max_steps: 3 } })).run.status).toBe('completed')
  })

  test('and upward as far as the agent lets it', async () => {
    const again = tool({ name: 'again', description: 'Again.', execute: () => 'ok' })
    const model = scriptedModel([{ toolCalls: [{ name: 'again', arguments: {} }] }], { atEnd: 'repeat' })
    const engine = await startEngine({
      model,
      agent: { tools: [again], maxSteps: 1, forceAnswer: false, overrides: { maxStepsUpTo: 3 } },
    })
    expect((await engine.finish({ options: { max_steps: 3 } })).run.steps).toBe(3)
    expect((await engine.finish()).run.steps).toBe(1)
  })

  test('an agent whose max_steps no request may set has its own', async () => {
    const agent = { maxSteps: 2, forceAnswer: false, overrides: { maxStepsUpTo: 0 } }
    const engine = await startEngine({ model: always(), agent })
    await expect(engine.start({ options: { max_steps: 1 } })).rejects.toEqual(refused('body.max_steps'))
    expect((await engine.finish()).run).toMatchObject({ stop_reason: 'final', steps: 1 })
  })
})

test("a caller's tool may not bear the name of the agent's own, nor of another of theirs", async () => {
  const own = tool({ name: 'own', description: 'Ours.', execute: () => 1 })
  const engine = await startEngine({ model: always(), agent: { tools: [own] } })
  const theirs = (name: string) => ({ name, description: '', parameters: {} })
  await expect(engine.start({ options: { tools: [theirs('own')] } })).rejects.toEqual(
    refused('body.tools.0.name'),
  )
  await expect(engine.start({ options: { tools: [theirs('a'), theirs('a')] } })).rejects.toEqual(
    refused('body.tools.1.name'),
  )
})

test('an agent that is not there is agent_not_found', async () => {
  const engine = await startEngine({ agents: [agent({ name: 'other', model: always() })] })
  await expect(engine.start()).rejects.toMatchObject({
    code: 'agent_not_found',
    details: { agent: 'assistant' },
  })
})
