import {
  assertEvents,
  createFakeClock,
  createTestServer,
  fixtureModel,
  scriptedModel,
} from 'parleykit/testing'
import { expect, onTestFinished, test } from 'vitest'
import { createWeatherDesk, type Stations } from './agent.ts'

const stations: Stations = {
  forecast: (city) => Promise.resolve(`${city}: gale, gusts of 28 m/s`),
  publish: () => Promise.resolve(),
}

// #region fixture
test('looks the forecast up, and answers with it', async () => {
  const model = fixtureModel({
    path: new URL('./fixtures/gale-in-oslo.json', import.meta.url),
    model: 'openai/gpt-4o-mini',
    normalise: (text) => text.replaceAll(/\d{4}-\d\d-\d\d/g, 'DATE'),
  })
  const server = await createTestServer({ agents: [{ ...createWeatherDesk(stations), models: [model] }] })
  onTestFinished(async () => {
    await server.close()
    await model.close()
  })

  const { text, toolCalls } = await server.run('Can I go sailing off Oslo today?')

  expect(toolCalls).toMatchObject([{ name: 'get_forecast', arguments: { city: 'Oslo' } }])
  expect(text).toMatch(/28 m\/s/)
})
// #endregion

// #region events
test('a warning is published when a person has agreed, not before', async () => {
  const published: string[] = []
  const desk = createWeatherDesk({ ...stations, publish: async (warning) => void published.push(warning) })
  const warning = { name: 'publish_warning', arguments: { text: 'Gale off Oslo.' } }
  const model = scriptedModel([{ text: 'I propose this.', toolCalls: [warning] }, 'It is out.'])
  const server = await createTestServer({ agents: [{ ...desk, models: [model] }] })
  onTestFinished(() => server.close())

  const proposed = await server.run('Warn the sailors.')
  assertEvents(proposed.events, [
    'run.start',
    'step.start',
    'text.start',
    { type: 'text.delta', delta: 'I propose this.' },
    'text.end',
    '...',
    { type: 'tool.call', name: 'publish_warning', arguments: { text: /^Gale/ } },
    'step.end',
    { type: 'run.suspend', approvals: [{ tool: 'publish_warning', reason: 'policy' }] },
  ])
  expect(published).toEqual([])

  const { text, events } = await server.decide(proposed.run, { decision: 'approve' })
  assertEvents(events, [
    '...',
    { type: 'approval.resolve', decision: 'approve' },
    '...',
    { type: 'tool.end', output: 'published' },
    '...',
    { type: 'run.end', status: 'completed', steps: 2 },
  ])
  expect([text, published]).toEqual(['It is out.', ['Gale off Oslo.']])
})
// #endregion

// #region fake-clock
test('a station that does not answer is given up after five seconds', async () => {
  const asked = Promise.withResolvers<void>()
  const silent: Stations['forecast'] = (_city, signal) => {
    asked.resolve()
    return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
  const lookUp = { name: 'get_forecast', arguments: { city: 'Oslo' } }
  const model = scriptedModel([{ toolCalls: [lookUp] }, 'The station is silent.'])
  const clock = createFakeClock()
  const desk = createWeatherDesk({ ...stations, forecast: silent })
  const server = await createTestServer({ agents: [{ ...desk, models: [model] }], clock })
  onTestFinished(() => server.close())

  const run = server.run('How is Oslo?')
  await asked.promise
  await clock.advance(4_999)
  expect(model.calls).toHaveLength(1)
  await clock.advance(1)

  expect(await run).toMatchObject({
    text: 'The station is silent.',
    toolCalls: [{ error: { code: 'tool_timeout' } }],
  })
})
// #endregion

// #region live
test('a run that nobody wants any more is ended in the middle', async () => {
  const model = scriptedModel([{ text: ['Winds', ' and', ' waves'], hang: true }])
  const server = await createTestServer({ agents: [{ ...createWeatherDesk(stations), models: [model] }] })
  onTestFinished(() => server.close())

  const live = await server.start('Tell me everything about wind.')
  await live.reach('text.delta')
  const { run, text } = await live.cancel()

  expect([run.status, text]).toEqual(['cancelled', 'Winds and waves'])
  expect(model.aborted).toBe(1)
})
// #endregion
