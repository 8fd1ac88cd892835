import type { lookup as systemLookup } from 'node:dns'
import http from 'node:http'
import { type LookupFunction, Socket } from 'node:net'
import { pipeline, Readable } from 'node:stream'
import { brotliCompressSync, createGzip, gzipSync } from 'node:zlib'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { parseHosts } from '../../src/tools/host-list.ts'
import { createSafeFetch } from '../../src/tools/safe-fetch.ts'
import { tlsIdentity } from '../models/tls-identity.ts'
import { startLoopback } from './loopback-server.ts'
import { everywhere, guarded, names, trusting } from './safe-fetch-under-test.ts'

const notAllowed = { code: 'tool_refused', message: 'Requests to this host are not allowed.' }

describe('private addresses', () => {
  test.each([
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0x7f.1',
    '0177.0.0.1',
    '017700000001',
    '0',
    '0.0.0.0',
    '127.0.0.1.',
    '①②⑦.0.0.1',
    '127。0。0。1',
    '%31%32%37.0.0.1',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.0.1',
    '169.254.169.254',
    '0xa9fea9fe',
    '100.64.0.1',
    '[::1]',
    '[::]',
    '[0:0:0:0:0:0:0:1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[fe80::1]',
    '[fd00:ec2::254]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
  ])('%s is not asked, however it is spelt', async (host) => {
    const server = await startLoopback(() => '{}')
    const asked = guarded()({ url: `http://${host}:${server.port}/` })
    // For the log alone: the message is the same as of a host that is not listed.
    const hint = expect.stringContaining('has an address of a private network') as string
    await expect(asked).rejects.toMatchObject({ ...notAllowed, hint })
    expect(server.requests).toEqual([])
  })

  test.each([
    ['an IPv4 address', ['127.0.0.1']],
    ['an IPv6 address', ['::1']],
    ['a mapped address', ['::ffff:127.0.0.1']],
    ['a NAT64 address', ['64:ff9b::7f00:1']],
    ['the metadata address', ['169.254.169.254']],
    ['a public and a private one', ['8.8.8.8', '127.0.0.1']],
  ])('a name that resolves to %s is not asked', async (_, addresses) => {
    const server = await startLoopback(() => '{}')
    const lookup = names({ 'innocent.example': addresses })
    const asked = guarded({ lookup })({ url: `http://innocent.example:${server.port}/` })
    await expect(asked).rejects.toMatchObject({
      ...notAllowed,
      hint: expect.stringContaining('allowPrivate'),
    })
    expect(server.requests).toEqual([])
  })

  test('localhost and its relatives are not asked', async () => {
    const server = await startLoopback(() => '{}')
    const safeFetch = createSafeFetch({ hosts: everywhere })
    for (const host of ['localhost', 'localhost.', 'LOCALHOST']) {
      await expect(safeFetch({ url: `http://${host}:${server.port}/` })).rejects.toMatchObject(notAllowed)
    }
    expect(server.requests).toEqual([])
  })

  test('a name is resolved once, for the connection itself: it cannot be public first and private then', async () => {
    const answers = ['8.8.8.8', '127.0.0.1']
    const lookup = vi.fn((_name: string, _options: unknown, callback: (...values: unknown[]) => void) =>
      callback(null, [{ address: answers.shift(), family: 4 }]),
    ) as unknown as typeof systemLookup
    const connectedTo: unknown[] = []
    // Stands for the network: it resolves as a socket does, and then nobody answers.
    const connect = vi.spyOn(http.Agent.prototype, 'createConnection').mockImplementation((options) => {
      const { lookup: resolve } = options as { lookup: LookupFunction }
      const socket = new Socket()
      resolve('rebinding.example', { all: true }, (error, addresses) => {
        connectedTo.push(error ?? addresses)
        socket.destroy(new Error('nobody answers'))
      })
      return socket
    })
    onTestFinished(() => connect.mockRestore())
    await expect(guarded({ lookup })({ url: 'http://rebinding.example/' })).rejects.toMatchObject({
      code: 'tool_failed',
    })
    expect(connectedTo).toEqual([[{ address: '8.8.8.8', family: 4 }]])
    expect(lookup).toHaveBeenCalledTimes(1)
  })

  test('an author may allow them, by host', async () => {
    const server = await startLoopback(() => '{"ok":true}')
    const lookup = names({ 'inside.example': ['127.0.0.1'], 'other.example': ['127.0.0.1'] })
    const safeFetch = guarded({ lookup, privateHosts: parseHosts([`inside.example:${server.port}`], 'test') })
    const { status, body } = await safeFetch({ url: `http://inside.example:${server.port}/a?b=1` })
    expect([status, body.toString()]).toEqual([200, '{"ok":true}'])
    expect(server.requests[0]).toMatchObject({
      path: '/a?b=1',
      headers: { host: `inside.example:${server.port}` },
    })
    await expect(safeFetch({ url: `http://other.example:${server.port}/` })).rejects.toMatchObject(notAllowed)
    await expect(safeFetch({ url: server.url })).rejects.toMatchObject(notAllowed)
  })

  test('a proxy of the environment does not lead around the guard', async () => {
    const proxy = await startLoopback(() => '{}')
    const usual = http.globalAgent
    http.globalAgent = new http.Agent({ proxyEnv: { HTTP_PROXY: proxy.url } })
    onTestFinished(() => {
      http.globalAgent = usual
    })
    await expect(guarded()({ url: 'http://nowhere.example/' })).rejects.toMatchObject({ code: 'tool_failed' })
    expect(proxy.requests).toEqual([])
  })
})

describe('URLs', () => {
  test.each([
    ['ftp://example.com/', 'Only http and https are allowed.'],
    ['file:///etc/passwd', 'Only http and https are allowed.'],
    ['gopher://127.0.0.1:6379/_', 'Only http and https are allowed.'],
    ['data:text/plain,a', 'Only http and https are allowed.'],
    ['javascript:alert(1)', 'Only http and https are allowed.'],
    ['https://user@example.com/', 'A URL must not hold a user name or a password.'],
    ['https://user:password@example.com/', 'A URL must not hold a user name or a password.'],
    ['https://example.com@127.0.0.1/', 'A URL must not hold a user name or a password.'],
    ['/path', 'That is no absolute URL.'],
    ['https://', 'That is no absolute URL.'],
    ['https://[::1', 'That is no absolute URL.'],
  ])('%s is refused', async (url, message) => {
    await expect(trusting()({ url })).rejects.toMatchObject({ code: 'tool_refused', message })
  })

  test('a host beside the list is refused before its name is resolved', async () => {
    const lookup = names({ 'evil.example': ['8.8.8.8'] })
    const safeFetch = guarded({ lookup, hosts: parseHosts(['api.example.com'], 'test') })
    for (const url of [
      'https://evil.example/',
      'https://api.example.com.evil.example/',
      'https://api.example.com:8443/',
      'https://evil.example\\@api.example.com/',
    ]) {
      const hint = expect.stringContaining('not among those the tool may use') as string
      await expect(safeFetch({ url })).rejects.toMatchObject({ ...notAllowed, hint })
    }
    expect(lookup).not.toHaveBeenCalled()
  })

  test('the dot that may end a name is taken away before the host is told to the server', async () => {
    const server = await startLoopback(() => '{}')
    const lookup = names({ 'inside.example': ['127.0.0.1'] })
    await trusting({ lookup })({ url: `http://inside.example.:${server.port}/` })
    expect(server.requests[0]!.headers.host).toBe(`inside.example:${server.port}`)
  })
})

describe('redirects', () => {
  const to = (location: string, status = 302) => ({ status, headers: { location } })

  test('are followed within the list, and the last URL is told', async () => {
    const server = await startLoopback(({ path }) => (path === '/a' ? to('/b?c=1#d') : '{"found":true}'))
    const { body, url } = await trusting()({ url: `${server.url}/a`, headers: { 'x-key': 'secret-key' } })
    expect([body.toString(), url.href]).toEqual(['{"found":true}', `${server.url}/b?c=1`])
    expect(server.requests[1]!.headers).toMatchObject({ 'x-key': 'secret-key' })
  })

  test.each([
    'http://127.0.0.1:1/',
    'http://[::1]/',
    'http://2130706433/',
    'http://169.254.169.254/latest/meta-data/',
  ])('to %s is refused', async (location) => {
    const server = await startLoopback(() => to(location))
    const lookup = names({ 'outside.example': ['127.0.0.1'] })
    const safeFetch = guarded({
      lookup,
      privateHosts: parseHosts([`outside.example:${server.port}`], 'test'),
    })
    await expect(safeFetch({ url: `http://outside.example:${server.port}/` })).rejects.toMatchObject(
      notAllowed,
    )
  })

  test('to a name that resolves to a private address is refused', async () => {
    const inside = await startLoopback(() => 'secret')
    const server = await startLoopback(() => to(`http://rebound.example:${inside.port}/`))
    const lookup = names({ 'outside.example': ['127.0.0.1'], 'rebound.example': ['127.0.0.1'] })
    const safeFetch = guarded({
      lookup,
      privateHosts: parseHosts([`outside.example:${server.port}`], 'test'),
    })
    await expect(safeFetch({ url: `http://outside.example:${server.port}/` })).rejects.toMatchObject(
      notAllowed,
    )
    expect(inside.requests).toEqual([])
  })

  test.each(['file:///etc/passwd', 'ftp://example.com/', 'https://user:word@example.com/', 'http://['])(
    'to %s are refused',
    async (location) => {
      const server = await startLoopback(() => to(location))
      await expect(trusting()({ url: server.url })).rejects.toMatchObject({ code: 'tool_refused' })
    },
  )

  test('to another origin take no headers along but accept', async () => {
    const other = await startLoopback(() => '{}')
    const server = await startLoopback(() => to(other.url))
    const headers = { Authorization: 'Bearer secret', 'x-key': 'secret', cookie: 'a=b', Accept: 'text/html' }
    await trusting()({ url: server.url, headers })
    expect(server.requests[0]!.headers).toMatchObject({ authorization: 'Bearer secret', accept: 'text/html' })
    expect(Object.keys(other.requests[0]!.headers).toSorted()).toEqual([
      'accept',
      'accept-encoding',
      'connection',
      'host',
      'user-agent',
    ])
  })

  test('there and back do not bring the headers back', async () => {
    let away = ''
    const server = await startLoopback(({ path }) => (path === '/start' ? to(`${away}/`) : '{}'))
    const other = await startLoopback(() => to(`${server.url}/end`))
    away = other.url
    await trusting()({ url: `${server.url}/start`, headers: { 'x-key': 'secret' } })
    expect(server.requests.map(({ headers }) => headers['x-key'])).toEqual(['secret', undefined])
  })

  test.each([
    [301, 'GET', ''],
    [302, 'GET', ''],
    [303, 'GET', ''],
    [307, 'POST', '{"a":1}'],
    [308, 'POST', '{"a":1}'],
  ])('%i after a POST is followed by %s', async (status, method, body) => {
    const server = await startLoopback(({ path }) => (path === '/a' ? to('/b', status) : '{}'))
    const headers = { 'content-type': 'application/json' }
    await trusting()({ url: `${server.url}/a`, method: 'POST', headers, body: '{"a":1}' })
    expect(server.requests[1]).toMatchObject({ method, body })
    expect(server.requests[1]!.headers['content-type']).toBe(
      method === 'GET' ? undefined : 'application/json',
    )
  })

  test('take no body to another origin', async () => {
    const other = await startLoopback(() => '{}')
    const server = await startLoopback(() => to(other.url, 307))
    const sent = trusting()({ url: server.url, method: 'PUT', body: 'secret', repeatable: true })
    await expect(sent).rejects.toMatchObject({
      code: 'tool_refused',
      message: expect.stringContaining('another origin'),
    })
    expect(other.requests).toEqual([])
  })

  test('come to an end after five', async () => {
    const server = await startLoopback(({ path }) => to(`${path}x`))
    await expect(trusting()({ url: `${server.url}/` })).rejects.toMatchObject({
      message: 'More than 5 redirects.',
    })
    expect(server.requests).toHaveLength(6)
  })

  test('from https to http are refused', async () => {
    const plain = await startLoopback(() => '{}')
    const server = await startLoopback(() => to(plain.url), { secure: true })
    await expect(trusting({ ca: tlsIdentity.cert })({ url: server.url })).rejects.toMatchObject({
      code: 'tool_refused',
      message: 'It redirects from https to http, which is not allowed.',
    })
    expect(plain.requests).toEqual([])
  })

  test('are answers like any other where none are to be followed', async () => {
    const server = await startLoopback(() => to('/b'))
    expect((await trusting({ maxRedirects: 0 })({ url: server.url })).status).toBe(302)
  })
})

describe('bodies', () => {
  test('are read up to the limit and left there', async () => {
    const server = await startLoopback(() => 'x'.repeat(5000))
    const safeFetch = trusting({ maxBytes: 1000 })
    expect(await safeFetch({ url: server.url })).toMatchObject({ cut: true, body: { length: 1000 } })
    const whole = trusting({ maxBytes: 5000 })
    expect(await whole({ url: server.url })).toMatchObject({ cut: false, body: { length: 5000 } })
  })

  test('that never end are left at the limit', async () => {
    const server = await startLoopback((_, response) => {
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(10_000)));
        response.once('drain', more)
      }
      more()
      return undefined
    })
    expect(await trusting({ maxBytes: 50_000 })({ url: server.url })).toMatchObject({ cut: true })
  })

  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
  ])('in %s are unpacked', async (encoding, compress) => {
    const server = await startLoopback(() => ({
      headers: { 'content-encoding': encoding },
      body: compress(Buffer.from('{"packed":true}')),
    }))
    expect((await trusting()({ url: server.url })).body.toString()).toBe('{"packed":true}')
    expect(server.requests[0]!.headers['accept-encoding']).toBe('gzip, br')
  })

  test('that unpack to far more, without an end, are left at the limit', async () => {
    const left = Promise.withResolvers<void>()
    const server = await startLoopback((_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' })
      const zeros = new Readable({
        read() {
          this.push(Buffer.alloc(1_000_000))
        },
      })
      pipeline(zeros, createGzip({ level: 1 }), response, () => left.resolve())
      return undefined
    })
    expect(await trusting()({ url: server.url })).toMatchObject({ cut: true, body: { length: 1_000_000 } })
    await left.promise
  })

  test('that unpack to nothing for ever come to an end', async () => {
    const nothing = gzipSync('')
    const server = await startLoopback(() => ({
      headers: { 'content-encoding': 'gzip' },
      body: Buffer.concat(Array.from({ length: 1000 }, () => nothing)),
    }))
    await expect(trusting({ maxBytes: 1000 })({ url: server.url })).rejects.toMatchObject({
      code: 'tool_failed',
    })
  })

  test.each(['zstd', 'gzip, gzip', 'constructor'])('in %s are refused', async (encoding) => {
    const server = await startLoopback(() => ({ headers: { 'content-encoding': encoding }, body: 'x' }))
    await expect(trusting()({ url: server.url })).rejects.toMatchObject({
      message: 'The body has an encoding that is not known.',
    })
  })

  test('that are not what they say fail', async () => {
    const server = await startLoopback(() => ({ headers: { 'content-encoding': 'gzip' }, body: 'plain' }))
    await expect(trusting()({ url: server.url })).rejects.toMatchObject({ code: 'tool_failed' })
  })

  test('that break off fail', async () => {
    const server = await startLoopback((_, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('half', () => response.destroy())
      return undefined
    })
    await expect(trusting()({ url: server.url })).rejects.toMatchObject({
      code: 'tool_failed',
      retryable: true,
      message: '127.0.0.1 broke the connection off.',
    })
  })
})

describe('trouble', () => {
  const hanging = () => startLoopback(() => undefined)

  test('a server that is silent is given up', async () => {
    const server = await hanging()
    await expect(trusting({ timeoutMs: 50 })({ url: server.url })).rejects.toMatchObject({
      code: 'tool_failed',
      message: '127.0.0.1 did not answer within 0.05 s.',
    })
  })

  test('a body that drips counts against the same limit', async () => {
    const server = await startLoopback((_, response) => {
      response.writeHead(200).write('drip')
      return undefined
    })
    await expect(trusting({ timeoutMs: 100 })({ url: server.url })).rejects.toMatchObject({
      message: '127.0.0.1 did not answer within 0.1 s.',
    })
  })

  test('the signal ends it with its own reason, and the connection with it', async () => {
    const controller = new AbortController()
    const closed = Promise.withResolvers<void>()
    const server = await startLoopback((_, response) => {
      response.once('close', () => closed.resolve())
      controller.abort(new Error('the run was cancelled'))
      return undefined
    })
    await expect(trusting()({ url: server.url, signal: controller.signal })).rejects.toThrow(
      'the run was cancelled',
    )
    await closed.promise
  })

  test('a signal that has fired before sends nothing', async () => {
    const server = await hanging()
    await expect(
      trusting()({ url: server.url, signal: AbortSignal.abort(new Error('over')) }),
    ).rejects.toThrow('over')
    expect(server.requests).toEqual([])
  })

  test('a server that switches to another protocol has not answered, and its connection is closed', async () => {
    const server = await startLoopback((_, response) => {
      // As it is on the wire: Node's own server hands the socket over.
      response.socket!.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n')
      response.socket!.on('close', () => closed.resolve())
      return undefined
    })
    const closed = Promise.withResolvers<void>()
    const safeFetch = trusting()
    const message = '127.0.0.1 switched to another protocol.'
    await expect(safeFetch({ url: server.url })).rejects.toMatchObject({ code: 'tool_failed', message })
    await closed.promise
    await expect(safeFetch({ url: server.url, method: 'POST', body: '{}' })).rejects.toMatchObject({
      code: 'outcome_unknown',
    })
  })

  test('what a server says before its answer is passed over', async () => {
    const server = await startLoopback((_, response) => {
      response.writeProcessing()
      response.writeEarlyHints({ link: '</a.css>; rel=preload' })
      return 'the answer'
    })
    const { status, body } = await trusting()({ url: server.url })
    expect([status, body.toString()]).toEqual([200, 'the answer'])
  })

  test('one that was never sent has just failed, and no address is told', async () => {
    const lookup = names({ 'closed.example': ['127.0.0.1'] })
    const safeFetch = trusting({ lookup })
    const refusal = safeFetch({ url: 'http://closed.example:1/', method: 'POST' })
    await expect(refusal).rejects.toMatchObject({
      code: 'tool_failed',
      message: 'closed.example refuses the connection.',
    })
    await expect(safeFetch({ url: 'http://unknown.example/' })).rejects.toMatchObject({
      message: 'unknown.example cannot be found.',
    })
  })

  test('a certificate that nobody vouches for is refused', async () => {
    const server = await startLoopback(() => '{}', { secure: true })
    await expect(trusting()({ url: server.url })).rejects.toMatchObject({
      message: '127.0.0.1 has no valid certificate.',
    })
    expect(server.requests).toEqual([])
  })

  test.each([
    ['a name', { 'bad name': 'x' }],
    ['a value', { accept: 'a\r\nx-injected: 1' }],
  ])('a header with %s of more than one line is refused', async (_, headers) => {
    const server = await startLoopback(() => '{}')
    await expect(trusting()({ url: server.url, headers })).rejects.toMatchObject({ code: 'tool_refused' })
    expect(server.requests).toEqual([])
  })
})
