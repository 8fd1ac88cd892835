import { expect, onTestFinished, test } from 'vitest'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import { pages } from './pages.ts'

type Run = { object: string } & Record<string, unknown>

/** The runs that pages show whole. */
const samples = pages().flatMap(({ path, text }) =>
  [...text.matchAll(/^\{"id":"run_.*\}$/gm)].map(([line]) => ({ path, run: JSON.parse(line) as Run })),
)

test('there are runs to look at', () => {
  expect(samples.map(({ run }) => run['status'])).toEqual(expect.arrayContaining(['completed', 'suspended']))
})

test('the runs of the pages have the fields that a run has, in its order', async () => {
  const server = await createTestServer({ model: scriptedModel(['Hello.']) })
  onTestFinished(() => server.close())
  const response = await server.request('/v1/agents/assistant/runs', { body: { input: 'Hi' } })
  const fields = Object.keys((await response.json()) as Run)
  for (const { path, run } of samples) {
    expect({ path, fields: Object.keys(run) }).toEqual({ path, fields })
  }
})
