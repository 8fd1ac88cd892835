import { expect, onTestFinished, test } from 'vitest'
import { readEvents, startExample } from './example-process.ts'

test('the trip desk plans, looks around, and plans again with what it found', async () => {
  const example = await startExample('examples/planner.ts')
  onTestFinished(async () => {
    expect(await example.stop()).toBe(0)
  })
  const body = { input: 'A day at the sea, please.', stream: true }
  const events = await readEvents(await example.request('/v1/agents/trip-desk/runs', body))
  const order = events.flatMap((event) => {
    if (event['type'] === 'plan.update') return [event['updated'] ? 'new plan' : 'plan']
    return event['type'] === 'step.start' ? [event['step']] : []
  })
  expect(order).toEqual(['plan', 0, 1, 'new plan', 2, 3])
  expect(events.at(-1)).toMatchObject({ type: 'run.end', status: 'completed' })

  const chat = await example.request('/chat', { message: 'And again, please.' })
  expect(await chat.json()).toMatchObject({
    answer: expect.stringContaining('Take the 07:32 to Binz'),
    plan: 'Known: it rains in Warnemünde, Binz is sunny. Next: a train to Binz, then answer.',
    steps: 4,
  })
})
