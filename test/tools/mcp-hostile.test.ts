import { expect, test } from 'vitest'
import { systemClock, type Clock } from '../../src/clock.ts'
import {
  closedBy,
  sendError,
  sendEvent,
  sendResult,
  startHostileServer,
  startStream,
  writeForEver,
} from './mcp-hostile-server.ts'
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

test('a list that took long to read is not read again before ten times as long has passed', async () => {
  let now = 0
  const paused = Promise.withResolvers<void>()
  const clock: Clock = {
    ...systemClock,
    monotonic: () => now,
    after(ms, call) {
      if (ms !== 20_000) return systemClock.after(ms, call)
      paused.resolve()
      return () => undefined
    },
  }
  const server = await startHostileServer({
    list(id, response) {
      now += 2_000
      sendResult(response, id, { tools: [] })
    },
  })
  const source = openSource({ url: server.url }, clock)
  await source.tools()
  const { response } = await server.stream(1)
  sendEvent(response, { method: 'notifications/tools/list_changed' })
  await source.logged('mcp server listed its tools again')
  sendEvent(response, { method: 'notifications/tools/list_changed' })
  await paused.promise
})

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
      sendEvent(response, { id, result })
    },
  })
  const source = openSource({ url: server.url })
  expect(await source.call('it')).toBe('the answer')
  await closed.promise
})

const key = 'sk-very-secret'

test.each<[string, object]>([
  ['text', { content: [{ type: 'text', text: `the key is ${key}` }] }],
  ['structured content', { content: [], structuredContent: { [key]: [{ key }] } }],
])('a result whose %s repeats a header is given without it', async (_, result) => {
  const server = await startHostileServer({ call: (id, response) => sendResult(response, id, result) })
  const source = openSource({ url: server.url, headers: { authorization: `Bearer ${key}` } })
  const output = JSON.stringify(await source.call('it'))
  expect(output).toContain('[redacted]')
  expect(output).not.toContain(key)
})

test('a failure that repeats a header is told without it', async () => {
  const result = { content: [{ type: 'text', text: `${key} is not allowed` }], isError: true }
  const server = await startHostileServer({ call: (id, response) => sendResult(response, id, result) })
  const source = openSource({ url: server.url, headers: { authorization: `Bearer ${key}` } })
  await expect(source.call('it')).rejects.toThrow('[redacted] is not allowed')
})

test('progress and questions that repeat a header are shown without it', async () => {
  const server = await startHostileServer({
    call(_id, response, { _meta }) {
      startStream(response)
      const { progressToken } = _meta
      const progress = { progressToken, progress: 1, message: `with ${key}` }
      sendEvent(response, { method: 'notifications/progress', params: progress })
      const question = { message: `Is it ${key}?`, requestedSchema: { type: 'object', properties: {} } }
      sendEvent(response, { id: 'q', method: 'elicitation/create', params: question })
    },
  })
  const source = openSource({ url: server.url, headers: { authorization: `Bearer ${key}` } })
  const shown: unknown[] = []
  const controller = new AbortController()
  const call = source.call(
    'it',
    {},
    {
      signal: controller.signal,
      progress: ({ message }) => void shown.push(message),
      ask(question) {
        shown.push(question.message)
        controller.abort(new Error('suspended'))
        return Promise.reject(new Error('suspended'))
      },
    },
  )
  await expect(call).rejects.toThrow('suspended')
  expect(shown).toEqual(['with [redacted]', 'Is it [redacted]?'])
})

test('what a server says when it cannot be used is in the log at debug alone', async () => {
  const server = await startHostileServer({ list: (id, response) => sendError(response, id, `no, ${key}`) })
  const source = openSource({ url: server.url, headers: { authorization: `Bearer ${key}` } })
  const { level, fields } = await source.logged('mcp server cannot be reached')
  expect([level, JSON.stringify(fields)]).toEqual(['warn', expect.not.stringContaining('no,')])
  const notice = await source.logged('mcp client notice')
  expect([notice.level, notice.fields['reason']]).toEqual([
    'debug',
    expect.stringContaining('no, [redacted]'),
  ])
})
