import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { createUpstreamServer, streamReply } from '../../src/testing/upstream-server.ts'
import { readEvents, startExample } from './example-process.ts'

/** A bank that answers each request with the next of these statuses; 200 where none is left. */
async function startBank(statuses: number[]) {
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(request.url ?? '')
    response.writeHead(statuses.shift() ?? 200, { 'content-type': 'application/json' })
    response.end('{"date":"2027-03-01","rates":{"USD":1.25}}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
  })
  return { requests, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/latest` }
}

async function start(statuses: number[]) {
  const bank = await startBank(statuses)
  const upstream = await createUpstreamServer()
  onTestFinished(() => upstream.close())
  const example = await startExample('examples/exchange-rates.ts', {
    LLM_BASE_URL: upstream.baseURL,
    LLM_DEFAULT_MODEL: 'test-model',
    RATES_URL: bank.url,
  })
  onTestFinished(async () => {
    expect(await example.stop()).toBe(0)
  })
  /** The result of the tool in a run of its own. */
  const look = async (input: Record<string, string>) => {
    upstream.reply(
      streamReply({ toolCalls: [{ name: 'exchange_rate', arguments: [JSON.stringify(input)] }] }),
      streamReply({ text: ['There.'] }),
    )
    const body = { input: 'How much?', stream: true }
    const events = await readEvents(await example.request('/v1/agents/money-changer/runs', body))
    return events.find(({ type }) => type === 'tool.end')
  }
  return { bank, look }
}

test('a rate is asked for again when the bank fails, and then kept', async () => {
  const { bank, look } = await start([503, 500])
  const rate = '{"rate":1.25,"date":"2027-03-01"}'
  expect(await look({ from: 'EUR', to: 'USD' })).toMatchObject({ output: rate })
  expect(bank.requests).toEqual(Array(3).fill('/latest?base=EUR&symbols=USD'))
  expect(await look({ from: 'EUR', to: 'USD' })).toMatchObject({ output: rate })
  expect(bank.requests).toHaveLength(3)
  await look({ from: 'CHF', to: 'USD' })
  expect(bank.requests).toHaveLength(4)
})

test('a currency the bank does not know is not asked for again, and not kept', async () => {
  const { bank, look } = await start([404, 404])
  const failure = { error: { code: 'tool_failed' }, output: 'Error: The bank does not know EUR or XXX.' }
  expect(await look({ from: 'EUR', to: 'XXX' })).toMatchObject(failure)
  expect(bank.requests).toHaveLength(1)
  expect(await look({ from: 'EUR', to: 'XXX' })).toMatchObject(failure)
  expect(bank.requests).toHaveLength(2)
  expect(await look({ from: 'euro', to: 'USD' })).toMatchObject({ error: { code: 'tool_bad_arguments' } })
  expect(bank.requests).toHaveLength(2)
})
