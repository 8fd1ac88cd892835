import { describe, expect, test } from 'vitest'
import { sharing } from './bounded.ts'
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
    [
      'a required property that every object inherits',
      { type: 'object', required: ['constructor'] },
      [{ constructor: 1 }],
      [{}],
    ],
    [
      'properties that every object inherits',
      { properties: { toString: {}, constructor: { type: 'string' } }, required: ['toString'] },
      [{ toString: 1 }, { toString: 1, constructor: 'x' }],
      [{}, { constructor: 'x' }, { toString: 1, constructor: 1 }],
    ],
    [
      'the same deep inside',
      { type: 'array', items: { anyOf: [{ required: ['valueOf'] }, { type: 'null' }] } },
      [[{ valueOf: null }, null]],
      [[{}]],
    ],
    [
      'the same of schemas together',
      { allOf: [{ required: ['constructor'] }, { properties: { constructor: { type: 'string' } } }] },
      [{ constructor: 'x' }],
      [{}, { constructor: 1 }],
    ],
    [
      'others beside a property that every object inherits',
      { properties: { constructor: { type: 'string' } }, additionalProperties: false },
      [{}, { constructor: 'x' }],
      [{ valueOf: 1 }, JSON.parse('{"__proto__":1}')],
    ],
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
    ['a reference to what every object inherits', { $ref: '#/$defs/constructor' }],
    ['a property named __proto__', JSON.parse('{"properties":{"__proto__":{"type":"string"}}}')],
    ['a required __proto__', { type: 'object', required: ['__proto__'] }],
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

test('a property that every object inherits is in the value where it was given, and what else was is as it was', () => {
  const schema = { properties: { constructor: { type: 'string' }, n: { default: 1 }, other: {} } }
  const text = '{"constructor":"x","n":2,"other":[{"a":{}}],"more":{"toString":1}}'
  const value = toZod(schema).parse(JSON.parse(text))
  expect(value).toStrictEqual(JSON.parse(text))
  expect(toZod(schema).parse({})).toStrictEqual({ n: 1 })
})

test('nothing that a schema or a value names __proto__ gets to a prototype', () => {
  const schema = { properties: { constructor: {}, data: {} } }
  const text = '{"__proto__":{"evil":1},"data":{"__proto__":{"evil":1}}}'
  const value = toZod(schema).parse(JSON.parse(text)) as { data: object }
  expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
  expect(Object.getPrototypeOf(value.data)).toBe(Object.prototype)
  expect(({} as { evil?: number }).evil).toBeUndefined()
})

describe('what takes too long does not fit', () => {
  const bomb = `${'a'.repeat(60)}!`
  const part = { properties: { a: { $ref: '#/$defs/node' } } }
  const tree = { $defs: { node: { type: 'object', allOf: [part, part] } }, $ref: '#/$defs/node' }
  const deep = JSON.parse(`${'{"a":'.repeat(60)}1${'}'.repeat(60)}`) as unknown
  test.each<[string, JsonSchema, unknown]>([
    ['a pattern', { properties: { a: { type: 'string', pattern: '^(a+)+$' } } }, { a: bomb }],
    ['a pattern of names', { patternProperties: { '^(a+)+$': {} } }, { [bomb]: 1 }],
    ['a pattern that all names fit', { propertyNames: { pattern: '^(a+)+$' } }, { [bomb]: 1 }],
    ['parts that double with every level', tree, deep],
  ])('%s', (_name, schema, value) => {
    const checked = toZod(schema)
    const { issues } = checked.safeParse(value).error ?? { issues: [] }
    expect(issues).toMatchObject([{ path: [], message: 'could not be checked in time' }])
    expect(checked.safeParse({}).success).toBe(true)
  })

  test('nor is a schema taken that does so with every value', () => {
    const $defs: Record<string, unknown> = { x0: {} }
    for (let i = 1; i <= 40; i++)
      $defs[`x${i}`] = { allOf: [1, 2].map(() => ({ $ref: `#/$defs/x${i - 1}` })) }
    expect(() => toZod({ $defs, $ref: '#/$defs/x40' })).toThrow('took longer than')
  })
})

test('a schema is read though the time of the checks around it is used up', () => {
  const schema = { properties: { a: { type: 'string', pattern: '^a' } } }
  const checked = sharing({ ms: 0 }, () => toZod(schema))
  expect(sharing({ ms: 0 }, () => checked.safeParse({ a: 'a' })).success).toBe(false)
  expect(checked.safeParse({ a: 'a' }).success).toBe(true)
})

test('faults keep their places where the time is limited', () => {
  const schema = { properties: { list: { items: { type: 'string', pattern: '^a' } } } }
  expect(toZod(schema).safeParse({ list: ['a', 'b', 1] }).error?.issues).toMatchObject([
    { path: ['list', 1] },
    { path: ['list', 2] },
  ])
})
