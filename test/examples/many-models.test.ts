import { expect, onTestFinished, test } from 'vitest'
import { readEvents, startProgram } from './example-process.ts'

test('an agent answers from its second model, with its second key, and the log says which key cools down', async () => {
  const program = await startProgram('examples/many-models.ts', { LOG_LEVEL: 'warn' })
  onTestFinished(async () => {
    expect(await program.stop()).toBe(0)
  })
  const ask = async () => {
    const body = { input: 'Hello', stream: true }
    const events = await readEvents(await program.request('/v1/agents/clerk/runs', body))
    const deltas = events.filter(({ type }) => type === 'text.delta').map(({ delta }) => delta)
    return { text: deltas.join(''), end: events.at(-1) }
  }
  for (let i = 0; i < 8; i++) {
    const { text, end } = await ask()
    expect(text).toBe('Good day.')
    // 1000 tokens in at 0.2 and 500 out at 0.8, of a million each.
    expect(end).toMatchObject({
      type: 'run.end',
      status: 'completed',
      cost: expect.closeTo(0.0006, 10) as number,
    })
  }
  // Each run asks twice, and its share is three of four.
  expect(program.output()).toMatch(/"provider":"town","key":"main","code":"model_auth_failed"/)
  expect(program.output()).not.toMatch(/town-key/)
})
