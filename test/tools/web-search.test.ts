import https from 'node:https'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createWebSearch, webSearch, type WebSearchOptions } from '../../src/tools/web-search.ts'
import { startLoopback, type Handler } from './loopback-server.ts'
import { callTool } from './tool-call.ts'

const key = 'BSA-very-secret'

async function start(engine: 'brave' | 'serper', handler: Handler) {
  const server = await startLoopback(handler)
  const keys: WebSearchOptions = engine === 'brave' ? { braveApiKey: key } : { serperApiKey: key }
  const search = createWebSearch({ ...keys, baseURL: server.url })
  return { server, search, call: (input: object) => callTool(search, input) }
}

const braveAnswer = JSON.stringify({
  type: 'search',
  query: { original: 'parley' },
  web: {
    type: 'search',
    results: [
      {
        title: 'Parley &amp; <strong>friends</strong>',
        url: 'https://parley.example/',
        description: 'A <strong>parley</strong> is a talk&#x27;s\n beginning &lt;sic&gt;, 1 < 2.',
        age: '2 days ago',
        extra_snippets: ['more'],
      },
      { title: 'Second', url: 'https://second.example/', description: 'Two' },
    ],
  },
})

const serperAnswer = JSON.stringify({
  searchParameters: { q: 'parley', type: 'search', num: 2 },
  organic: [
    { title: 'Parley', link: 'https://parley.example/', snippet: 'A parley is a talk.', position: 1 },
    { title: 'No snippet', link: 'https://none.example/', position: 2 },
  ],
  credits: 1,
})

test('is a read-only tool whose results are kept for some minutes', () => {
  expect(webSearch).toMatchObject({
    name: 'web_search',
    effect: 'read',
    retries: { times: 2 },
    cacheMs: 300_000,
  })
  expect(webSearch.parameters).toMatchObject({
    required: ['query'],
    properties: { num_results: { minimum: 1, maximum: 10, default: 5 } },
  })
})

test.each([
  {},
  { query: '' },
  { query: ' ' },
  { query: 'a', num_results: 0 },
  { query: 'a', num_results: 11 },
])('refuses the arguments %j', (input) => expect(webSearch.parse(input).ok).toBe(false))

describe('Brave', () => {
  test('is asked as its API wants it, and answers with titles, URLs and snippets without HTML', async () => {
    const { server, call } = await start('brave', () => braveAnswer)
    expect(await call({ query: 'what is a parley?', num_results: 2 })).toEqual({
      results: [
        {
          title: 'Parley & friends',
          url: 'https://parley.example/',
          snippet: "A parley is a talk's beginning <sic>, 1 < 2.",
        },
        { title: 'Second', url: 'https://second.example/', snippet: 'Two' },
      ],
    })
    expect(server.requests).toMatchObject([
      {
        method: 'GET',
        path: '/res/v1/web/search?q=what+is+a+parley%3F&count=2',
        headers: { 'x-subscription-token': key, accept: 'application/json', 'accept-encoding': 'gzip, br' },
      },
    ])
  })

  test('is asked for five results by default, and gives no more than were asked for', async () => {
    const { server, call } = await start('brave', () => braveAnswer)
    expect(await call({ query: 'parley', num_results: 1 })).toMatchObject({ results: [{}] })
    await call({ query: 'parley' })
    expect(server.requests.map(({ path }) => path)).toEqual([
      '/res/v1/web/search?q=parley&count=1',
      '/res/v1/web/search?q=parley&count=5',
    ])
  })

  test.each(['{"type":"search"}', '{"web":null}', '{"web":{"results":[]}}'])(
    'may have found nothing: %s',
    async (answer) => {
      const { call } = await start('brave', () => answer)
      expect(await call({ query: 'parley' })).toEqual({ results: [] })
    },
  )
})

describe('Serper', () => {
  test('is asked as its API wants it', async () => {
    const { server, call } = await start('serper', () => serperAnswer)
    expect(await call({ query: 'parley', num_results: 2 })).toEqual({
      results: [
        { title: 'Parley', url: 'https://parley.example/', snippet: 'A parley is a talk.' },
        { title: 'No snippet', url: 'https://none.example/', snippet: '' },
      ],
    })
    expect(server.requests).toMatchObject([
      { method: 'POST', path: '/search', headers: { 'x-api-key': key, 'content-type': 'application/json' } },
    ])
    expect(JSON.parse(server.requests[0]!.body)).toEqual({ q: 'parley', num: 2 })
  })

  test('is asked where there is no key for Brave', async () => {
    const server = await startLoopback(() => '{}')
    const both = createWebSearch({ braveApiKey: key, serperApiKey: 'other', baseURL: `${server.url}/proxy/` })
    await callTool(both, { query: 'parley' })
    expect(server.requests[0]!.path).toBe('/proxy/res/v1/web/search?q=parley&count=5')
  })
})

describe('a failure', () => {
  test.each([
    [401, 'Brave Search refuses the key of this server.', false],
    [403, 'Brave Search refuses the key of this server.', false],
    [422, 'Brave Search answered with HTTP 422.', false],
    [429, 'Brave Search limits the rate of searches.', true],
    [500, 'Brave Search answered with HTTP 500.', true],
    [302, 'Brave Search answered with HTTP 302.', false],
  ])('with status %i says so, without what the service wrote', async (status, message, retryable) => {
    const { call } = await start('brave', ({ headers }) => ({
      status,
      headers: { location: 'http://127.0.0.1:1/' },
      body: `bad key ${String(headers['x-subscription-token'])}`,
    }))
    const failed = call({ query: 'parley' })
    await expect(failed).rejects.toMatchObject({ message, retryable })
    await expect(failed).rejects.not.toThrow(key)
  })

  test.each([
    '',
    'not json',
    '<html></html>',
    '[]',
    'null',
    '{"web":{"results":"x"}}',
    '{"web":{"results":[1]}}',
  ])('to make sense says so: %s', async (answer) => {
    const { call } = await start('brave', () => answer)
    await expect(call({ query: 'parley' })).rejects.toThrow(
      'Brave Search sent an answer that cannot be read.',
    )
  })

  test('of one result does not spoil the others', async () => {
    const results = [
      { title: 5, url: 'https://a.example/', description: null },
      { title: 'no url' },
      { title: 'script', url: 'javascript:alert(1)', description: '' },
    ]
    const { call } = await start('brave', () => JSON.stringify({ web: { results } }))
    expect(await call({ query: 'parley' })).toEqual({
      results: [{ title: '', url: 'https://a.example/', snippet: '' }],
    })
  })

  test('to connect names the host and no key', async () => {
    const search = createWebSearch({ serperApiKey: key, baseURL: 'http://127.0.0.1:1' })
    await expect(callTool(search, { query: 'parley' })).rejects.toThrow(
      /^127\.0\.0\.1 refuses the connection\.$/,
    )
  })
})

test('long snippets are cut', async () => {
  const answer = {
    web: { results: [{ title: 'a', url: 'https://a.example/', description: 'x'.repeat(10_000) }] },
  }
  const { call } = await start('brave', () => JSON.stringify(answer))
  expect(await call({ query: 'parley' })).toMatchObject({ results: [{ snippet: `${'x'.repeat(499)}…` }] })
})

describe('keys', () => {
  test.each([
    [{ WEB_SEARCH_API_KEY: key }, 'https://api.search.brave.com/res/v1/web/search?q=parley&count=5'],
    [{ SERPER_API_KEY: key }, 'https://google.serper.dev/search'],
    [
      { WEB_SEARCH_API_KEY: key, SERPER_API_KEY: 'b' },
      'https://api.search.brave.com/res/v1/web/search?q=parley&count=5',
    ],
  ])('come from the environment: %j', async (variables, url) => {
    const asked = await sentBy(variables)
    expect(asked).toBe(url)
  })

  test('without one the result says what to set, and nothing fails', async () => {
    setKeys({})
    expect(await callTool(webSearch, { query: 'parley' })).toMatch(/WEB_SEARCH_API_KEY .*SERPER_API_KEY/)
    expect(await callTool(createWebSearch({}), { query: 'parley' })).toMatch(/not configured/)
  })

  test('of other names are refused when the tool is made', () => {
    expect(() => createWebSearch({ apiKey: key } as WebSearchOptions)).toThrow(/apiKey/)
    expect(() => createWebSearch({ baseURL: 'ftp://a.example' })).toThrow(/baseURL/)
  })
})

function setKeys(variables: Record<string, string>): void {
  for (const name of ['WEB_SEARCH_API_KEY', 'SERPER_API_KEY']) vi.stubEnv(name, variables[name] ?? '')
  onTestFinished(() => {
    vi.unstubAllEnvs()
  })
}

/** Where the ready-made tool sends its request. It does not leave. */
async function sentBy(variables: Record<string, string>): Promise<string> {
  setKeys(variables)
  const urls: string[] = []
  const request = vi.spyOn(https, 'request').mockImplementation((url) => {
    urls.push(String(url))
    throw new Error('no network')
  })
  onTestFinished(() => request.mockRestore())
  await expect(callTool(webSearch, { query: 'parley' })).rejects.toMatchObject({ retryable: true })
  expect(urls).toHaveLength(1)
  return urls[0]!
}
