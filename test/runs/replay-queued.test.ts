import { expect, test } from 'vitest'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import { readFrames } from './frame-client.ts'

test('a reader that waits for a queued run gets the head of its answer before the first event', async () => {
  let start = () => {}
  const started = new Promise<void>((resolve) => {
    start = resolve
  })
  const server = await createTestServer({
    model: scriptedModel([{ text: ['first'], gate: () => started }, { text: ['second'] }]),
  })
  try {
    const create = async () => {
      const body = { input: 'hello', background: true, session_id: 'shared' }
      return (await (await server.request('/v1/agents/assistant/runs', { body })).json()) as { id: string }
    }
    await create()
    const { id } = await create()
    const reading = readFrames({ url: server.url, path: `/v1/runs/${id}/events` })
    // The reader is attached once it is counted; the run must begin before it is told that it will be silent.
    while (server.gauges().readers === 0) await new Promise((resolve) => setImmediate(resolve))
    start()
    const { status, frames } = await reading
    expect(status).toBe(200)
    expect(frames.map(({ event }) => event.type)).toEqual([
      'run.start',
      'step.start',
      'text.start',
      'text.delta',
      'text.end',
      'step.end',
      'run.end',
    ])
  } finally {
    await server.close()
  }
})
