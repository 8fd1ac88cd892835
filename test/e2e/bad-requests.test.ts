import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectRaw } from '../http/raw-client.ts'
import { createDataDir, startServer, type CliServer } from './cli-server.ts'

const nativeRuns = '/v1/agents/assistant/runs'
/** Stands in everything a caller sends that is wrong. */
const marker = 'SECRET-CALLER-TEXT'

let dataDir: Awaited<ReturnType<typeof createDataDir>>
let server: CliServer

beforeAll(async () => {
  dataDir = await createDataDir()
  server = await startServer({
    dataDir: dataDir.path,
    environment: { LOG_LEVEL: 'debug', MAX_BODY_BYTES: '2kb' },
  })
})
afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await dataDir.remove()
})

/** Bytes of a request as they are, and the first line of what comes back. */
async function statusOf(request: string): Promise<number> {
  const client = await connectRaw(server.port)
  client.send(request)
  const response = await client.until((text) => text.includes('\r\n\r\n'))
  client.destroy()
  return Number(response.split(' ')[1])
}

function post(path: string, body: string, headers: Record<string, string> = {}): string {
  const all = {
    host: `127.0.0.1:${server.port}`,
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  return `POST ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`
}

function get(path: string, host = `127.0.0.1:${server.port}`): string {
  return `GET ${path} HTTP/1.1\r\nhost: ${host}\r\n\r\n`
}

describe('a bad request gets its status, leaves no trace of its words, and the server serves on', () => {
  test.each<[string, number, () => string]>([
    ['no JSON', 422, () => post('/chat', `{"message": ${marker}`)],
    ['no JSON on the native route', 400, () => post(nativeRuns, `{"input": ${marker}`)],
    ['nothing that is asked for', 422, () => post('/chat', `{"mesage":"${marker}"}`)],
    ['a field too many', 400, () => post(nativeRuns, `{"input":"hi","${marker}":1}`)],
    ['another type', 400, () => post(nativeRuns, `{"input":{"text":"${marker}"}}`)],
    ['text', 415, () => post('/chat', marker, { 'content-type': 'text/plain' })],
    ['a compressed body', 415, () => post('/chat', marker, { 'content-encoding': 'gzip' })],
    ['too large a body', 413, () => post('/chat', JSON.stringify({ message: marker.repeat(200) }))],
    ['JSON that is far too deep', 422, () => post('/chat', '['.repeat(2000))],
    ['bytes that are no text', 422, () => post('/chat', '\u0000\u0001\u0002')],
    ['an unknown agent', 404, () => post(`/v1/agents/${marker}/runs`, '{"input":"hi"}')],
    ['an unknown run', 404, () => get(`/v1/runs/${marker}`)],
    ['an unknown session', 404, () => get(`/sessions/${marker}`)],
    ['an unknown path', 404, () => get(`/${marker}`)],
    ['a path that cannot be decoded', 404, () => get(`/v1/runs/%ff%fe${marker}`)],
    ['the wrong method', 405, () => get('/chat')],
    ['a query that is wrong', 422, () => get(`/stream?message=${marker}&max_steps=${marker}`)],
    ['a position that is none', 400, () => get(`/v1/runs?limit=${marker}`)],
    ['another host', 403, () => get('/v1/runs', `${marker}.example`)],
    ['another origin', 403, () => post('/chat', '{"message":"hi"}', { origin: 'http://evil.example' })],
    ['no HTTP', 400, () => `${marker}\r\n\r\n`],
    ['a header without end', 431, () => `${get('/').slice(0, -2)}x: ${'x'.repeat(20_000)}\r\n\r\n`],
  ])('%s: %i', async (_name, status, request) => {
    expect(await statusOf(request())).toBe(status)
    expect((await server.request('/ready')).status).toBe(200)
  })

  test('no request has left a run, a stack or its words', async () => {
    const marked = await server.json('/chat', { message: 'hi' })
    expect(marked).toMatchObject({ completed: true })
    await server.logged((line) => line['run_id'] === marked['run_id'] && line['status'] === 200)
    expect(await server.json('/v1/runs')).toMatchObject({ data: [{ id: marked['run_id'] }], has_more: false })
    expect(server.output()).not.toContain(marker)
    expect(server.output()).not.toMatch(/^ {4}at |"stack"/m)
    const lines = server.log().filter(({ msg }) => msg === 'request')
    expect(lines.length).toBeGreaterThan(20)
    expect(server.log().filter(({ level }) => level === 'error')).toEqual([])
    for (const line of lines.filter((each) => Number(each['status']) >= 400)) {
      expect(line).toMatchObject({ level: 'info', code: expect.stringMatching(/^[a-z_]+$/) })
    }
  })
})
