import { expect, test } from 'vitest'
import fc from 'fast-check'
import { z } from 'zod'
import { readDocument } from './document.ts'
import { tool } from '../../agent/tool.ts'
import { toJsonSchema } from './json-schema.ts'

const documentOf = (schemas: Record<string, unknown>) =>
  readDocument({ openapi: '3.1.0', paths: {}, components: { schemas } })

const { schema } = fc.letrec((tie) => ({
  schema: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<unknown>(true, false, null, 5, 'x', [], {}),
    fc.constantFrom('a', 'b', 'none').map((name) => ({ $ref: `#/components/schemas/${name}` })),
    fc.record(
      {
        type: fc.constantFrom<unknown>(
          'string',
          'object',
          'array',
          'integer',
          'file',
          ['string', 'null'],
          [],
          7,
        ),
        nullable: fc.boolean(),
        enum: fc.array(fc.jsonValue({ maxDepth: 1 }), { maxLength: 3 }),
        const: fc.jsonValue({ maxDepth: 1 }),
        default: fc.jsonValue({ maxDepth: 1 }),
        minimum: fc.constantFrom<unknown>(1, -1, '1', null),
        exclusiveMinimum: fc.constantFrom<unknown>(true, false, 3),
        multipleOf: fc.constantFrom<unknown>(0, 2, -1),
        minLength: fc.constantFrom<unknown>(1, 1.5, -1),
        pattern: fc.constantFrom('^a', '(', '[', ''),
        format: fc.constantFrom('uuid', 'binary', 'email'),
        items: tie('schema'),
        properties: fc.dictionary(fc.constantFrom('a', '__proto__', 'constructor', 'x y'), tie('schema')),
        required: fc.constantFrom<unknown>(['a'], ['z', 3], 'a'),
        additionalProperties: tie('schema'),
        allOf: fc.array(tie('schema'), { maxLength: 2 }),
        anyOf: fc.array(tie('schema'), { maxLength: 2 }),
        oneOf: fc.array(tie('schema'), { maxLength: 2 }),
        not: tie('schema'),
        if: tie('schema'),
        unevaluatedProperties: fc.boolean(),
        description: fc.constantFrom<unknown>('text', 5),
        readOnly: fc.boolean(),
      },
      { requiredKeys: [] },
    ),
  ),
}))

test('whatever a document holds becomes something that a tool can take', () => {
  fc.assert(
    fc.property(schema, schema, schema, (root, a, b) => {
      const converted = toJsonSchema(root, documentOf({ a, b }))
      const input = { type: 'object', properties: { converted } }
      expect(() => tool({ name: 'it', description: '', input, execute: () => 1 })).not.toThrow()
      expect(JSON.stringify(converted)).not.toContain('"$ref"')
    }),
    { numRuns: 200 },
  )
})

const convert = (given: unknown, schemas: Record<string, unknown> = {}) =>
  toJsonSchema(given, documentOf(schemas))

test.each([
  [{ type: 'string', nullable: true }, { type: ['string', 'null'] }],
  [
    { type: 'string', nullable: true, enum: ['a'] },
    { type: ['string', 'null'], enum: ['a', null] },
  ],
  [{ properties: { a: {} } }, { type: 'object', properties: { a: {} } }],
  [{ items: { type: 'string' } }, { type: 'array', items: { type: 'string' } }],
  [
    { type: 'integer', minimum: 1, exclusiveMinimum: true },
    { type: 'integer', exclusiveMinimum: 1 },
  ],
  [
    { type: 'integer', minimum: 1, exclusiveMinimum: false },
    { type: 'integer', minimum: 1 },
  ],
  [
    { type: 'string', format: 'date', default: 'today' },
    { type: 'string', description: 'Format: date. Default: "today".' },
  ],
  [{ type: 'file' }, {}],
  [{ not: { type: 'string' } }, {}],
  [{ nullable: true, oneOf: [{ type: 'string' }] }, { anyOf: [{ type: 'string' }, { type: 'null' }] }],
  [
    { allOf: [{ type: 'string', description: 'inner' }], description: 'outer' },
    { type: 'string', description: 'outer' },
  ],
  [
    { type: 'object', additionalProperties: { type: 'integer', readOnly: true } },
    { type: 'object', additionalProperties: { type: 'integer' } },
  ],
])('%j is %j', (given, converted) => {
  expect(convert(given)).toEqual(converted)
})

test('parts of allOf that close themselves do not close each other out', () => {
  const part = (name: string) => ({
    type: 'object',
    properties: { [name]: { type: 'string' } },
    required: [name],
    additionalProperties: false,
  })
  const both = convert({ allOf: [part('a'), part('b')] })
  expect(both).toEqual({
    type: 'object',
    properties: { a: { type: 'string' }, b: { type: 'string' } },
    required: ['a', 'b'],
  })
  expect(z.fromJSONSchema(both).safeParse({ a: '1', b: '2' }).success).toBe(true)
})

test('what only the server writes is not asked for, wherever it is called for', () => {
  const schemas = {
    Id: { type: 'string', readOnly: true },
    Base: { type: 'object', properties: { id: { $ref: '#/components/schemas/Id' } } },
  }
  const given = {
    allOf: [{ $ref: '#/components/schemas/Base' }, { required: ['id', 'name'], properties: { name: {} } }],
  }
  expect(convert(given, schemas)).toEqual({ type: 'object', properties: { name: {} }, required: ['name'] })
})

test('two schemas that lead to each other come to an end', () => {
  const schemas = {
    A: { type: 'object', properties: { b: { $ref: '#/components/schemas/B' } } },
    B: { type: 'object', properties: { a: { $ref: '#/components/schemas/A' } } },
  }
  expect(convert({ $ref: '#/components/schemas/A' }, schemas)).toEqual({
    type: 'object',
    properties: { b: { type: 'object', properties: { a: {} } } },
  })
})
