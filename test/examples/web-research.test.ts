import { expect, onTestFinished, test } from 'vitest'
import { createUpstreamServer, streamReply } from '../../src/testing/upstream-server.ts'
import { startLoopback } from '../tools/loopback-server.ts'
import { readEvents, startExample } from './example-process.ts'

async function start(environment: Record<string, string>) {
  const example = await startExample('examples/web-research.ts', environment)
  onTestFinished(async () => {
    expect(await example.stop()).toBe(0)
  })
  return example
}

const call = (name: string, input: object) =>
  streamReply({ toolCalls: [{ name, arguments: [JSON.stringify(input)] }] })

test('the researcher searches, reads a page of its wiki, and is kept from other private hosts', async () => {
  const found = { title: 'Parley', url: 'https://parley.example/', description: 'A <b>talk</b>.' }
  const search = await startLoopback(() => JSON.stringify({ web: { results: [found] } }))
  const wiki = await startLoopback(() => ({ headers: { 'content-type': 'text/html' }, body: '<p>Ours.</p>' }))
  const upstream = await createUpstreamServer()
  onTestFinished(() => upstream.close())
  const example = await start({
    LLM_BASE_URL: upstream.baseURL,
    LLM_DEFAULT_MODEL: 'test-model',
    SEARCH_URL: search.url,
    SEARCH_KEY: 'search-secret',
    WIKI_HOST: wiki.host,
    WIKI_TOKEN: 'wiki-secret',
  })
  upstream.reply(
    call('web_search', { query: 'parley' }),
    call('read_page', { url: `${wiki.url}/parley` }),
    call('read_page', { url: search.url }),
    streamReply({ text: ['It is a talk.'] }),
  )
  const events = await readEvents(
    await example.request('/v1/agents/researcher/runs', { input: 'What is a parley?', stream: true }),
  )

  const outputs = events.filter(({ type }) => type === 'tool.end').map(({ output }) => output)
  expect(outputs).toEqual([
    '{"results":[{"title":"Parley","url":"https://parley.example/","snippet":"A talk."}]}',
    'HTTP 200\ncontent-type: text/html\n\n<p>Ours.</p>',
    'Error: Requests to this host are not allowed.',
  ])
  expect(events.at(-1)).toMatchObject({ type: 'run.end', status: 'completed' })
  expect(search.requests).toMatchObject([{ headers: { 'x-subscription-token': 'search-secret' } }])
  expect(wiki.requests).toMatchObject([{ path: '/parley', headers: { authorization: 'Bearer wiki-secret' } }])
  expect(JSON.stringify([events, upstream.requests.map(({ body }) => body)])).not.toContain('-secret')
})

test('without a key the search says what to set, and the run goes on', async () => {
  const example = await start({})
  const response = await example.request('/chat', { message: 'Search the web for 3 facts about parleys' })
  expect(await response.json()).toMatchObject({
    completed: true,
    answer: expect.stringContaining('set WEB_SEARCH_API_KEY (Brave Search) or SERPER_API_KEY'),
  })
})
