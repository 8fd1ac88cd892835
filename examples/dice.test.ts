// #region scripted
import { createFakeClock, createTestServer, scriptedModel } from 'parleykit/testing'
import { expect, onTestFinished, test } from 'vitest'
import dice from './dice.ts'

test('the number that was rolled goes back to the model', async () => {
  const model = scriptedModel([
    { toolCalls: [{ name: 'roll_dice', arguments: { sides: 6 } }] },
    'There it is.',
  ])
  const server = await createTestServer({ agents: [{ ...dice, models: [model] }] })
  onTestFinished(() => server.close())

  const response = await server.request('/chat', { body: { message: 'Roll!' } })

  expect(await response.json()).toMatchObject({ answer: 'There it is.', steps: 2, completed: true })
  const result = model.calls[1]!.items.at(-1)
  expect(result).toMatchObject({ type: 'tool_result', output: expect.stringMatching(/^[1-6]$/) })
})
// #endregion

// #region fake-clock
test('a rate limit of the provider is waited out', async () => {
  const clock = createFakeClock()
  const asked = Promise.withResolvers<void>()
  const model = scriptedModel((_request, call) => {
    if (call > 0) return 'Here I am.'
    asked.resolve()
    return { error: { code: 'model_rate_limited', retryAfterMs: 30_000 } }
  })
  const server = await createTestServer({ agents: [{ ...dice, models: [model] }], clock })
  onTestFinished(() => server.close())

  const answer = server.request('/chat', { body: { message: 'Hello' } })
  await asked.promise
  await clock.advance(29_999)
  expect(model.calls).toHaveLength(1)
  await clock.advance(1)

  expect(await (await answer).json()).toMatchObject({ answer: 'Here I am.' })
})
// #endregion
