import { expect, test } from 'vitest'
import { costOf } from './price.ts'

const usage = { input_tokens: 1_000_000, output_tokens: 500_000, total_tokens: 1_500_000 }

test('prices are of a million tokens, input and output apart', () => {
  expect(costOf(usage, { input: 2, output: 8 })).toBe(6)
})

test('cached input costs its own price, and only the rest the full one', () => {
  const cached = { ...usage, cached_input_tokens: 400_000 }
  expect(costOf(cached, { input: 2, output: 8, cachedInput: 0.5 })).toBeCloseTo(1.2 + 0.2 + 4, 10)
})

test('cached input without a price of its own costs what input costs', () => {
  expect(costOf({ ...usage, cached_input_tokens: 400_000 }, { input: 2, output: 8 })).toBe(6)
})

test('cached input that is free is free', () => {
  const all = { ...usage, cached_input_tokens: 1_000_000 }
  expect(costOf(all, { input: 2, output: 8, cachedInput: 0 })).toBe(4)
})

test('more cached input than input, as some servers count, never makes the rest negative', () => {
  const odd = { input_tokens: 10, output_tokens: 0, total_tokens: 10, cached_input_tokens: 30 }
  expect(costOf(odd, { input: 1_000_000, output: 0, cachedInput: 100_000 })).toBeCloseTo(1, 10)
})

test('reasoning is part of the output, not added to it', () => {
  expect(costOf({ ...usage, reasoning_tokens: 300_000 }, { input: 2, output: 8 })).toBe(6)
})

test('nothing used costs nothing', () => {
  expect(costOf({ input_tokens: 0, output_tokens: 0, total_tokens: 0 }, { input: 2, output: 8 })).toBe(0)
})
