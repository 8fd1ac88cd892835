import { describe, expect, test } from 'vitest'
import type { JsonSchema } from './definitions.ts'
import { toZod } from './json-schema.ts'

const fits = (schema: JsonSchema, value: unknown) => toZod(schema).safeParse(value).success

describe('what is checked', () => {
  test.each<[string, JsonSchema, unknown[], unknown[]]>([
    [
      'a required property that is not described',
      { type: 'object', required: ['a'] },
      [{ a: 1 }, { a: null }],
      [{}],
    ],
    [
      'a required property that is one of the others',
      { type: 'object', required: ['a'], additionalProperties: { type: 'number' } },
      [{ a: 1, b: 2 }],
      [{ a: 'x' }, {}, { a: 1, b: 'x' }],
    ],
    [
      'an object without its type',
      { properties: { a: { type: 'number' } }, required: ['a'] },
      [{ a: 1 }],
      [{}, { a: 'x' }, 'x'],
    ],
    ['a list without its type', { items: { type: 'number' } }, [[], [1]], [['x'], {}]],
    ['a text without its type', { minLength: 2 }, ['ab'], ['a', 5]],
    ['a number without its type', { minimum: 2 }, [2], [1, 'x']],
    ['faults deep inside', { type: 'array', items: { anyOf: [{ required: ['a'] }] } }, [[{ a: 1 }]], [[{}]]],
    [
      'recursion',
      {
        $defs: {
          node: { type: 'object', properties: { next: { $ref: '#/$defs/node' } }, required: ['value'] },
        },
        $ref: '#/$defs/node',
      },
      [{ value: 1, next: { value: 2 } }],
      [{ value: 1, next: {} }],
    ],
    [
      'draft 7',
      {
        $schema: 'http://json-schema.org/draft-07/schema#',
        properties: { a: { $ref: '#/definitions/text' } },
        definitions: { text: { type: 'string' } },
      },
      [{ a: 'x' }],
      [{ a: 1 }],
    ],
    ['a type of several', { type: ['string', 'null'] }, ['x', null], [1]],
    ['nothing at all', {}, [1, null, 'x', {}], []],
  ])('%s', (_name, schema, good, bad) => {
    expect(good.map((value) => fits(schema, value))).toEqual(good.map(() => true))
    expect(bad.map((value) => fits(schema, value))).toEqual(bad.map(() => false))
  })
})

describe('what cannot be checked is refused', () => {
  test.each<[string, JsonSchema]>([
    ['an unknown type', { type: 'text' }],
    ['not', { not: { type: 'string' } }],
    ['if', { if: { type: 'string' }, else: { minimum: 3 } }],
    ['a reference to nothing', { type: 'object', properties: { a: { $ref: '#/$defs/none' } } }],
    ['a reference to elsewhere', { $ref: 'https://example.com/schema' }],
    ['a reference to itself', { $defs: { a: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' }],
    ['a broken pattern', { type: 'string', pattern: '(' }],
    ['objects to compare with', { const: { a: 1 } }],
    ['lists to compare with', { type: 'object', properties: { a: { enum: ['x', ['y']] } } }],
    ['properties that are no object', { type: 'object', properties: 5 }],
    ['a property that is no schema', { type: 'object', properties: { a: null } }],
    ['alternatives that are no list', { anyOf: {} }],
  ])('%s', (_name, schema) => {
    expect(() => toZod(schema)).toThrow()
  })
})

test('a schema is left as it was', () => {
  const schema = { required: ['a'], properties: { b: { items: {} } } }
  const before = structuredClone(schema)
  toZod(schema)
  expect(schema).toEqual(before)
})
