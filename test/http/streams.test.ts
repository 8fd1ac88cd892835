import { expect, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import type { Encoder } from '../../src/http/encoder.ts'
import type { HttpApp } from '../../src/http/app.ts'
import { streamEvents, type EventStream } from '../../src/http/sse.ts'
import type { Streams } from '../../src/http/streams.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { createAppUnderTest, listenOn } from './app-under-test.ts'
import { createFakeReader, delta, end, type FakeReader } from './fake-reader.ts'
import { connectRaw, dechunk } from './raw-client.ts'

const encoder: Encoder = {
  push: (event) => ('delta' in event ? `data: ${event.delta}\n\n` : ''),
  end: () => 'data: [END]\n\n',
  fail: (error) => `data: failed ${error.code}\n\n`,
}

/** Serves the given readers at `/stream/0`, `/stream/1`… */
function streaming(readers: FakeReader[], options: Partial<EventStream> = {}) {
  return (app: HttpApp, streams: Streams) => {
    app.get('/stream/:index', (context) => {
      const reader = readers[Number(context.req.param('index'))]!
      return streamEvents({ context, reader, encoder, streams, ...options })
    })
    app.get('/plain', (context) => context.text('plain'))
  }
}

async function serving(readers: FakeReader[], options: Partial<EventStream> = {}) {
  const under = createAppUnderTest(streaming(readers, options))
  const listener = await listenOn(under.app)
  const client = await connectRaw(listener.port)
  const close = async () => {
    client.destroy()
    await listener.close(0)
  }
  return { ...under, listener, client, close }
}

const get = (path: string, headers = '') => `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`
const isWhole = (text: string) => text.endsWith('\r\n0\r\n\r\n')

const samples = [
  ['ASCII', ['a', 'b', 'c']],
  ['text of several bytes per character', ['é', '漢字', '👩‍👩‍👧', '\u0000']],
  ['a long text', ['x'.repeat(70_000), 'y'.repeat(70_000), 'z']],
] as const

test.for(samples)('both sinks write the same bytes: %s', async ([, texts]) => {
  const events = () => [...texts.map((text, i) => delta(i + 1, text)), end(texts.length + 1)]
  const { app } = createAppUnderTest(streaming([createFakeReader(...events())]))
  const web = await (await app.request('/stream/0')).text()

  const reader = createFakeReader()
  const { client, close } = await serving([reader])
  client.send(get('/stream/0'))
  await client.until((text) => text.includes('\r\n\r\n'))
  for (const event of events()) reader.feed(event)
  const node = dechunk(await client.until(isWhole))

  expect(node).toBe(web)
  expect(web).toBe(texts.map((text) => `data: ${text}\n\n`).join('') + 'data: [END]\n\n')
  await close()
})

test('headers are sent before the first event', async () => {
  const { client, close } = await serving([createFakeReader()])
  client.send(get('/stream/0'))
  const head = await client.until((text) => text.endsWith('\r\n\r\n'))
  expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  expect(head).toContain('content-type: text/event-stream\r\n')
  expect(head).toContain('cache-control: no-cache, no-transform\r\n')
  expect(head).toContain('x-accel-buffering: no\r\n')
  expect(head).toMatch(/x-request-id: req_[0-9a-f]{32}\r\n/)
  await close()
})

test('what is ready together is one chunk', async () => {
  const reader = createFakeReader()
  const { client, close } = await serving([reader])
  client.send(get('/stream/0'))
  await client.until((text) => text.endsWith('\r\n\r\n'))
  reader.feed(delta(1, 'a'), delta(2, 'b'), delta(3, 'c'), end(4))
  const text = await client.until(isWhole)
  const body = 'data: a\n\ndata: b\n\ndata: c\n\ndata: [END]\n\n'
  expect(text.slice(text.indexOf('\r\n\r\n') + 4)).toBe(`${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`)
  await close()
})

test('a connection is used again after its stream has ended', async () => {
  const { client, close } = await serving([createFakeReader(delta(1, 'a'), end(2))])
  client.send(get('/stream/0'))
  await client.until(isWhole)
  client.send(get('/plain'))
  await client.until((text) => text.endsWith('plain'))
  await close()
})

test('pipelined requests are answered in order', async () => {
  const readers = [createFakeReader(), createFakeReader()]
  const { client, close, listener } = await serving(readers)
  client.send(get('/stream/0') + get('/stream/1') + get('/plain'))
  await client.until((text) => text.endsWith('\r\n\r\n'))
  readers[1]!.feed(delta(1, 'second'))
  readers[1]!.feed(delta(2, 'more'), end(3))
  await readers[1]!.left
  expect(client.received()).not.toContain('second')
  readers[0]!.feed(delta(1, 'first'))
  readers[0]!.feed(end(2))
  const text = await client.until((received) => received.endsWith('plain'))
  const [, first = '', second = ''] = text.split('HTTP/1.1 200 OK\r\n')
  expect(dechunk(first)).toBe('data: first\n\ndata: [END]\n\n')
  expect(dechunk(second)).toBe('data: second\n\ndata: more\n\ndata: [END]\n\n')
  expect(listener.port).toBeGreaterThan(0)
  await close()
})

test('a pipelined stream whose connection closes is detached', async () => {
  const readers = [createFakeReader(), createFakeReader()]
  const { client, close, streams, logged } = await serving(readers)
  client.send(get('/stream/0') + get('/stream/1', 'x-request-id: second\r\n'))
  await client.until((text) => text.endsWith('\r\n\r\n'))
  readers[1]!.feed(delta(1, 'kept'))
  client.destroy()
  expect(await readers[0]!.left).toBe('client')
  expect(await readers[1]!.left).toBe('client')
  expect(await logged(({ request_id }) => request_id === 'second')).toMatchObject({ status: 499 })
  expect(streams.size).toBe(0)
  await close()
})

test('an HTTP/1.0 client gets the text without chunks', async () => {
  const reader = createFakeReader()
  const { client, close } = await serving([reader])
  client.send('GET /stream/0 HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n')
  await client.until((text) => text.includes('\r\n\r\n'))
  reader.feed(delta(1, 'a'))
  reader.feed(delta(2, 'b'), end(3))
  await client.closed
  expect(client.received()).toMatch(/\r\n\r\ndata: a\n\ndata: b\n\ndata: \[END\]\n\n$/)
  await close()
})

test('a client that leaves detaches the reader as client, and is logged so', async () => {
  const reader = createFakeReader()
  const { client, close, logged } = await serving([reader])
  client.send(get('/stream/0'))
  await client.until((text) => text.endsWith('\r\n\r\n'))
  reader.feed(delta(1, 'a'))
  await client.until((text) => text.includes('data: a'))
  client.destroy()
  expect(await reader.left).toBe('client')
  expect(await logged(({ msg }) => msg === 'request')).toMatchObject({
    method: 'GET',
    route: '/stream/:index',
    status: 499,
  })
  await close()
})

test('cancelling a web stream detaches the reader as client', async () => {
  const reader = createFakeReader(delta(1, 'a'))
  const { app } = createAppUnderTest(streaming([reader]))
  const body = (await app.request('/stream/0')).body!.getReader()
  await body.read()
  await body.cancel()
  expect(await reader.left).toBe('client')
})

test('a stream that ends detaches the reader as server and is logged once', async () => {
  const reader = createFakeReader()
  const { client, close, logged, log } = await serving([reader])
  client.send(get('/stream/0'))
  await client.until((text) => text.endsWith('\r\n\r\n'))
  expect(log).toEqual([])
  reader.feed(end(1))
  expect(await reader.left).toBe('server')
  expect(await logged(({ msg }) => msg === 'request')).toMatchObject({ status: 200 })
  await client.until(isWhole)
  client.send(get('/plain'))
  await client.until((text) => text.endsWith('plain'))
  expect(log.filter(({ route }) => route === '/stream/:index')).toHaveLength(1)
  await close()
})

test('nothing is taken from the reader while a slow client does not read', async () => {
  const reader = createFakeReader()
  const { client, close } = await serving([reader])
  client.send(get('/stream/0'))
  await client.until((text) => text.endsWith('\r\n\r\n'))
  client.socket.pause()
  const large = 'x'.repeat(100_000)
  const count = 120
  for (let i = 1; i <= count; i++) reader.feed(delta(i, large))
  const takenWhilePaused = reader.taken
  expect(takenWhilePaused).toBeLessThan(count)
  reader.feed(end(count + 1))
  expect(reader.taken).toBe(takenWhilePaused)
  client.socket.resume()
  await reader.left
  const body = dechunk(await client.until(isWhole))
  expect(body.length).toBe(count * (large.length + 'data: \n\n'.length) + 'data: [END]\n\n'.length)
  await close()
})

test('a web stream is pulled: nothing is taken before somebody reads', async () => {
  const reader = createFakeReader(delta(1, 'a'), end(2))
  const { app } = createAppUnderTest(streaming([reader]))
  const response = await app.request('/stream/0')
  expect(reader.taken).toBe(0)
  expect(await response.text()).toBe('data: a\n\ndata: [END]\n\n')
})

test('a silent stream gets a comment within 15 seconds, again and again', async () => {
  const clock = createFakeClock()
  const reader = createFakeReader()
  const { app, streams } = createAppUnderTest(streaming([reader]), { clock })
  const body = (await app.request('/stream/0')).body!.pipeThrough(new TextDecoderStream()).getReader()
  for (let i = 0; i < 2; i++) {
    const read = body.read()
    await clock.advance(15_000)
    expect(await read).toEqual({ done: false, value: ': hb\n' })
  }
  reader.feed(end(1))
  await body.read()
  await body.read()
  expect(streams.size).toBe(0)
  expect(clock.pending()).toBe(0)
})

test('a busy stream gets no comment, nor does one that has them off', async () => {
  const clock = createFakeClock()
  const busy = createFakeReader()
  const silent = createFakeReader()
  const busyApp = createAppUnderTest(streaming([busy]), { clock }).app
  const silentApp = createAppUnderTest(streaming([silent], { heartbeat: false }), { clock }).app
  const texts = [busyApp, silentApp].map(async (app) => (await app.request('/stream/0')).text())
  for (let i = 1; i < 8; i++) {
    await clock.advance(5_000)
    busy.feed(delta(i, 'a'))
  }
  busy.feed(end(8))
  silent.feed(end(1))
  expect(await Promise.all(texts)).toEqual(['data: a\n\n'.repeat(7) + 'data: [END]\n\n', 'data: [END]\n\n'])
})

test('a shutdown ends open streams with the reason, and later ones at once', async () => {
  const readers = [createFakeReader(), createFakeReader(delta(1, 'late'))]
  const { client, close, streams } = await serving(readers)
  client.send(get('/stream/0'))
  await client.until((text) => text.endsWith('\r\n\r\n'))
  readers[0]!.feed(delta(1, 'a'))
  streams.endAll()
  expect(dechunk(await client.until(isWhole))).toBe('data: a\n\ndata: failed draining\n\n')
  expect(await readers[0]!.left).toBe('server')
  client.send(get('/stream/1'))
  expect(await readers[1]!.left).toBe('server')
  await close()
})

test('a reader that fails before the first byte is answered with its status', async () => {
  const clock = createFakeClock()
  const reader = createFakeReader()
  const { app } = createAppUnderTest(streaming([reader], { settle: { clock } }), { clock })
  const answer = app.request('/stream/0')
  await clock.advance(0)
  reader.fail(new AppError('log_pruned', { details: { oldest: 17 } }))
  const response = await answer
  expect(response.status).toBe(410)
  expect(await response.json()).toMatchObject({ code: 'log_pruned', oldest: 17 })
  expect(await reader.left).toBe('server')
})

test('a reader that settles streams its first event once', async () => {
  const clock = createFakeClock()
  const reader = createFakeReader(delta(1, 'a'), end(2))
  const { app } = createAppUnderTest(streaming([reader], { settle: { clock } }), { clock })
  expect(await (await app.request('/stream/0')).text()).toBe('data: a\n\ndata: [END]\n\n')
})

test('a reader that stays silent is not waited for longer than half a second', async () => {
  const clock = createFakeClock()
  const reader = createFakeReader()
  const { app } = createAppUnderTest(streaming([reader], { settle: { clock } }), { clock })
  const answer = app.request('/stream/0')
  await clock.advance(500)
  const response = await answer
  reader.feed(delta(1, 'a'), end(2))
  expect(await response.text()).toBe('data: a\n\ndata: [END]\n\n')
})

test('a client that leaves while its reader settles is detached', async () => {
  const reader = createFakeReader()
  const { client, close, logged, streams } = await serving([reader], { settle: { clock: createFakeClock() } })
  client.send(get('/stream/0') + get('/plain'))
  client.destroy()
  expect(await reader.left).toBe('client')
  expect(await logged(({ route }) => route === '/stream/:index')).toMatchObject({ status: 499 })
  expect(streams.size).toBe(0)
  await close()
})

test("a reader that fails later ends the stream in the protocol's words", async () => {
  const reader = createFakeReader(delta(1, 'a'))
  const { app } = createAppUnderTest(streaming([reader]))
  const text = (await app.request('/stream/0')).text()
  reader.fail(new AppError('store_unavailable'))
  expect(await text).toBe('data: a\n\ndata: failed store_unavailable\n\n')
})

test('an encoder that throws breaks its own stream alone, and is logged', async () => {
  const broken: Encoder = {
    ...encoder,
    push() {
      throw new Error('the secret cause')
    },
  }
  const reader = createFakeReader()
  const { client, close, logged } = await serving([reader], { encoder: broken })
  client.send(get('/stream/0'))
  await client.until((text) => text.endsWith('\r\n\r\n'))
  reader.feed(delta(1, 'a'))
  expect(dechunk(await client.until(isWhole))).toBe('data: failed internal\n\n')
  expect(await logged(({ msg }) => msg === 'a stream failed')).toMatchObject({
    err: { message: 'the secret cause' },
  })
  await close()
})

test('HEAD gets the headers and detaches', async () => {
  const reader = createFakeReader(delta(1, 'a'))
  const { app } = createAppUnderTest(streaming([reader]))
  const response = await app.request('/stream/0', { method: 'HEAD' })
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  expect(await response.text()).toBe('')
  expect(await reader.left).toBe('server')
})
