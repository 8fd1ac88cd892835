import { expect, test } from 'vitest'
import { listen, ListenError } from '../../src/http/listen.ts'
import { createAppUnderTest, listenOn } from './app-under-test.ts'
import { connectRaw } from './raw-client.ts'

test('a taken port is told in words', async () => {
  const { app } = createAppUnderTest()
  const first = await listenOn(app)
  const second = listen({ fetch: app.fetch, host: '127.0.0.1', port: first.port })
  await expect(second).rejects.toThrow(ListenError)
  await expect(second).rejects.toThrow(`cannot listen on 127.0.0.1:${first.port}: another process`)
  await first.close(0)
})

test('the address can be asked', async () => {
  const { app } = createAppUnderTest()
  const listener = await listenOn(app)
  expect((await fetch(`${listener.url}/health`)).status).toBe(200)
  await listener.close(0)
  await expect(fetch(`${listener.url}/health`)).rejects.toThrow()
})

test('closing waits for a request in flight, then closes its connection', async () => {
  const held = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  const { app } = createAppUnderTest((routes) =>
    routes.get('/slow', async (c) => {
      started.resolve()
      await held.promise
      return c.text('done')
    }),
  )
  const listener = await listenOn(app)
  const idle = await connectRaw(listener.port)
  idle.send('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await idle.until((text) => text.includes('healthy'))
  const client = await connectRaw(listener.port)
  client.send('GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await started.promise
  const closing = listener.close(60_000)
  await idle.closed
  held.resolve()
  await client.until((text) => text.endsWith('done'))
  await client.closed
  await closing
})

test('closing cuts what is open after the grace', async () => {
  const started = Promise.withResolvers<void>()
  const { app } = createAppUnderTest((routes) =>
    routes.get('/never', () => {
      started.resolve()
      return new Promise<Response>(() => {})
    }),
  )
  const listener = await listenOn(app)
  const client = await connectRaw(listener.port)
  client.send('GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await started.promise
  await listener.close(1)
  await client.closed
  await listener.close(1)
})
