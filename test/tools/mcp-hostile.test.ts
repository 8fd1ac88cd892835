import { expect, test } from 'vitest'
import { closedBy, startHostileServer, startStream, writeForEver } from './mcp-hostile-server.ts'
import { openSource } from './mcp-source.ts'

const block = 'x'.repeat(64 * 1024)

test('a refusal without an end is read for its status alone', async () => {
  const closed = Promise.withResolvers<void>()
  const server = await startHostileServer({
    call(_id, response) {
      response.writeHead(500, { 'content-type': 'text/plain' })
      void writeForEver(response, block).then(closed.resolve)
    },
  })
  const source = openSource({ url: server.url })
  await expect(source.call('it')).rejects.toThrow('The server refuses the request: HTTP status 500.')
  await closed.promise
})

test.each([
  ['one line', block],
  ['lines of one event', `data: ${block}\n`],
  ['comments', `:${block}\r\n`],
])('a stream that is %s without an end is closed', async (_, text) => {
  const server = await startHostileServer()
  const source = openSource({ url: server.url })
  await source.tools()
  const { response } = await server.stream(1)
  await writeForEver(response, text)
})

test.each(['\n', '\r\n', '\r'])(
  'a stream of events that end with %j may be as long as it likes',
  async (end) => {
    const server = await startHostileServer()
    const source = openSource({ url: server.url })
    await source.tools()
    const { response } = await server.stream(1)
    const comment = `:${block}${end}${end}`
    for (let i = 0; i < 200; i++) {
      if (!response.write(comment)) await new Promise((resolve) => response.once('drain', resolve))
    }
    const message = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/tools/list_changed' })
    response.write(`data: ${message}${end}${end}:${end}`)
    await source.logged('mcp server listed its tools again')
  },
)

test('a stream that asks to be opened again at once is opened after a pause', async () => {
  const server = await startHostileServer()
  const source = openSource({ url: server.url })
  await source.tools()
  const { response, at } = await server.stream(1)
  response.end('retry: 0\n\n')
  const again = await server.stream(2)
  expect(again.at - at).toBeGreaterThan(240)
})

test('the stream of a call that is given up is closed, also where it was opened again', async () => {
  const server = await startHostileServer({
    call(_id, response) {
      startStream(response)
      response.end('id: 1\ndata:\n\n')
    },
  })
  const source = openSource({ url: server.url })
  await source.tools()
  await server.stream(1)
  const controller = new AbortController()
  const call = source.call('it', {}, { signal: controller.signal })
  const { request, response } = await server.stream(2)
  expect(request.headers['last-event-id']).toBe('1')
  const closed = closedBy(response)
  controller.abort(new Error('over'))
  await expect(call).rejects.toThrow('over')
  await closed
})

test('the stream of a call that has its answer is closed', async () => {
  const closed = Promise.withResolvers<void>()
  const server = await startHostileServer({
    call(id, response) {
      void closedBy(response).then(closed.resolve)
      startStream(response)
      const result = { content: [{ type: 'text', text: 'the answer' }] }
      response.write(`data: ${JSON.stringify({ jsonrpc: '2.0', id, result })}\n\n`)
    },
  })
  const source = openSource({ url: server.url })
  expect(await source.call('it')).toBe('the answer')
  await closed.promise
})
