import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { createWeatherDesk } from '../../examples/weather-agent/agent.ts'
import { createTestServer, createUpstreamServer, fixtureModel, streamReply } from '../../src/testing/index.ts'
import { startExample } from './example-process.ts'

afterEach(() => vi.unstubAllEnvs())

const key = 'sk-example-0123456789abcdef0123456789'

async function newFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-example-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return join(folder, 'fixture.json')
}

/** As the example's test records it, with a stand-in for the provider. */
async function record(path: string): Promise<void> {
  const upstream = await createUpstreamServer({
    keys: [key],
    replies: [forecastCall('Oslo'), 'Better not: gusts of 28 m/s are forecast off Oslo today.'],
  })
  onTestFinished(() => upstream.close())
  vi.stubEnv('OPENAI_API_KEY', key)
  vi.stubEnv('OPENAI_BASE_URL', upstream.baseURL)
  const model = fixtureModel({
    path,
    model: 'openai/gpt-4o-mini',
    record: true,
    normalise: (text) => text.replaceAll(/\d{4}-\d\d-\d\d/g, 'DATE'),
  })
  const desk = createWeatherDesk({
    forecast: (city) => Promise.resolve(`${city}: gale, gusts of 28 m/s`),
    publish: () => Promise.resolve(),
  })
  const server = await createTestServer({ agents: [{ ...desk, models: [model] }] })
  await server.run('Can I go sailing off Oslo today?')
  await server.close()
  await model.close()
}

test('the fixture of the weather agent is what its test records', async () => {
  const path = await newFile()
  await record(path)
  const committed = join(import.meta.dirname, '../../examples/weather-agent/fixtures/gale-in-oslo.json')
  await expect(await readFile(path, 'utf8')).toMatchFileSnapshot(committed)
})

test('a model that is recorded by its name is asked with its key, which is not written', async () => {
  const path = await newFile()
  await record(path)
  expect(await readFile(path, 'utf8')).not.toContain(key)
})

test('where CI is set, nothing is recorded', async () => {
  vi.stubEnv('CI', 'true')
  const path = await newFile()
  expect(() => fixtureModel({ path, model: 'openai/gpt-4o-mini' })).toThrow('the variable CI is set')
})

test('the weather agent is served, and answers by its own forecasts', async () => {
  const upstream = await createUpstreamServer({ replies: [forecastCall('Lisbon'), 'Yes.'] })
  onTestFinished(() => upstream.close())
  const example = await startExample('examples/weather-agent/agent.ts', {
    OPENAI_API_KEY: key,
    OPENAI_BASE_URL: upstream.baseURL,
  })
  try {
    const response = await example.request('/chat', { message: 'Can I go sailing off Lisbon?' })
    expect(await response.json()).toMatchObject({ answer: 'Yes.', steps: 2 })
    expect(JSON.stringify(upstream.requests[1]!.body)).toContain('sunny, 24 °C')
  } finally {
    expect(await example.stop()).toBe(0)
  }
})

function forecastCall(city: string) {
  const pieces = ['{"', 'city', '":"', city, '"}']
  return streamReply({ toolCalls: [{ name: 'get_forecast', arguments: pieces }] })
}
