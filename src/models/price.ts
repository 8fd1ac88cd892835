import type { Usage } from '../run-state.ts'
import type { ModelPrice } from './model.ts'

/**
 * What the tokens cost, in the unit of the price. Cached input is part of the input and counted at its own price; reasoning
 * is part of the output. Not rounded.
 */
export function costOf(usage: Usage, price: ModelPrice): number {
  const cached = Math.min(usage.cached_input_tokens ?? 0, usage.input_tokens)
  const perMillion =
    (usage.input_tokens - cached) * price.input +
    cached * (price.cachedInput ?? price.input) +
    usage.output_tokens * price.output
  return perMillion / 1_000_000
}
