import { expect, test } from 'vitest'
import { z } from 'zod'
import { isStrict } from './strict-schema.ts'

const text = { type: 'string' }
const closed = (properties: Record<string, unknown>, more: Record<string, unknown> = {}) => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
  ...more,
})

test.each<[string, Record<string, unknown>]>([
  ['a closed object', closed({ a: text })],
  ['one without properties', closed({})],
  ['closed objects in it', closed({ list: { type: 'array', items: closed({ a: text }), minItems: 1 } })],
  ['a nullable property', closed({ a: { type: ['string', 'null'] } })],
  ['alternatives', closed({ a: { anyOf: [closed({ b: text }), { type: 'null' }] } })],
  [
    'recursion',
    closed(
      { next: { $ref: '#/$defs/node' } },
      { $defs: { node: closed({ next: { $ref: '#/$defs/node' } }) } },
    ),
  ],
  ['properties named like keywords', closed({ properties: text, type: text, not: text, default: text })],
  [
    'enum, const, limits of numbers',
    closed({ a: { enum: ['x', 1] }, b: { const: true }, c: { type: 'number', minimum: 0 } }),
  ],
  [
    'a format and a simple pattern',
    closed({ a: { type: 'string', format: 'date' }, b: { type: 'string', pattern: '^[a-z]+$' } }),
  ],
  [
    'a strict zod object',
    z.toJSONSchema(z.strictObject({ a: z.enum(['x']), b: z.number().nullable() })) as Record<string, unknown>,
  ],
])('strict: %s', (_name, schema) => {
  expect(isStrict(schema)).toBe(true)
})

test.each<[string, Record<string, unknown>]>([
  ['an open object', { type: 'object', properties: { a: text }, required: ['a'] }],
  ['an optional property', { ...closed({ a: text, b: text }), required: ['a'] }],
  ['other properties of a type', { type: 'object', additionalProperties: text }],
  ['an open object inside', closed({ a: { type: 'object' } })],
  [
    'an open object in a definition',
    closed({ a: { $ref: '#/$defs/b' } }, { $defs: { b: { type: 'object' } } }),
  ],
  ['an open object that may be null', closed({ a: { type: ['object', 'null'] } })],
  ['alternatives at the root', { anyOf: [closed({ a: text })] }],
  ['a list at the root', { type: 'array', items: closed({ a: text }) }],
  ['a length of text', closed({ a: { type: 'string', minLength: 1 } })],
  ['a default', closed({ a: { type: 'string', default: 'x' } })],
  ['oneOf', closed({ a: { oneOf: [text] } })],
  ['allOf', closed({ a: { allOf: [text] } })],
  ['a tuple', closed({ a: { type: 'array', prefixItems: [text] } })],
  ['an unknown format', closed({ a: { type: 'string', format: 'uri' } })],
  ['a pattern that looks ahead', closed({ a: { type: 'string', pattern: '^(?!x)y$' } })],
  ['a schema that is true', closed({ a: true })],
])('not strict: %s', (_name, schema) => {
  expect(isStrict(schema)).toBe(false)
})
