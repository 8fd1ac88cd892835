import { expect, onTestFinished, test } from 'vitest'
import { createUpstreamServer, streamReply } from '../../src/testing/upstream-server.ts'
import { readEvents, startExample } from './example-process.ts'

interface UpstreamBody {
  messages: { role: string; content: string }[]
  response_format?: { json_schema: { strict?: boolean; schema: Record<string, unknown> } }
}

const invoice = {
  number: '2026-117',
  date: '2026-11-03',
  currency: 'EUR',
  lines: [
    { text: 'Two chairs', amount: 160 },
    { text: 'Delivery', amount: 12.5 },
  ],
  total: 160,
  note: null,
}
const right = { ...invoice, total: 172.5 }

async function start(...answers: unknown[]) {
  const upstream = await createUpstreamServer()
  onTestFinished(() => upstream.close())
  upstream.reply(...answers.map((answer) => streamReply({ text: [JSON.stringify(answer)] })))
  const example = await startExample('examples/extract-invoice.ts', {
    LLM_BASE_URL: upstream.baseURL,
    LLM_DEFAULT_MODEL: 'test-model',
  })
  onTestFinished(async () => {
    expect(await example.stop()).toBe(0)
  })
  const path = '/v1/agents/invoice-reader/runs'
  const bodies = () => upstream.requests.map(({ body }) => body as UpstreamBody)
  return { ask: (more = {}) => example.request(path, { input: 'Invoice 2026-117 …', ...more }), bodies }
}

test('an invoice whose sum is wrong is read again, and comes as data', async () => {
  const { ask, bodies } = await start(invoice, right)
  const run = (await (await ask()).json()) as Record<string, unknown>
  expect(run).toMatchObject({ status: 'completed', steps: 2, output_parsed: right })
  expect(JSON.parse(String(run['output']))).toEqual(right)
  const [first, second] = bodies()
  // The schema is closed, so a provider with a strict mode holds the model to it.
  expect(first?.response_format?.json_schema.strict).toBe(true)
  expect(first?.messages[0]?.content).toContain('"enum":["EUR","GBP","USD"]')
  expect(second?.messages.at(-1)?.content).toContain('total: is not the sum of the lines')
})

test('who streams sees that an answer was wrong, and then the right one', async () => {
  const { ask } = await start(invoice, right)
  const events = await readEvents(await ask({ stream: true }))
  const seen = events
    .map(({ type, code }) => (type === 'warning' ? code : type))
    .filter((type) => ['step.start', 'text.delta', 'output_invalid', 'run.end'].includes(String(type)))
  expect(seen).toEqual(['step.start', 'text.delta', 'output_invalid', 'step.start', 'text.delta', 'run.end'])
})
