import { describe, expect, test } from 'vitest'
import { decodeUsage } from './usage.ts'

describe('the tokens that a provider counts', () => {
  test.each([
    ['a total of less than its parts', { prompt_tokens: 100_000, completion_tokens: 5000, total_tokens: 0 }],
    ['no total', { prompt_tokens: 100_000, completion_tokens: 5000 }],
    [
      'a total that makes no sense',
      { prompt_tokens: 100_000, completion_tokens: 5000, total_tokens: 2 ** 40 },
    ],
  ])('come to at least input and output with %s', (_, wire) => {
    expect(decodeUsage(wire)).toEqual({ input_tokens: 100_000, output_tokens: 5000, total_tokens: 105_000 })
  })

  test('come to more where the total holds what its parts do not tell', () => {
    expect(decodeUsage({ prompt_tokens: 10, completion_tokens: 5, total_tokens: 50 })).toEqual({
      input_tokens: 10,
      output_tokens: 5,
      total_tokens: 50,
    })
  })

  test.each([-5, Number.NaN, 1.5, 1_000_000_001, Number.MAX_SAFE_INTEGER, Infinity, '7', null])(
    'are not known where both are %j',
    (count) => {
      expect(decodeUsage({ prompt_tokens: count, completion_tokens: count })).toBeUndefined()
    },
  )

  test('are taken without a detail that makes no sense', () => {
    const wire = { prompt_tokens: 1, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 1e12 } }
    expect(decodeUsage(wire)).toEqual({ input_tokens: 1, output_tokens: 2, total_tokens: 3 })
  })
})
