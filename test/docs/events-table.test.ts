import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { z } from 'zod'
import { loggedEventSchema, toolProgressSchema } from '../../src/events.ts'
import { stopReasonSchema } from '../../src/run-state.ts'
import { root } from '../architecture/source-files.ts'

const page = readFileSync(join(root, 'docs', 'runs.md'), 'utf8')

/** The fields of an event, in order; those that may be absent with a question mark. Type and number stand for themselves. */
function fieldsOf(schema: z.ZodObject): string[] {
  return Object.entries(schema.shape as Record<string, z.ZodType>)
    .filter(([name]) => name !== 'type' && name !== 'seq')
    .map(([name, field]) => (field.def.type === 'optional' ? `${name}?` : name))
}

const schemas = [...loggedEventSchema.options, toolProgressSchema]

test('the table of events has every event, in order, with all its fields', () => {
  const told = [...page.matchAll(/^\| `([a-z]+\.[a-z]+|warning)` \| (\w[\w ]*) \| (.*?) \|/gm)].map(
    ([, type, , fields]) => [type, [...fields!.matchAll(/`([\w?]+)`/g)].map(([, field]) => field)],
  )
  const known = schemas.map((schema) => [schema.shape.type.value, fieldsOf(schema)])
  expect(Object.fromEntries(told)).toEqual(Object.fromEntries(known))
  expect(told).toHaveLength(known.length)
})

test('the page tells of every stop reason, and of no other', () => {
  const [, section = ''] = page.split('\n## Stop reasons\n')
  const told = [...section.split('\n## ')[0]!.matchAll(/^\| `(\w+)` \|/gm)].map(([, reason]) => reason)
  expect(new Set(told)).toEqual(new Set(stopReasonSchema.options))
})
