import { expect, onTestFinished, test } from 'vitest'
import { createUpstreamServer, streamReply } from '../../src/testing/upstream-server.ts'
import { readEvents, startExample } from './example-process.ts'

interface UpstreamBody {
  messages: { role: string; content: string | null }[]
}

async function start() {
  const upstream = await createUpstreamServer()
  onTestFinished(() => upstream.close())
  const example = await startExample('examples/guarded-desk.ts', {
    LLM_BASE_URL: upstream.baseURL,
    LLM_DEFAULT_MODEL: 'test-model',
  })
  onTestFinished(async () => {
    expect(await example.stop()).toBe(0)
  })
  const ask = async (input: string) =>
    readEvents(await example.request('/v1/agents/guarded-desk/runs', { input, stream: true }))
  const lastMessages = () => (upstream.requests.at(-1)!.body as UpstreamBody).messages
  return { upstream, ask, lastMessages }
}

const textOf = (events: readonly Record<string, unknown>[]) =>
  events.map((event) => (event['type'] === 'text.delta' ? String(event['delta']) : '')).join('')

const readPage = (shop: string) =>
  streamReply({ toolCalls: [{ name: 'read_page', arguments: [JSON.stringify({ shop })] }] })

test('the guarded desk keeps personal data from the model and the answer, its own address apart', async () => {
  const { upstream, ask, lastMessages } = await start()
  upstream.reply(
    readPage('lamps'),
    streamReply({ text: ['Ask bo@lam', 'ps.example or help@desk.', 'example.'] }),
  )
  const events = await ask('I am ann@home.example. What do lamps cost?')
  expect(lastMessages().map(({ content }) => content)).toEqual([
    expect.stringContaining('help@desk.example'),
    'I am [email]. What do lamps cost?',
    null,
    'Lamps from 20 EUR. Questions: Bo Berg, [email], [phone].',
  ])
  expect(textOf(events)).toBe('Ask [email] or help@desk.example.')
  expect(events.at(-1)).toMatchObject({ type: 'run.end', stop_reason: 'final' })
})

test('the guarded desk hands the model what pages want of it as data', async () => {
  const { upstream, ask, lastMessages } = await start()
  for (const [shop, reason] of [
    ['chairs', 'asks to ignore instructions'],
    ['tables', 'it advertises coupons'],
  ] as const) {
    upstream.reply(readPage(shop), streamReply({ text: ['Eighty.'] }))
    const events = await ask(`What do ${shop} cost?`)
    expect(events.find(({ type }) => type === 'warning')).toMatchObject({
      code: 'prompt_injection',
      message: `The result of read_page is suspicious: ${reason}.`,
    })
    expect(lastMessages().at(-1)!.content).toMatch(/<untrusted-data-[0-9a-f]{12}>\n[^]*\n<\/untrusted-data-/)
  }
})

test('the guarded desk refuses what it does not talk about, and what is too long', async () => {
  const { upstream, ask } = await start()
  for (const input of ['x'.repeat(4_001), 'What is Project-Falcon?', 'What is INT-12345?']) {
    const events = await ask(input)
    expect(events.map(({ type }) => type)).toEqual(['run.start', 'warning', 'run.end'])
    expect(events[2]).toMatchObject({ stop_reason: 'content_filter' })
  }
  expect(upstream.requests).toHaveLength(0)

  for (const text of [
    ['It is called proj', 'ect falcon', ', I hear.'],
    ['x'.repeat(1_999), ' and on', ' and on'],
  ]) {
    upstream.reply(streamReply({ text }))
    const events = await ask('Tell me')
    expect(events.at(-2)).toMatchObject({ type: 'warning', code: 'content_filter' })
    expect(events.at(-1)).toMatchObject({ type: 'run.end', stop_reason: 'content_filter', output: [] })
    expect(textOf(events)).not.toMatch(/proj|on/)
  }
})
