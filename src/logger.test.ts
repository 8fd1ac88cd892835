import { expect, test } from 'vitest'
import { traceOf } from './logger.ts'

test('a trace says what an error is and where it comes from, and nothing of what it says', () => {
  const error = Object.assign(new TypeError('secret\nsecret over two lines'), { code: 'ECONNRESET' })
  const trace = traceOf(error)
  expect(trace).toMatchObject({ type: 'TypeError', code: 'ECONNRESET' })
  expect(trace.stack).toMatch(/^ {4}at .*logger\.test\.ts/)
  expect(JSON.stringify(trace)).not.toContain('secret')
})

test.each([['a text'], [undefined], [null], [{ secret: 1 }]])(
  'a trace of %s, which is no error, is its type',
  (thrown) => {
    expect(traceOf(thrown)).toEqual({ type: typeof thrown })
  },
)

test('a trace names the connection that failed behind an error', () => {
  const refused = (address: string) =>
    Object.assign(new Error('connect'), { code: 'ECONNREFUSED', syscall: 'connect', address, port: 3902 })
  const failed = new TypeError('fetch failed', { cause: refused('127.0.0.1') })
  const outer = Object.assign(new Error('Negotiation failed', { cause: failed }), {
    code: 'NEGOTIATION_FAILED',
  })
  expect(traceOf(outer)).toMatchObject({ code: 'NEGOTIATION_FAILED', network: 'ECONNREFUSED 127.0.0.1:3902' })
  const both = new AggregateError([refused('::1'), refused('127.0.0.1')])
  expect(traceOf(new TypeError('fetch failed', { cause: both })).network).toBe('ECONNREFUSED ::1:3902')
  const unknown = { code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'mcp.example' }
  expect(traceOf(Object.assign(new Error('x'), unknown)).network).toBe('ENOTFOUND mcp.example')
  expect(traceOf(new Error('x', { cause: new Error('y') }))).not.toHaveProperty('network')
})

test('an error that cannot be read has a trace all the same', () => {
  class Unreadable extends Error {
    override get message(): string {
      throw new Error('unreadable')
    }
  }
  expect(traceOf(new Unreadable())).toEqual({ type: 'Error' })
})
