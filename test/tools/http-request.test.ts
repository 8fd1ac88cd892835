import http from 'node:http'
import https from 'node:https'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { scriptedModel } from '../../src/models/scripted.ts'
import { agent } from '../../src/agent/agent.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import { httpRequest, type HttpRequestOptions } from '../../src/tools/http-request.ts'
import { startLoopback, type Handler } from './loopback-server.ts'
import { callTool } from './tool-call.ts'

/** A server, and a tool that may reach it and nothing else. */
async function start(handler: Handler, options: (host: string) => Partial<HttpRequestOptions> = () => ({})) {
  const server = await startLoopback(handler)
  const { host } = server
  const request = httpRequest({ hosts: [host], allowPrivate: [host], ...options(host) })
  return { server, request, call: (input: object) => callTool(request, input) as Promise<string> }
}

describe('the definition', () => {
  test('asks for a list of hosts', () => {
    expect(() => httpRequest({ hosts: [] })).toThrow(/hosts: list at least one host/)
    expect(() => httpRequest({} as HttpRequestOptions)).toThrow(TypeError)
    expect(() => httpRequest({ hosts: ['https://api.example.com/'] })).toThrow(/hosts: .* is no host/)
  })

  test('refuses headers for hosts that are not listed, or for all', () => {
    const headers = { 'api.exmaple.com': { 'x-key': 'k' } }
    expect(() => httpRequest({ hosts: ['api.example.com'], headers })).toThrow(
      /"api.exmaple.com" is none of the hosts/,
    )
    expect(() => httpRequest({ hosts: ['*'], headers: { '*': { 'x-key': 'k' } } })).toThrow(/name the hosts/)
  })

  test('names a header that no request could carry, and not its value', () => {
    const define = () =>
      httpRequest({ hosts: ['a.example'], headers: { 'a.example': { 'x-key': 'secret\nvalue' } } })
    expect(define).toThrow(/headers.a.example: x-key is no valid header/)
    expect(define).not.toThrow(/secret/)
  })

  test('refuses what is not one of its options, and private hosts without a name', () => {
    const misspelt = { hosts: ['a.example'], aproval: 'required' } as HttpRequestOptions
    expect(() => httpRequest(misspelt)).toThrow(/aproval/)
    expect(() => httpRequest({ hosts: ['*'], allowPrivate: ['*'] })).toThrow(/allowPrivate.0: name the hosts/)
  })

  test.each(['127.0.0.1:4777', 'localhost', '[::1]:8080', '0x7f.1', '10.1.2.3', '*.localhost'])(
    'refuses the private host %s, which no request could reach, unless it is allowed',
    (host) => {
      const named = `tool http_request: hosts: "${host}" is in a private network: list it in allowPrivate`
      expect(() => httpRequest({ hosts: ['a.example', host] })).toThrow(named)
      expect(() => httpRequest({ hosts: [host], allowPrivate: [host] })).not.toThrow()
    },
  )

  test('is a read with GET and HEAD alone, else a write', () => {
    const effectOf = (methods?: HttpRequestOptions['methods']) =>
      httpRequest({ hosts: ['a.example'], ...(methods ? { methods } : {}) }).effect
    expect([effectOf(), effectOf(['GET']), effectOf(['GET', 'PUT']), effectOf(['POST'])]).toEqual([
      'read',
      'read',
      'write',
      'write',
    ])
  })

  test('tells the model methods and hosts, and no header of the author', () => {
    const { name, description, parameters } = httpRequest({
      hosts: ['api.example.com', '*.example.org'],
      headers: { 'api.example.com': { authorization: 'Bearer secret-key' } },
    })
    expect([name, description]).toEqual([
      'http_request',
      'Makes an HTTP request (GET, HEAD) to api.example.com, *.example.org, and returns the status, the content type and the text of the answer.',
    ])
    expect(parameters).toMatchObject({ required: ['url'], properties: { method: { enum: ['GET', 'HEAD'] } } })
    expect(JSON.stringify([description, parameters])).not.toContain('secret-key')
  })
})

describe('what the model gets', () => {
  test('is status, content type and text', async () => {
    const { server, call } = await start(() => '{"name":"Ann"}')
    expect(await call({ url: `${server.url}/people?id=1` })).toBe(
      'HTTP 200\ncontent-type: application/json\n\n{"name":"Ann"}',
    )
    expect(server.requests[0]).toMatchObject({ method: 'GET', path: '/people?id=1' })
  })

  test.each([
    ['in its middle', 95],
    ['after its first character', 99],
    ['at its end', 84],
  ])('has no part of a header of the author where the text is cut %s', async (_, before) => {
    const key = 'Token SECRET-KEY-123'
    const { server, call } = await start(
      ({ headers }) => '.'.repeat(before) + String(headers['x-key']).slice('Token '.length) + ' and more',
      (host) => ({ headers: { [host]: { 'x-key': key } }, maxBytes: 100 }),
    )
    const [, text] = (await call({ url: server.url })).split('\n\n')
    expect(text?.replace(/^\.+/, '')).toBe(before === 84 ? '[redacted] a' : '')
  })

  test('keeps the end of a text that is whole', async () => {
    const { server, call } = await start(
      () => 'an end like SECRET-K',
      (host) => ({ headers: { [host]: { 'x-key': 'SECRET-KEY-123' } } }),
    )
    expect(await call({ url: server.url })).toMatch(/an end like SECRET-K$/)
  })

  test('is the answer of a failure, too', async () => {
    const { server, call } = await start(() => ({ status: 404, body: '{"error":"nobody"}' }))
    expect(await call({ url: server.url })).toContain('HTTP 404\n')
    expect(await call({ url: server.url })).toContain('nobody')
  })

  test('has no text where the answer is none', async () => {
    const image = { headers: { 'content-type': 'image/png' }, body: Buffer.from([0x89, 0x50, 0x4e, 0x47]) }
    const { server, call } = await start(() => image)
    expect(await call({ url: server.url })).toBe(
      'HTTP 200\ncontent-type: image/png\n\nThe answer is not text and is left out.',
    )
  })

  test('has the text of an answer without a type where it looks like one', async () => {
    const { server, call } = await start(({ path }, response) => {
      response.end(path === '/text' ? 'plain words' : Buffer.from([1, 0, 2]))
      return undefined
    })
    expect(await call({ url: `${server.url}/text` })).toBe('HTTP 200\n\nplain words')
    expect(await call({ url: `${server.url}/bytes` })).toContain('not text')
  })

  test('is decoded by its charset', async () => {
    const { server, call } = await start(({ path }) => ({
      headers: { 'content-type': `text/plain; charset=${path === '/known' ? '"ISO-8859-1"' : 'x-none'}` },
      body: path === '/known' ? Buffer.from([0xe9]) : 'é',
    }))
    expect(await call({ url: `${server.url}/known` })).toMatch(/\n\né$/)
    expect(await call({ url: `${server.url}/unknown` })).toMatch(/\n\né$/)
  })

  test('says where it was cut, and does not end in half a character', async () => {
    const { server, call } = await start(
      () => '€'.repeat(10),
      () => ({ maxBytes: 10 }),
    )
    expect(await call({ url: server.url })).toBe(
      'HTTP 200\ncontent-type: application/json\ncut: only the first 10 bytes were read\n\n€€€',
    )
  })

  test('says where a redirect led', async () => {
    const { server, call } = await start(({ path }) =>
      path === '/a' ? { status: 301, headers: { location: '/b' } } : '{}',
    )
    expect(await call({ url: `${server.url}/a` })).toContain(`\nurl: ${server.url}/b\n`)
  })

  test('is a redirect after a write, where it may not be followed', async () => {
    const answer = { status: 303, headers: { location: 'https://elsewhere.example/done' } }
    const { server, call } = await start(
      () => answer,
      () => ({ methods: ['POST'] }),
    )
    expect(await call({ url: server.url, method: 'POST', body: '{}' })).toBe(
      'HTTP 303\ncontent-type: application/json\nlocation: https://elsewhere.example/done',
    )
  })
})

describe('what the model may do', () => {
  test.each([
    ['another method', { method: 'DELETE' }],
    ['a field of its own', { auth: 'user:word' }],
    ['a body with GET', { body: 'x' }],
  ])('%s is not among it', async (_, more) => {
    const { server, call } = await start(() => '{}')
    await expect(call({ url: server.url, ...more })).rejects.toThrow(/bad arguments/)
    expect(server.requests).toEqual([])
  })

  test('a body goes with methods that have one, as JSON unless it says otherwise, with the key of the call', async () => {
    const { server, call } = await start(
      () => '{}',
      () => ({ methods: ['GET', 'POST', 'PUT'] }),
    )
    await call({ url: server.url, method: 'POST', body: '{"ä":1}' })
    await call({ url: server.url, method: 'PUT', body: 'a', headers: { 'Content-Type': 'text/plain' } })
    expect(server.requests[0]).toMatchObject({
      method: 'POST',
      body: '{"ä":1}',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'run_1-call_1' },
    })
    expect(server.requests[1]).toMatchObject({ method: 'PUT', headers: { 'content-type': 'text/plain' } })
    await expect(call({ url: server.url, body: 'x' })).rejects.toThrow('GET has no body.')
  })

  test.each(['Host', 'authorization', 'cookie', 'X-HTTP-Method-Override', 'transfer-encoding', 'x-key'])(
    'the header %s is not among it',
    async (header) => {
      const { server, call } = await start(() => '{}')
      await expect(call({ url: server.url, headers: { [header]: 'x' } })).rejects.toThrow(
        /cannot be set here/,
      )
      expect(server.requests).toEqual([])
    },
  )

  test('an author may give it further headers', async () => {
    const { server, call } = await start(
      () => '{}',
      () => ({ modelHeaders: ['X-Page'] }),
    )
    await call({ url: server.url, headers: { 'x-page': '2' } })
    expect(server.requests[0]!.headers['x-page']).toBe('2')
    await expect(call({ url: server.url, headers: { accept: 'a' } })).rejects.toThrow(/only x-page can/)
  })

  test('hosts beside the list are not among it, directly or by redirect', async () => {
    const inside = await startLoopback(() => 'secret')
    const { server, call } = await start(() => ({ status: 302, headers: { location: inside.url } }))
    await expect(call({ url: inside.url })).rejects.toThrow('Requests to this host are not allowed.')
    await expect(call({ url: server.url })).rejects.toThrow('Requests to this host are not allowed.')
    expect(inside.requests).toEqual([])
  })

  test('with every public host allowed, private ones still are not', async () => {
    const inside = await startLoopback(() => 'secret')
    const request = httpRequest({ hosts: ['*'] })
    for (const url of [inside.url, `http://localhost:${inside.port}`, 'http://localhost', 'http://[::1]']) {
      await expect(callTool(request, { url })).rejects.toThrow('Requests to this host are not allowed.')
    }
    expect(inside.requests).toEqual([])
  })
})

describe("the author's headers", () => {
  const key = 'sk-very-secret'

  test('go to their host alone, and stand before those of the model', async () => {
    const other = await startLoopback(() => '{}')
    const { server, call } = await start(
      () => '{}',
      (host) => ({
        hosts: [host, other.host],
        allowPrivate: [host, other.host],
        headers: { [host]: { Authorization: `Bearer ${key}`, Accept: 'application/json' } },
      }),
    )
    await call({ url: server.url, headers: { accept: 'text/html' } })
    await call({ url: other.url })
    expect(server.requests[0]!.headers).toMatchObject({
      authorization: `Bearer ${key}`,
      accept: 'application/json',
    })
    expect(other.requests[0]!.headers).not.toHaveProperty('authorization')
  })

  test('stay behind where their host redirects to another, also a listed one', async () => {
    const other = await startLoopback(() => '{}')
    const { server, call } = await start(
      () => ({ status: 307, headers: { location: other.url } }),
      (host) => ({
        hosts: [host, other.host],
        allowPrivate: [host, other.host],
        headers: { [host]: { 'x-key': key }, [other.host]: { 'x-key': 'other-secret' } },
      }),
    )
    await call({ url: server.url })
    expect(other.requests[0]!.headers).not.toHaveProperty('x-key')
  })

  test('are not sent over http where others could read them', async () => {
    const request = httpRequest({
      hosts: ['api.example.com'],
      headers: { 'api.example.com': { 'x-key': key } },
    })
    const sent: unknown[] = []
    const record = (...[, { headers }]: Parameters<typeof http.request>) => {
      sent.push((headers as Record<string, string>)['x-key'])
      throw new Error('no network')
    }
    const spies = [http, https].map((module) =>
      vi.spyOn(module, 'request').mockImplementation(record as typeof http.request),
    )
    onTestFinished(() => spies.forEach((spy) => spy.mockRestore()))
    for (const url of [
      'http://api.example.com/',
      'http://api.example.com:443/',
      'https://api.example.com/',
    ]) {
      await expect(callTool(request, { url })).rejects.toThrow()
    }
    expect(sent).toEqual([undefined, undefined, key])
  })

  test('are not shown where the host repeats them', async () => {
    const { server, call } = await start(
      ({ headers }) => JSON.stringify(headers),
      (host) => ({
        headers: { [host]: { authorization: `Bearer ${key}`, 'x-key': `other-${key}` } },
      }),
    )
    const text = await call({ url: server.url })
    expect(text).toContain('"authorization":"[redacted]"')
    expect(text).not.toContain(key)
  })
})

test('in a run a refusal is a result the model reads', async () => {
  const model = scriptedModel([
    { toolCalls: [{ name: 'http_request', arguments: { url: 'http://169.254.169.254/latest/meta-data/' } }] },
    'I may not.',
  ])
  const assistant = agent({ name: 'assistant', model, tools: [httpRequest({ hosts: ['*'] })] })
  const server = await createTestServer({ agents: [assistant] })
  try {
    const response = await server.request('/v1/agents/assistant/runs', { body: { input: 'Fetch it.' } })
    expect(await response.json()).toMatchObject({ status: 'completed', output: 'I may not.' })
    expect(JSON.stringify(model.calls[1]!.items)).toContain('Error: Requests to this host are not allowed.')
  } finally {
    await server.close()
  }
})
