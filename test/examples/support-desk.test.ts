import { expect, onTestFinished, test } from 'vitest'
import { createUpstreamServer, streamReply } from '../../src/testing/upstream-server.ts'
import { readEvents, startExample } from './example-process.ts'

interface UpstreamBody {
  model: string
  messages: { role: string; content: string | null }[]
  tools: { function: { name: string; parameters: Record<string, unknown> } }[]
}

async function start() {
  const upstream = await createUpstreamServer()
  onTestFinished(() => upstream.close())
  const example = await startExample('examples/support-desk.ts', {
    LLM_BASE_URL: upstream.baseURL,
    LLM_DEFAULT_MODEL: 'test-model',
  })
  onTestFinished(async () => {
    expect(await example.stop()).toBe(0)
  })
  /** The native events of one turn of the customer. */
  const ask = async (input: string) => {
    const body = {
      input,
      session_id: 'customer-1',
      run_context: { customer_id: 'c-1', customer_name: 'Ann' },
      stream: true,
    }
    return readEvents(await example.request('/v1/agents/support-desk/runs', body))
  }
  const bodies = () => upstream.requests.map(({ body }) => body as UpstreamBody)
  return { upstream, ask, bodies }
}

const call = (name: string, input: unknown) =>
  streamReply({ toolCalls: [{ name, arguments: [JSON.stringify(input)] }] })

test('the support desk finds orders of the customer of the request only, without phone numbers', async () => {
  const { upstream, ask, bodies } = await start()
  upstream.reply(call('find_order', { order_id: 'A-17' }), streamReply({ text: ['It is on its way.'] }))
  const own = await ask('Where is A-17?')
  upstream.reply(call('find_order', { order_id: 'A-18' }), streamReply({ text: ['I cannot see it.'] }))
  const foreign = await ask('And A-18?')

  const outputs = [own, foreign].map((events) => events.find(({ type }) => type === 'tool.end')?.['output'])
  expect(outputs[0]).toContain('"courier_phone":"[phone number]"')
  expect(outputs[1]).toBe('This customer has no such order.')
  expect(own.at(-1)).toMatchObject({ type: 'run.end', status: 'completed', steps: 2 })

  const [first, , third] = bodies()
  expect(first).toMatchObject({ model: 'test-model' })
  expect(first!.messages[0]).toMatchObject({ role: 'system', content: expect.stringContaining('is Ann.') })
  expect(first!.tools.map((tool) => tool.function.name)).toEqual(['find_order', 'open_ticket'])
  expect(third!.messages.map(({ content }) => content)).toEqual(
    expect.arrayContaining(['Where is A-17?', 'It is on its way.', 'And A-18?']),
  )
})

test('the support desk opens tickets that fit the schema, warns of urgent ones and refuses refunds', async () => {
  const { upstream, ask, bodies } = await start()
  upstream.reply(
    call('open_ticket', { subject: 'Broken lamp', urgency: 'at once' }),
    call('open_ticket', { subject: 'Broken lamp', urgency: 'high' }),
    call('open_ticket', { subject: 'Refund for the lamp', urgency: 'low' }),
    streamReply({ text: ['Done.'] }),
  )
  const events = await ask('My lamp is broken. My card is 4111 1111 1111 1111.')

  const ends = events.filter(({ type }) => type === 'tool.end')
  expect(ends.map((end) => (end['error'] as { code: string } | undefined)?.code)).toEqual([
    'tool_bad_arguments',
    undefined,
    'tool_refused',
  ])
  expect(ends[1]).toMatchObject({ output: '{"ticket":1}' })
  expect(events.find(({ type }) => type === 'warning')).toMatchObject({ code: 'urgent_ticket' })
  expect(bodies()[0]!.tools[1]!.function.parameters).toMatchObject({ required: ['subject', 'urgency'] })
  expect(JSON.stringify(bodies())).toContain('My card is [card number].')
  expect(JSON.stringify(bodies())).not.toContain('4111')
})
