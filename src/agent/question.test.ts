import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { checkAnswer, toApprovalQuestion } from './question.ts'

/** What is wrong with an answer, each fault with its place; undefined where nothing is. */
function faults(schema: Record<string, unknown>, answer: unknown): string[] | undefined {
  const checked = checkAnswer({ message: 'Which?', schema }, answer)
  return checked.ok ? undefined : checked.issues.map(({ path }) => path.join('.'))
}

describe('an answer', () => {
  test('without a schema is a text', () => {
    expect(checkAnswer({ message: 'Which?' }, 'that')).toEqual({ ok: true, value: 'that' })
    expect(checkAnswer({ message: 'Which?' }, '')).toEqual({ ok: true, value: '' })
    expect(checkAnswer({ message: 'Which?' }, { a: 1 })).toEqual({
      ok: false,
      issues: [{ path: [], message: 'Must be a text' }],
    })
  })

  test('is told where it does not fit', () => {
    const schema = {
      type: 'object',
      properties: {
        who: { type: 'object', properties: { email: { type: 'string', format: 'email' } } },
        seats: { type: 'array', items: { type: 'integer' } },
      },
      required: ['who'],
    }
    expect(faults(schema, { who: { email: 'a@b.test' }, seats: [1] })).toBeUndefined()
    expect(faults(schema, { who: { email: 'nobody' }, seats: [1, 'x'] })).toEqual(['who.email', 'seats.1'])
    expect(faults(schema, {})).toEqual(['who'])
  })

  test('is given the defaults of the schema', () => {
    const schema = { type: 'object', properties: { class: { type: 'string', default: 'second' } } }
    expect(checkAnswer({ message: 'Which?', schema }, {})).toEqual({ ok: true, value: { class: 'second' } })
  })

  test('with very many faults is told the first twenty', () => {
    expect(faults({ type: 'array', items: { type: 'string' } }, Array(5000).fill(1))).toHaveLength(20)
  })
})

describe('a schema that cannot be checked as a whole', () => {
  const conditional = { if: { type: 'string' }, else: { minimum: 2 } }

  test('is checked in the properties that can be', () => {
    const schema = {
      type: 'object',
      properties: { row: { type: 'integer' }, note: conditional, deep: { $ref: 'https://a.test/b' } },
      required: ['row'],
      dependentRequired: { row: ['note'] },
    }
    expect(faults(schema, { row: 3, note: 1, deep: {} })).toBeUndefined()
    expect(faults(schema, { row: 3 })).toBeUndefined()
    expect(faults(schema, { row: 'three', note: 1 })).toEqual(['row'])
    expect(faults(schema, { note: 1 })).toEqual(['row'])
    expect(faults(schema, 'three')).toEqual([''])
  })

  test('is checked by its type, where that is all there is', () => {
    const schema = { type: 'string', not: { const: 'no' } }
    expect(faults(schema, 'yes')).toBeUndefined()
    expect(faults(schema, 3)).toEqual([''])
  })

  test.each<[string, Record<string, unknown>]>([
    ['a condition', conditional],
    ['a reference to elsewhere', { $ref: 'https://a.test/b' }],
    ['a reference to nothing', { $ref: '#/$defs/b' }],
    ['a schema that refers to itself without end', { $ref: '#' }],
    ['a type that is none', { type: 'banana' }],
    ['properties that are none', { type: 'object', properties: { a: null, b: 7, c: ['x'] } }],
    ['a pattern that is none', { type: 'object', properties: { a: { type: 'string', pattern: '(' } } }],
  ])('takes any answer that may fit: %s', (_name, schema) => {
    expect(faults(schema, { a: 'x' })).toBeUndefined()
  })
})

test('a pattern that takes for ever does not hold up the server: the answer passes', () => {
  const schema = { type: 'object', properties: { a: { type: 'string', pattern: '^(a+)+$' } } }
  expect(faults(schema, { a: `${'a'.repeat(200)}!` })).toBeUndefined()
  expect(faults(schema, { a: 'b' })).toEqual(['a'])
})

describe('a question', () => {
  test('takes a zod schema as well, as its JSON Schema', () => {
    const schema = z.object({ row: z.int().min(1), class: z.enum(['first', 'second']).default('second') })
    expect(toApprovalQuestion({ message: 'Which seat?', schema })).toEqual({
      message: 'Which seat?',
      schema: {
        type: 'object',
        properties: {
          row: { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
          class: { default: 'second', type: 'string', enum: ['first', 'second'] },
        },
        required: ['row'],
      },
    })
  })

  test('keeps of its schema what JSON can hold', () => {
    const schema = { type: 'string', description: undefined, examples: [new Date(0)] }
    expect(toApprovalQuestion({ message: 'When?', schema })).toEqual({
      message: 'When?',
      schema: { type: 'string', examples: ['1970-01-01T00:00:00.000Z'] },
    })
  })
})
