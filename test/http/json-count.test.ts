import { expect, test } from 'vitest'
import { countJson } from '../../src/json-count.ts'

test.each([
  ['null', 1],
  ['"[1,2]"', 1],
  ['[]', 1],
  ['[1,[2,{}]]', 5],
  ['{"a":{"b":[true]},"__proto__":{"c":1}}', 6],
])('counts the values of %s', (text, count) => {
  expect(countJson(JSON.parse(text), 100)).toBe(count)
  expect(countJson(JSON.parse(text), count)).toBe(count)
  expect(countJson(JSON.parse(text), count - 1)).toBeGreaterThan(count - 1)
})

test('counts to the limit and not to the end', () => {
  let read = 0
  const entries = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`k${i}`, 1]))
  const counted = new Proxy(entries, {
    get: (target, key) => {
      read++
      return Reflect.get(target, key) as unknown
    },
  })
  expect(countJson(counted, 10)).toBe(11)
  expect(read).toBe(9)
})

test('counts what nests deeper than a stack', () => {
  let value: unknown = 1
  for (let i = 0; i < 100_000; i++) value = [value]
  expect(countJson(value, 1_000_000)).toBe(100_001)
})
