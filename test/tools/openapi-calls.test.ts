import { describe, expect, test } from 'vitest'
import { openapiTools, type OpenapiToolsOptions } from '../../src/tools/openapi/openapi-tools.ts'
import { startLoopback } from './loopback-server.ts'
import { notesDocument } from './openapi-documents.ts'
import { key, operation, petsTools, sentBy, startPets, toolOf } from './openapi-under-test.ts'
import { callTool } from './tool-call.ts'

describe('a call', () => {
  test('serialises parameters by their style', async () => {
    const { server, call } = await startPets()
    await call('listPets', {
      limit: 5,
      tags: ['a&b', 'ü'],
      ids: [1, 2],
      words: ['x', 'y'],
      filter: { status: 'new', age: { min: 2 } },
      size: { width: 1, height: 2 },
      where: { name: 'Rex' },
      'X-Page': 3,
    })
    const { searchParams } = new URL(server.requests[0]!.path, server.url)
    expect([...searchParams]).toEqual([
      ['limit', '5'],
      ['tags', 'a&b'],
      ['tags', 'ü'],
      ['ids', '1,2'],
      ['words', 'x|y'],
      ['filter[status]', 'new'],
      ['filter[age][min]', '2'],
      ['width', '1'],
      ['height', '2'],
      ['where', '{"name":"Rex"}'],
    ])
    expect(server.requests[0]!.headers['x-page']).toBe('3')
  })

  test('sends the body as its type, and the key of the call where nothing else makes it safe to repeat', async () => {
    const { server, call } = await startPets()
    const body = { name: 'Rex', kind: 'dog' }
    await call('create_pet', { body })
    await call('changePet', { petId: '1', body: { name: 'Max', kind: 'dog' } })
    await call('replacePet', { petId: '1', body })
    expect(
      server.requests.map(({ method, body: sent, headers }) => [
        method,
        JSON.parse(sent),
        headers['content-type'],
        headers['idempotency-key'],
      ]),
    ).toEqual([
      ['POST', body, 'application/json', 'run_1-call_1'],
      ['PATCH', { name: 'Max', kind: 'dog' }, 'application/merge-patch+json', 'run_1-call_1'],
      ['PUT', body, 'application/json', undefined],
    ])
  })

  test.each([
    ['a/b', '/v1/pets/a%2Fb'],
    ['a..b/c.', '/v1/pets/a..b%2Fc.'],
    ['%2e%2e', '/v1/pets/%252e%252e'],
    ['a?b#c', '/v1/pets/a%3Fb%23c'],
    ['a\\b', '/v1/pets/a%5Cb'],
    ['@evil.example', '/v1/pets/%40evil.example'],
    ['\uD800', '/v1/pets/%EF%BF%BD'],
    ['{petId}', '/v1/pets/%7BpetId%7D'],
  ])('keeps %s within its place in the path', async (petId, path) => {
    const { server, call } = await startPets()
    await call('getPet', { petId })
    expect(server.requests[0]!.path).toBe(path)
  })

  test.each(['..', '.', '', '../admin', 'a/..', 'a/./b', '..\\admin', 'a\\..\\b'])(
    'refuses %j in the path, which would be or might be read as another path',
    async (petId) => {
      const { server, call } = await startPets()
      await expect(call('delete_pets_petId', { petId })).rejects.toMatchObject({ code: 'tool_bad_arguments' })
      expect(server.requests).toEqual([])
    },
  )

  test('refuses two values that climb together', async () => {
    const server = await startLoopback(() => '{}')
    const [tool] = openapiTools({
      document: operation({}, 'get', '/a/{x}{y}/b'),
      baseURL: server.url,
      allowPrivate: true,
    })
    await expect(callTool(tool!, { x: '.', y: '.' })).rejects.toThrow(/must not be/)
  })

  test('refuses arguments that the document does not know', async () => {
    const { server, call } = await startPets()
    await expect(call('getPet', { petId: '1', url: 'https://evil.example' })).rejects.toThrow(/bad arguments/)
    expect(server.requests).toEqual([])
  })

  test('refuses a header value of more than one line', async () => {
    const document = operation({ parameters: [{ name: 'X-A', in: 'header', schema: { type: 'string' } }] })
    const server = await startLoopback(() => '{}')
    const [tool] = openapiTools({ document, baseURL: server.url, allowPrivate: true })
    await expect(callTool(tool!, { 'X-A': 'a\r\nhost: b' })).rejects.toMatchObject({ code: 'tool_refused' })
    expect(server.requests).toEqual([])
  })
})

describe('an answer', () => {
  test('is its text', async () => {
    const { call } = await startPets(() => '[{"name":"Rex"}]')
    expect(await call('listPets', {})).toBe('[{"name":"Rex"}]')
  })

  test('without content says so', async () => {
    const { call } = await startPets(() => ({ status: 204 }))
    expect(await call('delete_pets_petId', { petId: '1' })).toBe('HTTP 204, without content.')
  })

  test('that is not text is left out', async () => {
    const { call } = await startPets(() => ({
      headers: { 'content-type': 'image/png' },
      body: Buffer.from([0, 1]),
    }))
    expect(await call('getPet', { petId: '1' })).toBe('The answer (image/png) is not text and is left out.')
  })

  test('that is too long is cut and says so', async () => {
    const { call } = await startPets(() => 'x'.repeat(100), { maxBytes: 10 })
    expect(await call('listPets', {})).toBe('xxxxxxxxxx\n[cut: only the first 10 bytes were read]')
  })

  test.each([
    [404, false],
    [409, false],
    [429, true],
    [503, true],
    [302, false],
  ])('with status %i fails with what it says', async (status, retryable) => {
    const { call } = await startPets(() => ({ status, body: '{"error":"no such pet"}' }))
    await expect(call('getPet', { petId: '1' })).rejects.toMatchObject({
      code: 'tool_failed',
      message: `HTTP ${status}: {"error":"no such pet"}`,
      retryable,
    })
  })

  test.each([301, 302, 303, 502, 503, 504])(
    'with status %i says of a write that its outcome is unknown, and of another call that it failed',
    async (status) => {
      const { call } = await startPets(() => ({
        status,
        headers: { location: 'https://elsewhere.example/' },
      }))
      const body = { name: 'Rex', kind: 'dog' }
      await expect(call('create_pet', { body })).rejects.toMatchObject({
        code: 'outcome_unknown',
        message: expect.stringMatching(`^HTTP ${status}\\. Whether`),
      })
      const code = status < 400 ? 'tool_refused' : 'tool_failed'
      await expect(call('replacePet', { petId: '1', body })).rejects.toMatchObject({ code })
    },
  )

  test('that is lost leaves the outcome of a POST unknown, and not of a DELETE', async () => {
    const { call } = await startPets((_, response) => {
      response.destroy()
      return undefined
    })
    const body = { name: 'Rex', kind: 'dog' }
    await expect(call('create_pet', { body })).rejects.toMatchObject({ code: 'outcome_unknown' })
    await expect(call('delete_pets_petId', { petId: '1' })).rejects.toMatchObject({ code: 'tool_failed' })
  })
})

describe('credentials', () => {
  test.each([
    [{ auth: { bearer: key } }, { authorization: `Bearer ${key}` }],
    [{ auth: { apiKey: { in: 'header', name: 'X-Api-Key', value: key } } }, { 'x-api-key': key }],
    [{ auth: { apiKey: { in: 'cookie', name: 'session', value: key } } }, { cookie: `session=${key}` }],
    [
      { headers: { 'X-Team': 'docs', Authorization: 'Basic abc' } },
      { 'x-team': 'docs', authorization: 'Basic abc' },
    ],
  ] as [Partial<OpenapiToolsOptions>, object][])('%j are sent', async (options, headers) => {
    const { server, tools, call } = await startPets(() => '{}', options)
    await call('getPet', { petId: '1' })
    expect(server.requests[0]!.headers).toMatchObject(headers)
    expect(JSON.stringify(tools)).not.toContain(key)
  })

  test('in the query are sent, and told to nobody', async () => {
    const { server, call } = await startPets(({ path }) => ({ status: 400, body: `bad request ${path}` }), {
      auth: { apiKey: { in: 'query', name: 'key', value: key } },
    })
    const failed = call('listPets', { limit: 1 })
    await expect(failed).rejects.toThrow('HTTP 400: bad request /v1/pets?limit=1&key=[redacted]')
    expect(server.requests[0]!.path).toBe(`/v1/pets?limit=1&key=${key}`)
  })

  test('that the server repeats are taken out of its answers', async () => {
    const { call } = await startPets(({ headers }) => JSON.stringify(headers), { auth: { bearer: key } })
    expect(await call('listPets', {})).toContain('[redacted]')
    expect(await call('listPets', {})).not.toContain(key)
  })

  test('do not follow a redirect away from the server', async () => {
    const other = await startLoopback(() => '{}')
    const { call } = await startPets(() => ({ status: 307, headers: { location: other.url } }), {
      auth: { bearer: key },
    })
    await expect(call('listPets', {})).rejects.toThrow('Requests to this host are not allowed.')
    expect(other.requests).toEqual([])
  })

  test('go to the server of the document, not to one that a path has for itself', async () => {
    const tools = openapiTools({ document: notesDocument, auth: { bearer: key } })
    expect(await sentBy(() => callTool(toolOf(tools, 'get_notes_id'), { id: '1' }))).toEqual({
      url: 'https://reader.notes.example/api/notes/1',
      authorization: undefined,
    })
    expect(await sentBy(() => callTool(toolOf(tools, 'notes_search'), { body: { query: null } }))).toEqual({
      url: 'https://notes.example/search',
      authorization: `Bearer ${key}`,
    })
  })

  test('are not taken where others could read them', () => {
    const baseURL = 'http://pets.example'
    expect(() => petsTools({ baseURL, auth: { bearer: key } })).toThrow(/over https alone/)
    expect(petsTools({ baseURL })).toHaveLength(6)
  })
})

describe('the guard', () => {
  test.each(['http://127.0.0.1:4777', 'http://localhost', 'https://[::1]', 'http://10.0.0.7/v1'])(
    'makes no tools of a server at %s, unless the author allows it',
    (baseURL) => {
      expect(() => petsTools({ baseURL })).toThrow(
        /^openapiTools: .+ is in a private network: set allowPrivate/,
      )
      expect(petsTools({ baseURL, allowPrivate: true })).toHaveLength(6)
    },
  )

  test('lets an allowed server send nobody to its neighbours', async () => {
    const neighbour = await startLoopback(() => 'secret')
    const { call } = await startPets(() => ({ status: 302, headers: { location: neighbour.url } }))
    await expect(call('getPet', { petId: '1' })).rejects.toThrow('not allowed')
    expect(neighbour.requests).toEqual([])
  })
})
