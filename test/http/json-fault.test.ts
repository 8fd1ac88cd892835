import fc from 'fast-check'
import { expect, test } from 'vitest'
import { findJsonFault } from '../../src/http/json-fault.ts'
import { countJson } from '../../src/json-count.ts'
import { findJsonExcess, nestsDeeperThan } from '../../src/json-depth.ts'

test.for([
  ['', 0, 'Expecting value'],
  ['{bad', 1, 'Expecting property name enclosed in double quotes'],
  ['{"a" 1}', 5, "Expecting ':' delimiter"],
  ['{"a":1 "b":2}', 7, "Expecting ',' delimiter"],
  ['{"a":1,}', 7, 'Expecting property name enclosed in double quotes'],
  ['[1,]', 3, 'Expecting value'],
  ['[1 2]', 3, "Expecting ',' delimiter"],
  ['"abc', 0, 'Unterminated string'],
  ['"a\nb"', 2, 'Invalid control character'],
  [String.raw`"a\x"`, 2, 'Invalid escape'],
  [String.raw`"\u12g4"`, 1, 'Invalid escape'],
  [String.raw`"\u12`, 1, 'Invalid escape'],
  ['"a' + '\\', 2, 'Invalid escape'],
  [String.raw`"\u00e9\"\n" x`, 13, 'Extra data'],
  ['01', 1, 'Extra data'],
  ['nul', 0, 'Expecting value'],
  [' [1] 2', 5, 'Extra data'],
] as const)('%j is wrong at %i: %s', ([text, position, reason]) => {
  expect(findJsonFault(text)).toEqual({ position, reason })
})

test('what JSON.parse refuses is refused here, at a place inside the text, and the rest is not', () => {
  const texts = fc.oneof(
    fc.json(),
    fc.string(),
    // Valid JSON with a character put in, taken out or replaced.
    fc
      .tuple(fc.json(), fc.nat(), fc.nat(1), fc.constantFrom('', '"', ',', '}', '[', '\\', '1', ' '))
      .map(([json, at, cut, put]) => {
        const i = at % (json.length + 1)
        return json.slice(0, i) + put + json.slice(i + cut)
      }),
  )
  fc.assert(
    fc.property(texts, (text) => {
      const { position, reason } = findJsonFault(text)
      let valid = true
      try {
        JSON.parse(text)
      } catch {
        valid = false
      }
      if (valid) expect({ position, reason }).toEqual({ position: text.length, reason: 'Expecting value' })
      else expect(position).toBeLessThanOrEqual(text.length)
      // What precedes the fault could still have become JSON: nothing in it is refused earlier.
      if (!valid && reason !== 'Unterminated string') {
        expect(findJsonFault(text.slice(0, position)).position).toBeLessThanOrEqual(position)
      }
    }),
    { numRuns: 2000 },
  )
})

test('nesting is counted outside of strings', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  expect(nestsDeeperThan(nested(100), 100)).toBe(false)
  expect(nestsDeeperThan(nested(101), 100)).toBe(true)
  expect(nestsDeeperThan(JSON.stringify('['.repeat(200)), 100)).toBe(false)
  expect(nestsDeeperThan(JSON.stringify(`\\"${'['.repeat(200)}`), 100)).toBe(false)
  expect(nestsDeeperThan(`[${'[],'.repeat(200)}[]]`, 100)).toBe(false)
})

test('a text is never taken to hold fewer values than it does, and what is empty is counted twice', () => {
  const emptyIn = (value: unknown): number => {
    if (typeof value !== 'object' || value === null) return 0
    const children = Object.values(value)
    return children.length === 0 ? 1 : children.reduce<number>((sum, child) => sum + emptyIn(child), 0)
  }
  fc.assert(
    fc.property(fc.jsonValue(), fc.nat(3), (value, indent) => {
      const text = JSON.stringify(value, null, indent)
      const counted = countJson(JSON.parse(text), Infinity) + emptyIn(JSON.parse(text))
      expect(findJsonExcess(text, { depth: 1000, values: counted })).toBeUndefined()
      if (counted > 1) expect(findJsonExcess(text, { depth: 1000, values: counted - 1 })?.of).toBe('values')
    }),
    { numRuns: 1000 },
  )
})
