import { format } from 'prettier'
import { expect, test } from 'vitest'
import { toReadableJson } from './readable-json.ts'

const sample = {
  name: 'short',
  none: {},
  empty: [],
  list: ['a', 'b'],
  one: [{ a: 1, b: 2 }],
  table: [
    { a: 1, b: 2 },
    { c: 3, d: 4 },
  ],
  mixed: [{ a: 1, b: 2 }, 'text'],
  rows: [
    [1, 2],
    [3, 4],
  ],
  nested: {
    inner: {
      table: [
        { a: 1, b: 2 },
        { a: 1, b: [] },
      ],
    },
  },
  long: { first: 'x'.repeat(60), second: 'y'.repeat(60), third: ['z'.repeat(100), 'z'] },
  exactly: { a: 'x'.repeat(90) },
}

test('what it writes is the value, and Prettier leaves it as it is', async () => {
  const text = toReadableJson(sample)
  expect(JSON.parse(text)).toEqual(sample)
  expect(await format(text, { parser: 'json', printWidth: 110 })).toBe(text)
})

test('what fits on a line stands on one', () => {
  expect(toReadableJson({ part: { type: 'text', delta: 'Hi' } })).toBe(
    '{ "part": { "type": "text", "delta": "Hi" } }\n',
  )
})

test.each(Array.from({ length: 12 }, (_, i) => 92 + i))(
  'a line of about %i columns breaks where Prettier breaks it',
  async (size) => {
    const text = toReadableJson({ outer: [['a'.repeat(size)], { key: ['b'.repeat(size), 1] }] })
    expect(await format(text, { parser: 'json', printWidth: 110 })).toBe(text)
  },
)
