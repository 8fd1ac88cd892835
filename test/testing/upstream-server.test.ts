import { expect, onTestFinished, test } from 'vitest'
import {
  createTestServer,
  createUpstreamServer,
  errorReply,
  streamReply,
  type UpstreamServerOptions,
} from '../../src/testing/index.ts'

/** A server whose only agent asks the upstream with this key. */
async function wired(options: UpstreamServerOptions = {}, key?: string) {
  const upstream = await createUpstreamServer(options)
  onTestFinished(() => upstream.close())
  const server = await createTestServer({
    llmBaseUrl: upstream.baseURL,
    llmDefaultModel: 'any',
    ...(key === undefined ? {} : { llmApiKey: key }),
  })
  onTestFinished(() => server.close())
  return { upstream, server }
}

test('an agent gets its replies, as texts and as streams, in their order', async () => {
  const { upstream, server } = await wired({ replies: ['Hello you.'] })
  upstream.reply(streamReply({ text: ['Bye', '.'] }))
  const first = await server.run('Hi')
  expect(first.events.filter(({ type }) => type === 'text.delta')).toHaveLength(2)
  expect([first.text, (await server.run('Bye')).text]).toEqual(['Hello you.', 'Bye.'])
  expect(upstream.requests[0]).toMatchObject({
    method: 'POST',
    path: '/v1/chat/completions',
    key: undefined,
    body: { model: 'any', stream: true, messages: [{ role: 'user', content: 'Hi' }] },
  })
})

test('what a request gets may depend on it', async () => {
  const { upstream, server } = await wired()
  upstream.replyAlways(({ body }) => `${(body as { messages: unknown[] }).messages.length} message`)
  expect((await server.run('Hi')).text).toBe('1 message')
})

test('only its keys are taken', async () => {
  const { server } = await wired({ keys: ['good-key'], replies: ['In.'] }, 'good-key')
  expect((await server.run('Hi')).text).toBe('In.')
  const { server: refused, upstream } = await wired({ keys: ['good-key'], replies: ['In.'] }, 'bad-key')
  expect((await refused.run('Hi')).run.error).toMatchObject({ code: 'model_auth_failed' })
  expect(upstream.requests[0]!.key).toBe('bad-key')
  const { server: without } = await wired({ keys: ['good-key'], replies: ['In.'] })
  expect((await without.run('Hi')).run.error).toMatchObject({ code: 'model_auth_failed' })
})

test('a key is refused, and taken again, whatever there is to reply', async () => {
  const { upstream, server } = await wired({ replies: ['At last.'] }, 'key-one')
  upstream.refuse('key-one', errorReply(400, 'no'))
  expect((await server.run('Hi')).run.error).toMatchObject({ code: 'model_refused' })
  upstream.accept('key-one')
  expect((await server.run('Hi')).text).toBe('At last.')
})

test('a reply that breaks off is asked for again; one that falls silent is given up with its caller', async () => {
  const { upstream, server } = await wired()
  upstream.reply(streamReply({ text: ['Ha'], cut: 'destroy' }), 'Whole.')
  const { text, events } = await server.run('Hi')
  expect(text).toBe('Whole.')
  expect(events.some(({ type }) => type === 'step.retry')).toBe(true)

  upstream.reply(streamReply({ text: ['Hm'], cut: 'silence' }))
  const live = await server.start('Hi')
  await live.reach('text.delta')
  expect((await live.cancel()).run.status).toBe('cancelled')
  expect(await upstream.requests[2]!.outcome).toBe('closed')
})
