import { expect, onTestFinished, test } from 'vitest'
import { createUpstreamServer, streamReply } from '../../src/testing/upstream-server.ts'
import { startExample } from './example-process.ts'

const body = {
  input: 'Where is my lamp?',
  run_context: { shop: { name: 'Lamps & Co' }, customer: { name: 'Ann', orders: ['A-17'] } },
}

async function start(environment: Record<string, string> = {}) {
  const example = await startExample('examples/prompt-file.ts', environment)
  onTestFinished(async () => {
    expect(await example.stop()).toBe(0)
  })
  return example
}

test('the shop desk fills its prompt from the request', async () => {
  const upstream = await createUpstreamServer()
  onTestFinished(() => upstream.close())
  const example = await start({ LLM_BASE_URL: upstream.baseURL, LLM_DEFAULT_MODEL: 'test-model' })
  upstream.reply(streamReply({ text: ['On its way.'] }))
  const response = await example.request('/v1/agents/shop-desk/runs', body)
  expect(await response.json()).toMatchObject({ status: 'completed', output: 'On its way.' })
  const { messages } = upstream.requests[0]!.body as { messages: { role: string; content: string }[] }
  expect(messages[0]).toEqual({
    role: 'system',
    content: [
      '# The desk of Lamps & Co',
      '',
      'You help Ann, a customer of Lamps & Co.',
      '',
      '- Answer in the language of the question.',
      '- Orders that the customer has open: ["A-17"]. You know of no others.',
      '- When you draft a letter to all customers, begin it with `Dear {{first_name}},`: the mail program fills that in.',
    ].join('\n'),
  })
})

test('the shop desk refuses a request that does not say who asks', async () => {
  const example = await start()
  const { run_context } = body
  const response = await example.request('/v1/agents/shop-desk/runs', {
    ...body,
    run_context: { ...run_context, customer: { name: 'Ann' } },
  })
  expect(response.status).toBe(400)
  expect(await response.json()).toMatchObject({
    code: 'run_context_missing',
    errors: [{ path: ['body', 'run_context', 'customer', 'orders'], message: 'missing' }],
  })
  expect((await example.request('/v1/agents/shop-desk/runs', body)).status).toBe(200)
})
