import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { parseHosts } from '../../src/tools/host-list.ts'
import { startLoopback } from './loopback-server.ts'
import { guarded, names, trusting } from './safe-fetch-under-test.ts'

describe('after a request that changes something, the answer', () => {
  test('that is lost leaves the outcome unknown', async () => {
    const server = await startLoopback((_, response) => {
      response.destroy()
      return undefined
    })
    const safeFetch = trusting()
    await expect(safeFetch({ url: server.url, method: 'POST', body: '{}' })).rejects.toMatchObject({
      code: 'outcome_unknown',
      message: expect.stringContaining('do not repeat it'),
    })
    await expect(safeFetch({ url: server.url, method: 'PUT', repeatable: true })).rejects.toMatchObject({
      code: 'tool_failed',
    })
  })

  test.each([
    ['an encoding that is not known', { headers: { 'content-encoding': 'zstd' }, body: 'x' }],
    [
      'more packed bytes than are read',
      {
        headers: { 'content-encoding': 'gzip' },
        body: Buffer.concat(Array.from({ length: 1000 }, () => gzipSync(''))),
      },
    ],
    ['another encoding than it says', { headers: { 'content-encoding': 'gzip' }, body: 'plain' }],
  ])('that has %s leaves the outcome unknown', async (_, answer) => {
    const server = await startLoopback(() => answer)
    const sent = trusting({ maxBytes: 1000 })({ url: server.url, method: 'POST', body: '{}' })
    await expect(sent).rejects.toMatchObject({
      code: 'outcome_unknown',
      message: expect.stringContaining('do not repeat it'),
    })
  })
})

describe('after a request that changes something, redirects', () => {
  const to = (location: string, status: number) => ({ status, headers: { location } })

  test.each([
    ['a host that is not listed', 303, 'https://elsewhere.example/done'],
    ['what is no URL', 302, 'http://['],
    ['a place that cannot be reached', 303, 'http://127.0.0.1:1/'],
    ['a name of a private address', 303, 'http://inside.example/'],
    ['another origin, which would get the body', 307, 'http://127.0.0.1:1/'],
    ['itself for ever', 303, '/again'],
  ])('are the answer where they lead to %s', async (_, status, location) => {
    const server = await startLoopback(() => to(location, status))
    const lookup = names({ 'outside.example': ['127.0.0.1'], 'inside.example': ['127.0.0.1'] })
    const safeFetch = guarded({
      lookup,
      hosts: parseHosts([`outside.example:${server.port}`, '127.0.0.1:1', 'inside.example'], 'test'),
      privateHosts: parseHosts([`outside.example:${server.port}`, '127.0.0.1:1'], 'test'),
    })
    const url = `http://outside.example:${server.port}/`
    const answer = await safeFetch({ url, method: 'POST', body: '{}' })
    expect([answer.status, answer.headers.location, answer.body.length]).toEqual([status, location, 0])
    expect(server.requests.filter(({ method }) => method === 'POST')).toHaveLength(1)
  })

  test('are the answer where the page behind them is lost', async () => {
    const server = await startLoopback(({ path }, response) => {
      if (path === '/') return to('/done', 303)
      response.destroy()
      return undefined
    })
    expect(await trusting()({ url: server.url, method: 'POST', body: '{}' })).toMatchObject({ status: 303 })
  })

  test('that repeat the request do not hide that its answer was lost', async () => {
    const server = await startLoopback(({ path }, response) => {
      if (path === '/') return to('/there', 307)
      response.destroy()
      return undefined
    })
    await expect(trusting()({ url: server.url, method: 'POST', body: '{}' })).rejects.toMatchObject({
      code: 'outcome_unknown',
    })
  })
})
