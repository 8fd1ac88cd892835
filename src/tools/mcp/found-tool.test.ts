import { expect, test } from 'vitest'
import type { Tool as ListedTool } from '@modelcontextprotocol/client'
import { createFakeClock } from '../../testing/fake-clock.ts'
import { argumentCheck } from './argument-check.ts'
import { foundTool } from './found-tool.ts'
import { readOptions } from './options.ts'
import type { ServerLink } from './server-link.ts'

/** Never called: only its arguments are checked. */
function taking(inputSchema: Record<string, unknown>) {
  return foundTool({
    listed: { name: 'it', inputSchema } as ListedTool,
    name: 'it',
    check: argumentCheck(inputSchema),
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
  expect(it.parse({ t: `${'a'.repeat(60)}!` })).toMatchObject({ ok: false, message })
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

function parts(count: number): Record<string, object> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, {}]))
}

test('a schema is read at the first check, and not again', () => {
  let reads = 0
  const properties = { a: { type: 'string' } }
  const it = taking({
    type: 'object',
    get properties() {
      reads++
      return properties
    },
  })
  expect(reads).toBe(0)
  expect(it.parse({ a: 1 })).toMatchObject({ ok: false })
  const readsOnce = reads
  expect(readsOnce).toBeGreaterThan(0)
  expect(it.parse({ a: 1 })).toMatchObject({ ok: false })
  expect(reads).toBe(readsOnce)
})

test('a schema of hundreds of parts is checked', () => {
  const it = taking({ type: 'object', properties: { a: { type: 'string' }, ...parts(999) } })
  expect(it.parse({ a: 1 })).toEqual({ ok: false, message: expect.stringMatching(/^a: /) })
})

test.each<[string, Record<string, unknown>]>([
  ['a keyword that is not known', { type: 'object', not: { required: ['a'] } }],
  ['a property named __proto__', { type: 'object', properties: JSON.parse('{"__proto__":{}}') as object }],
  ['a type that no tool takes', { type: 'string' }],
  ['thousands of parts', { type: 'object', properties: { a: { type: 'string' }, ...parts(2_000) } }],
])('a schema with %s is left to the server', (_name, inputSchema) => {
  const it = taking(inputSchema)
  expect(it.parse({ a: 1 })).toEqual({ ok: true, value: { a: 1 } })
  expect(it.parse('x')).toMatchObject({ ok: false })
  expect(it.parameters).toBe(inputSchema)
})
