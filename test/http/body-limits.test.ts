import { expect, test } from 'vitest'
import type { HttpApp } from '../../src/http/app.ts'
import { readJson } from '../../src/http/body.ts'
import { sendJson } from '../../src/http/respond.ts'
import { createAppUnderTest } from './app-under-test.ts'

const routes = (app: HttpApp) => {
  app.post('/echo', async (c) => sendJson(c, { body: { got: (await readJson(c)).value } }))
}
const json = { 'content-type': 'application/json' }

test.for([
  ['elements', (n: number) => `[${'1,'.repeat(n - 2)}1]`],
  ['elements that are broken off', (n: number) => `[${'1,'.repeat(n - 2)}!`],
  ['entries', (n: number) => `{${'"a":1,'.repeat(n - 2)}"a":1}`],
  ['lists in a list', (n: number) => `[${'[1],'.repeat(n / 2 - 1)}1]`],
] as const)('a body of more than 50000 values is refused with its place: %s', async ([, bodyOf]) => {
  const { app } = createAppUnderTest(routes, { maxBodyBytes: 1_000_000 })
  const send = (body: string) => app.request('/echo', { method: 'POST', body, headers: json })
  const most = bodyOf(50_000)
  const position = bodyOf(50_002).lastIndexOf(',')
  const taken = await send(most)
  if (most.endsWith('!')) expect(await taken.json()).toMatchObject({ reason: 'Expecting value' })
  else expect(taken.status).toBe(200)
  const refused = await send(bodyOf(50_002))
  expect(refused.status).toBe(400)
  const answer = (await refused.json()) as { position: number }
  expect(answer).toMatchObject({
    code: 'invalid_json',
    reason: 'Holds more than 50000 values',
    errors: [{ path: ['body'] }],
  })
  // Of the two that are too many, the first.
  expect(answer.position).toBeLessThanOrEqual(position)
  expect(answer.position).toBeGreaterThan(position - 10)
})

test('text of any length is one value, whatever is written in it', async () => {
  const { app } = createAppUnderTest(routes, { maxBodyBytes: 1_000_000 })
  const got = '[1,{"a\\":1},'.repeat(20_000)
  const response = await app.request('/echo', { method: 'POST', body: JSON.stringify(got), headers: json })
  expect(await response.json()).toEqual({ got })
})
