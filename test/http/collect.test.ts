import { expect, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { collect, textOfItems, type Collected } from '../../src/http/collect.ts'
import { createStreams } from '../../src/http/streams.ts'
import { silentLogger } from '../../src/logger.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { createAppUnderTest, listenOn } from './app-under-test.ts'
import { createFakeReader, delta, end } from './fake-reader.ts'
import { connectRaw } from './raw-client.ts'

function collecting() {
  const clock = createFakeClock()
  const reader = createFakeReader()
  const streams = createStreams({ clock, logger: silentLogger })
  const results: Promise<Collected>[] = []
  const started = Promise.withResolvers<void>()
  const under = createAppUnderTest((app) =>
    app.get('/', async (context) => {
      const result = collect({ context, reader, clock, waitMs: 1000, streams })
      results.push(result)
      started.resolve()
      return context.json((await result).outcome)
    }),
  )
  return { ...under, clock, reader, results, streams, started: started.promise }
}

test('the text of every item is put together until the end', async () => {
  const { app, reader, results, clock } = collecting()
  const answer = app.request('/')
  reader.feed({ seq: 1, type: 'text.start', item_id: 'item_1' }, delta(2, 'Hel'))
  reader.feed(delta(3, 'lo'), end(4))
  expect(await (await answer).json()).toBe('ended')
  const result = await results[0]!
  if (result.outcome !== 'ended') throw new Error('not ended')
  expect(textOfItems(result.texts, ['item_1'])).toBe('Hello')
  expect(textOfItems(result.texts, ['item_1', 'item_2'])).toBeUndefined()
  expect(await reader.left).toBe('server')
  expect(clock.pending()).toBe(0)
})

test('an item whose beginning was missed has no text', async () => {
  const { app, reader, results } = collecting()
  const answer = app.request('/')
  reader.feed(delta(7, 'lo'), end(8))
  await answer
  const result = await results[0]!
  if (result.outcome !== 'ended') throw new Error('not ended')
  expect(textOfItems(result.texts, ['item_1'])).toBeUndefined()
})

test('the wait ends when its time is over, and the run is left alone', async () => {
  const { app, reader, clock, started } = collecting()
  const answer = app.request('/')
  await started
  await clock.advance(1000)
  expect(await (await answer).json()).toBe('waiting')
  expect(await reader.left).toBe('server')
})

test('a client that leaves ends the wait and detaches as client', async () => {
  const { app, reader, results, started, clock } = collecting()
  const listener = await listenOn(app)
  const client = await connectRaw(listener.port)
  client.send('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await started
  client.destroy()
  expect(await reader.left).toBe('client')
  expect(await results[0]).toEqual({ outcome: 'gone' })
  expect(clock.pending()).toBe(0)
  await listener.close(0)
})

test('a request whose signal fires ends the wait', async () => {
  const { app, reader, started } = collecting()
  const client = new AbortController()
  const answer = app.request('/', { signal: client.signal })
  await started
  client.abort()
  expect(await (await answer).json()).toBe('gone')
  expect(await reader.left).toBe('client')
})

test("the reader's error is the answer's", async () => {
  const { app, reader, started } = collecting()
  const answer = app.request('/')
  await started
  reader.fail(new AppError('store_unavailable'))
  expect((await answer).status).toBe(503)
  expect(await reader.left).toBe('server')
})

test('a shutdown answers those who wait: the run goes on without them', async () => {
  const { app, reader, results, streams, started, clock } = collecting()
  const answer = app.request('/')
  await started
  expect(streams.size).toBe(1)
  streams.endAll()
  expect(await (await answer).json()).toBe('waiting')
  expect((await results[0]!).outcome).toBe('waiting')
  expect(await reader.left).toBe('server')
  expect(streams.size).toBe(0)
  expect(clock.pending()).toBe(0)
})
