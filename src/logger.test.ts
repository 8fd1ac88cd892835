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

test('an error that cannot be read has a trace all the same', () => {
  class Unreadable extends Error {
    override get message(): string {
      throw new Error('unreadable')
    }
  }
  expect(traceOf(new Unreadable())).toEqual({ type: 'Error' })
})
