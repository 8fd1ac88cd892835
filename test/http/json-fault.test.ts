import fc from 'fast-check'
import { expect, test } from 'vitest'
import { findJsonFault } from '../../src/http/json-fault.ts'
import { nestsDeeperThan } from '../../src/json-depth.ts'

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
