import { expect, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import type { HttpApp } from '../../src/http/app.ts'
import { readJson } from '../../src/http/body.ts'
import { refuseOtherOrigins } from '../../src/http/host-guard.ts'
import { readIdempotency } from '../../src/http/idempotency.ts'
import { sendJson } from '../../src/http/respond.ts'
import { createAppUnderTest, listenOn } from './app-under-test.ts'
import { connectRaw } from './raw-client.ts'

function routes(app: HttpApp): void {
  app.post('/echo', async (c) => sendJson(c, { body: { got: (await readJson(c)).value } }))
  app.post('/optional', async (c) =>
    sendJson(c, { body: { got: (await readJson(c, { optional: true })).value ?? 'nothing' } }),
  )
  app.post('/keyed', async (c) => {
    const { bytes } = await readJson(c)
    return sendJson(c, { body: readIdempotency(c, { route: '/keyed', bytes }) ?? null })
  })
  app.get('/things/:id', (c) => sendJson(c, { body: { id: c.req.param('id') } }))
  app.delete('/things/:id', (c) => sendJson(c, { body: {} }))
  app.get('/changes', (c) => {
    refuseOtherOrigins(c)
    return sendJson(c, { body: {} })
  })
  app.get('/foreign', () => new Response('not ours'))
  app.get('/throws', () => {
    throw new Error('the secret cause')
  })
  app.get('/throws-text', () => {
    // A library may throw anything.
    // oxlint-disable-next-line no-throw-literal, typescript/only-throw-error
    throw 'the secret text'
  })
  app.get('/coded', () => {
    throw new AppError('queue_full', { retryAfterMs: 1200, details: { run_id: 'run_1' } })
  })
}

const json = { 'content-type': 'application/json' }

interface Fault {
  name: string
  body?: string | Uint8Array<ArrayBuffer>
  headers?: Record<string, string>
  status: number
  code: string
  more?: Record<string, unknown>
}

const faults: Fault[] = [
  { name: 'an empty body', status: 400, code: 'invalid_json', more: { position: 0 } },
  {
    name: 'a broken value',
    body: '{"a": tru}',
    status: 400,
    code: 'invalid_json',
    more: { position: 6, reason: 'Expecting value' },
  },
  {
    name: 'trailing garbage',
    body: '{} x',
    status: 400,
    code: 'invalid_json',
    more: { position: 3, reason: 'Extra data' },
  },
  { name: 'a cut body', body: '{"a": [1, 2', status: 400, code: 'invalid_json', more: { position: 11 } },
  {
    name: 'bytes that are not UTF-8',
    body: new Uint8Array([0x22, 0xff, 0x22]),
    status: 400,
    code: 'invalid_json',
    more: { detail: 'The body is not valid UTF-8.' },
  },
  {
    name: 'a body that nests too deeply',
    body: '['.repeat(500),
    status: 400,
    code: 'invalid_json',
    more: { position: 100, detail: 'Nests deeper than 100 levels at position 100.' },
  },
  {
    name: 'another content type',
    body: '{}',
    headers: { 'content-type': 'text/plain' },
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    name: 'a compressed body',
    body: '{}',
    headers: { ...json, 'content-encoding': 'gzip' },
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    name: 'a form',
    body: 'a=1',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    name: 'a body that says it is too large',
    body: '{}',
    headers: { ...json, 'content-length': '99999999' },
    status: 413,
    code: 'body_too_large',
    more: { max_bytes: 2048 },
  },
  {
    name: 'a content length that is no number',
    body: '{}',
    headers: { ...json, 'content-length': 'many' },
    status: 413,
    code: 'body_too_large',
  },
  {
    name: 'a body that is too large and does not say so',
    body: JSON.stringify('x'.repeat(3000)),
    status: 413,
    code: 'body_too_large',
  },
  {
    name: 'a body that is larger than it says',
    body: JSON.stringify('x'.repeat(3000)),
    headers: { ...json, 'content-length': '5' },
    status: 413,
    code: 'body_too_large',
  },
]

test.for(faults)('$name is refused', async ({ body, headers = json, status, code, more }) => {
  const { app } = createAppUnderTest(routes)
  const response = await app.request('/echo', { method: 'POST', body: body ?? '', headers })
  expect(response.status).toBe(status)
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  expect(await response.json()).toMatchObject({
    type: 'about:blank',
    status,
    code,
    retryable: false,
    title: expect.any(String),
    detail: expect.any(String),
    request_id: response.headers.get('x-request-id'),
    ...more,
  })
})

test('a body without a content type is refused, and no body needs none', async () => {
  const { app } = createAppUnderTest(routes)
  const body = new Uint8Array(Buffer.from('{}'))
  const untyped = await app.request('/echo', { method: 'POST', body })
  expect(untyped.status).toBe(415)
  const empty = await app.request('/optional', { method: 'POST' })
  expect(await empty.json()).toEqual({ got: 'nothing' })
})

test.for([
  'application/json',
  'application/json; charset=utf-8',
  'Application/JSON;charset="utf-8"',
  'application/vnd.thing+json',
])('the content type %s is JSON', async (type) => {
  const { app } = createAppUnderTest(routes)
  const response = await app.request('/echo', {
    method: 'POST',
    body: '[1]',
    headers: { 'content-type': type },
  })
  expect(await response.json()).toEqual({ got: [1] })
})

test('keys named __proto__ are data like any other', async () => {
  const { app } = createAppUnderTest(routes)
  const body = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}'
  const response = await app.request('/echo', { method: 'POST', body, headers: json })
  expect(await response.text()).toBe(`{"got":${body}}`)
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
})

test('a byte order mark is passed over', async () => {
  const { app } = createAppUnderTest(routes)
  const response = await app.request('/echo', { method: 'POST', body: '\ufeff{"a":1}', headers: json })
  expect(await response.json()).toEqual({ got: { a: 1 } })
})

const hosts: [host: string, status: number][] = [
  ['localhost', 200],
  ['localhost:8080', 200],
  ['LOCALHOST:1', 200],
  ['127.0.0.1:8080', 200],
  ['127.0.0.1', 200],
  ['[::1]:8080', 200],
  ['example.com', 403],
  ['localhost.example.com', 403],
  ['127.0.0.1.example.com', 403],
  ['evil.localhost', 403],
  ['10.0.0.1:8080', 403],
  ['localhost:', 403],
  ['localhost:8080@example.com', 403],
  ['', 403],
]
test.for(hosts)('Host %j gets %i', async ([host, status]) => {
  const { app } = createAppUnderTest(routes)
  const response = await app.request('/things/1', { headers: { host } })
  expect(response.status).toBe(status)
  if (status === 403) expect(await response.json()).toMatchObject({ code: 'host_not_allowed' })
})

const origins: [origin: string, host: string, status: number][] = [
  ['http://localhost:8080', 'localhost:8080', 200],
  ['http://localhost:8080', 'LOCALHOST:8080', 200],
  ['http://localhost', 'localhost', 200],
  ['https://localhost', 'localhost', 200],
  ['http://[::1]:8080', '[::1]:8080', 200],
  ['http://localhost:3000', 'localhost:8080', 403],
  ['http://localhost', 'localhost:8080', 403],
  ['http://127.0.0.1:8080', 'localhost:8080', 403],
  ['null', 'localhost:8080', 403],
  ['', 'localhost:8080', 403],
  ['https://example.com', 'localhost:8080', 403],
  ['http://localhost:8080.example.com', 'localhost:8080', 403],
  ['file://', 'localhost:8080', 403],
  ['chrome-extension://localhost:8080', 'localhost:8080', 403],
]
test.for(origins)(
  'Origin %j of a request to %j gets %i, and no CORS header',
  async ([origin, host, status]) => {
    const { app } = createAppUnderTest(routes)
    const response = await app.request('/things/1', { headers: { origin, host } })
    expect(response.status).toBe(status)
    if (status === 403) expect(await response.json()).toMatchObject({ code: 'origin_not_allowed' })
    expect([...response.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
  },
)

test.for([
  ['same-site', 'http://localhost:3000', 403],
  ['cross-site', 'https://example.com', 403],
  ['same-site', 'http://localhost:8080', 403],
  // As the proxy of a development server passes it on.
  ['same-origin', 'http://localhost:5173', 200],
  ['none', 'http://localhost:8080', 200],
] as const)(
  'what a browser says of a page (%s) counts before its origin %s: %i',
  async ([site, origin, status]) => {
    const { app } = createAppUnderTest(routes)
    const headers = {
      host: 'localhost:8080',
      origin,
      'sec-fetch-site': site,
      'content-type': 'application/json',
    }
    for (const [path, method] of [
      ['/things/1', 'GET'],
      ['/changes', 'GET'],
      ['/echo', 'POST'],
    ] as const) {
      const response = await app.request(path, { method, headers, ...(method === 'POST' && { body: '{}' }) })
      expect([path, response.status]).toEqual([path, status])
    }
  },
)

test('a POST of another page is refused also where the browser does not name the origin', async () => {
  const { app } = createAppUnderTest(routes)
  const headers = { 'content-type': 'application/json', 'sec-fetch-site': 'cross-site' }
  expect((await app.request('/echo', { method: 'POST', headers, body: '{}' })).status).toBe(403)
})

test('a link of another page to what only reads is followed', async () => {
  const { app } = createAppUnderTest(routes)
  const headers = { 'sec-fetch-site': 'cross-site' }
  expect((await app.request('/things/1', { headers })).status).toBe(200)
})

test('the probes are behind the host guard too', async () => {
  const { app } = createAppUnderTest(routes)
  expect((await app.request('/health', { headers: { host: 'example.com' } })).status).toBe(403)
})

test('a GET that changes something is refused to other pages that send no origin', async () => {
  const { app } = createAppUnderTest(routes)
  const site = async (value: string) =>
    (await app.request('/changes', { headers: { 'sec-fetch-site': value } })).status
  expect(await site('cross-site')).toBe(403)
  // Another port of this machine.
  expect(await site('same-site')).toBe(403)
  expect(await site('same-origin')).toBe(200)
  expect(await site('none')).toBe(200)
})

test('without the loopback guard any host and origin is served', async () => {
  const { app } = createAppUnderTest(routes, { loopbackOnly: false })
  const headers = { host: 'api.example.com', origin: 'https://app.example.com' }
  expect((await app.request('/things/1', { headers })).status).toBe(200)
})

test('an unknown path is 404 and a known one under another method 405 with Allow', async () => {
  const { app } = createAppUnderTest(routes)
  const unknown = await app.request('/nothing')
  expect(unknown.status).toBe(404)
  expect(await unknown.json()).toMatchObject({ code: 'not_found' })
  const wrong = await app.request('/things/1', { method: 'POST' })
  expect(wrong.status).toBe(405)
  expect(wrong.headers.get('allow')).toBe('HEAD, GET, DELETE')
  expect(await wrong.json()).toMatchObject({ code: 'method_not_allowed' })
  expect((await app.request('/echo', { method: 'GET' })).headers.get('allow')).toBe('POST')
  expect((await app.request('/echo', { method: 'HEAD' })).status).toBe(405)
  expect((await app.request('/echo', { method: 'PROPFIND' })).status).toBe(405)
})

test('OPTIONS names the methods and allows no other origin anything', async () => {
  const { app } = createAppUnderTest(routes)
  const response = await app.request('/echo', { method: 'OPTIONS' })
  expect(response.status).toBe(204)
  expect(response.headers.get('allow')).toBe('POST')
  expect(response.headers.get('access-control-allow-origin')).toBeNull()
})

test('HEAD answers as GET does, without the body', async () => {
  const { app } = createAppUnderTest(routes)
  const response = await app.request('/things/1', { method: 'HEAD' })
  expect(response.status).toBe(200)
  expect(await response.text()).toBe('')
})

test.for(['/things/%', '/things/%zz', '/things/%C3%28', '/things/%00'])(
  'the path %s does no harm',
  async (path) => {
    const { app } = createAppUnderTest(routes)
    expect((await app.request(path)).status).toBeLessThan(500)
  },
)

test('a sane request id is kept and echoed; another gives way to ours', async () => {
  const { app, log } = createAppUnderTest(routes)
  const echoed = async (id: string) => {
    const response = await app.request('/things/1', { headers: { 'x-request-id': id } })
    return response.headers.get('x-request-id')
  }
  expect(await echoed('abc-1.2_3')).toBe('abc-1.2_3')
  expect(log.at(-1)).toMatchObject({ request_id: 'abc-1.2_3' })
  for (const bad of ['a b', '{"a":1}', 'x'.repeat(129), 'ä']) {
    expect(await echoed(bad)).toMatch(/^req_[0-9a-f]{32}$/)
  }
  const foreign = await app.request('/foreign', { headers: { 'x-request-id': 'mine' } })
  expect(foreign.headers.get('x-request-id')).toBe('mine')
})

test('a request is one line of the log: pattern, status and code, never the query or the body', async () => {
  const { app, log } = createAppUnderTest(routes)
  await app.request('/things/secret-id?token=secret-query')
  await app.request('/echo', { method: 'POST', body: '{"secret', headers: json })
  await app.request('/nothing/secret-path')
  expect(log).toMatchObject([
    { msg: 'request', level: 30, method: 'GET', route: '/things/:id', status: 200 },
    { msg: 'request', method: 'POST', route: '/echo', status: 400, code: 'invalid_json' },
    { msg: 'request', method: 'GET', route: 'none', status: 404, code: 'not_found' },
  ])
  expect(log[0]!.duration_ms).toEqual(expect.any(Number))
  expect(JSON.stringify(log)).not.toContain('secret')
})

test.for(['/throws', '/throws-text'])(
  'what %s throws is logged with its cause and not shown',
  async (path) => {
    const { app, log } = createAppUnderTest(routes)
    const response = await app.request(path)
    expect(response.status).toBe(500)
    const body = await response.text()
    expect(body).not.toContain('secret')
    expect(JSON.parse(body)).toMatchObject({
      code: 'internal',
      request_id: response.headers.get('x-request-id'),
    })
    const errors = log.filter(({ level }) => level === 50)
    expect(errors).toHaveLength(1)
    expect(JSON.stringify(errors)).toContain('the secret')
    expect(errors[0]).toMatchObject({ request_id: response.headers.get('x-request-id') })
  },
)

test('a coded error carries its details and when to come back', async () => {
  const { app, log } = createAppUnderTest(routes)
  const response = await app.request('/coded')
  expect(response.status).toBe(429)
  expect(response.headers.get('retry-after')).toBe('2')
  expect(await response.json()).toMatchObject({ code: 'queue_full', retryable: true, run_id: 'run_1' })
  expect(log).toHaveLength(1)
})

const keys: [header: string, key: string | undefined][] = [
  ['abc', 'abc'],
  ['"abc"', 'abc'],
  [String.raw`"a\"b\\c"`, String.raw`a"b\c`],
  ['x'.repeat(255), 'x'.repeat(255)],
  ['x'.repeat(256), undefined],
  ['""', undefined],
  ['schlüssel', undefined],
]
test.for(keys)('the idempotency key %j is read as %j', async ([header, key]) => {
  const { app } = createAppUnderTest(routes)
  const response = await app.request('/keyed', {
    method: 'POST',
    body: '{}',
    headers: { ...json, 'idempotency-key': header },
  })
  expect(response.status).toBe(key === undefined ? 400 : 200)
  expect(await response.json()).toMatchObject(
    key === undefined
      ? { errors: [{ path: ['header', 'idempotency-key'] }] }
      : { key, route: 'POST /keyed', fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/) },
  )
})

test('the fingerprint of a request changes with its body alone', async () => {
  const { app } = createAppUnderTest(routes)
  const fingerprint = async (body: string) => {
    const headers = { ...json, 'idempotency-key': 'k' }
    const response = await app.request('/keyed', { method: 'POST', body, headers })
    return ((await response.json()) as { fingerprint: string }).fingerprint
  }
  expect(await fingerprint('{"a":1}')).toBe(await fingerprint('{"a":1}'))
  expect(await fingerprint('{"a":1}')).not.toBe(await fingerprint('{"a":2}'))
})

test('health lives while the store is down; readiness does not', async () => {
  const down = async () => {
    throw new Error('the secret cause')
  }
  const { app } = createAppUnderTest(routes, { ping: down, countConversations: down })
  const health = await app.request('/health')
  expect(health.status).toBe(200)
  expect(await health.json()).toMatchObject({ status: 'healthy', sessions: 0 })
  const ready = await app.request('/ready')
  expect(ready.status).toBe(503)
  const body = await ready.text()
  expect(JSON.parse(body)).toMatchObject({ code: 'store_unavailable', retryable: true })
  expect(body).not.toContain('secret')
})

test('health and readiness have the fields that every probe looks for', async () => {
  const { app } = createAppUnderTest(routes)
  expect(await (await app.request('/health')).json()).toEqual({
    success: true,
    status: 'healthy',
    data: { status: 'ok' },
    timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
    active_conversations: 3,
    sessions: 3,
    uptime: expect.any(Number),
    version: '1.2.3',
  })
  expect(await (await app.request('/ready')).json()).toEqual({
    success: true,
    status: 'ready',
    data: { status: 'ready' },
    checks: { store: 'ok' },
  })
})

test('a draining node is not ready and says when to come back', async () => {
  const { app } = createAppUnderTest(routes, { isDraining: () => true })
  const response = await app.request('/ready')
  expect(response.status).toBe(503)
  expect(response.headers.get('retry-after')).toBe('1')
  expect(await response.json()).toMatchObject({ code: 'draining' })
})

test('conversations are counted at most once a second', async () => {
  let counted = 0
  const { app } = createAppUnderTest(routes, { countConversations: async () => ++counted })
  await app.request('/health')
  await app.request('/health')
  expect(counted).toBe(1)
})

const post = (headers: string, body: string) =>
  `POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n${headers}\r\n${body}`

test('on a socket, a body in chunks is read, and refused at the limit with an answer', async () => {
  const { app } = createAppUnderTest(routes)
  const listener = await listenOn(app)
  const chunked = 'Transfer-Encoding: chunked\r\n'
  const small = await connectRaw(listener.port)
  small.send(post(chunked, '3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n'))
  await small.until((text) => text.endsWith('{"got":[1,2]}'))
  small.destroy()
  const large = await connectRaw(listener.port)
  const kilobyte = `400\r\n${' '.repeat(1024)}\r\n`
  large.send(post(chunked, kilobyte.repeat(3)))
  expect(await large.until((text) => text.includes('body_too_large'))).toMatch(/^HTTP\/1\.1 413 /)
  // More would come, but is not waited for.
  await large.closed
  await listener.close(0)
})

test('on a socket, a body that says it is too large is refused before it is sent', async () => {
  const { app } = createAppUnderTest(routes)
  const listener = await listenOn(app)
  const client = await connectRaw(listener.port)
  client.send(post('Content-Length: 100000\r\n', ''))
  expect(await client.until((text) => text.includes('body_too_large'))).toMatch(/^HTTP\/1\.1 413 /)
  await client.closed
  await listener.close(0)
})

test('on a socket, a client that leaves inside its body leaves nothing behind', async () => {
  const { app, logged } = createAppUnderTest(routes)
  const listener = await listenOn(app)
  const client = await connectRaw(listener.port)
  client.send(post('Content-Length: 100\r\n', '{"a":'))
  client.destroy()
  expect(await logged(({ msg }) => msg === 'request')).toMatchObject({ status: 400 })
  await listener.close(0)
})

test('on a socket, what no URL can be made of is a bad request', async () => {
  const { app } = createAppUnderTest(routes)
  const listener = await listenOn(app)
  for (const head of [
    'GET / HTTP/1.1\r\nHost: a b\r\n\r\n',
    'GET /\\..\\x HTTP/1.1\r\nHost: localhost\r\n\r\n',
  ]) {
    const client = await connectRaw(listener.port)
    client.send(head)
    await client.until((text) => text.startsWith('HTTP/1.1 400 '))
    client.destroy()
  }
  await listener.close(0)
})
