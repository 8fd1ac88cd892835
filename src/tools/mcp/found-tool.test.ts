import { expect, test } from 'vitest'
import type { Tool as ListedTool } from '@modelcontextprotocol/client'
import { createFakeClock } from '../../testing/fake-clock.ts'
import { foundTool } from './found-tool.ts'
import { readOptions } from './options.ts'
import type { ServerLink } from './server-link.ts'

/** Never called: only its arguments are checked. */
function taking(inputSchema: object) {
  return foundTool({
    listed: { name: 'it', inputSchema } as ListedTool,
    name: 'it',
    settings: readOptions({ name: 'test', url: 'https://example.com' }),
    link: {} as ServerLink,
    clock: createFakeClock(),
  })
}

test('arguments are checked against the schema, and go to the server as they were written', () => {
  const inputSchema = { type: 'object', properties: { n: { type: 'number' }, d: { default: 1 } } }
  const it = taking(inputSchema)
  expect(it.parameters).toBe(inputSchema)
  expect(it.parse({ n: 1, other: {} })).toEqual({ ok: true, value: { n: 1, other: {} } })
  expect(it.parse({ n: 'x' })).toEqual({ ok: false, message: expect.stringMatching(/^n: /) })
  expect(it.parse('x')).toMatchObject({ ok: false })
})

test('a pattern that would never end cannot hold the server', () => {
  const it = taking({ type: 'object', properties: { t: { type: 'string', pattern: '^(a+)+$' } } })
  const message = 'could not be checked in time'
  expect(it.parse({ t: `${'a'.repeat(60)}!` })).toEqual({ ok: false, message })
  expect(it.parse({ t: 'aaa' })).toEqual({ ok: true, value: { t: 'aaa' } })
})

test('what every object inherits is no argument', () => {
  const it = taking({
    type: 'object',
    properties: { toString: { type: 'string' } },
    required: ['constructor'],
  })
  expect(it.parse({})).toEqual({ ok: false, message: expect.stringMatching(/^constructor: /) })
  expect(it.parse({ constructor: 1 })).toEqual({ ok: true, value: { constructor: 1 } })
})

test.each<[string, object]>([
  ['a keyword that is not known', { type: 'object', not: { required: ['a'] } }],
  ['a property named __proto__', { type: 'object', properties: JSON.parse('{"__proto__":{}}') as object }],
  ['a type that no tool takes', { type: 'string' }],
])('a schema with %s is left to the server', (_name, inputSchema) => {
  const it = taking(inputSchema)
  expect(it.parse({ a: 1 })).toEqual({ ok: true, value: { a: 1 } })
  expect(it.parse('x')).toMatchObject({ ok: false })
  expect(it.parameters).toBe(inputSchema)
})
