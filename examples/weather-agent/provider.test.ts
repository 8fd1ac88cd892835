import { createTestServer, createUpstreamServer, errorReply, streamReply } from 'parleykit/testing'
import { expect, onTestFinished, test } from 'vitest'
import { createWeatherDesk } from './agent.ts'

// #region upstream
test('the desk speaks to a gateway with its key, and outlives a reply that breaks off', async () => {
  const upstream = await createUpstreamServer({ keys: ['key-of-the-desk'] })
  onTestFinished(() => upstream.close())
  upstream.reply(
    errorReply(503, 'overloaded', { headers: { 'retry-after': '0' } }),
    streamReply({ toolCalls: [{ name: 'get_forecast', arguments: ['{"city":', '"Oslo"}'] }] }),
    'Stay ashore.',
  )
  const desk = createWeatherDesk({ forecast: async () => 'gale', publish: async () => {} })
  const server = await createTestServer({
    agents: [{ ...desk, models: ['llm/gale-1'] }],
    llmBaseUrl: upstream.baseURL,
    llmApiKey: 'key-of-the-desk',
  })
  onTestFinished(() => server.close())

  const { text } = await server.run('Can I go sailing off Oslo today?')

  expect(text).toBe('Stay ashore.')
  expect(upstream.requests).toHaveLength(3)
  expect(upstream.requests[2]!.body).toMatchObject({ model: 'gale-1', stream: true, tools: [{}, {}] })
})
// #endregion
