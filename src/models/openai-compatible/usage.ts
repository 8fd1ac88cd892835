import type { Usage } from '../../run-state.ts'
import { tokenCount } from '../token-count.ts'

/** The token counts of a chunk; undefined where it holds none. Counts that make no sense are taken as absent. */
export function decodeUsage(value: unknown): Usage | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const wire = value as Record<string, unknown>
  const input = tokenCount(wire.prompt_tokens) ?? tokenCount(wire.input_tokens)
  const said = tokenCount(wire.completion_tokens) ?? tokenCount(wire.output_tokens)
  if (input === undefined && said === undefined) return undefined
  const reasoning = detail(wire.completion_tokens_details, 'reasoning_tokens')
  const total = tokenCount(wire.total_tokens)
  // xAI counts reasoning beside the output instead of within it; only the total shows it.
  const apart = total === (input ?? 0) + (said ?? 0) + (reasoning ?? 0)
  const output = (said ?? 0) + (apart ? (reasoning ?? 0) : 0)
  const usage: Usage = {
    input_tokens: input ?? 0,
    output_tokens: output,
    // It may count more than its parts (reasoning that is told nowhere else), never less: budgets go by it.
    total_tokens: Math.max(total ?? 0, (input ?? 0) + output),
  }
  const cached =
    detail(wire.prompt_tokens_details, 'cached_tokens') ?? tokenCount(wire.prompt_cache_hit_tokens)
  if (cached !== undefined) usage.cached_input_tokens = cached
  if (reasoning !== undefined) usage.reasoning_tokens = reasoning
  return usage
}

function detail(details: unknown, name: string): number | undefined {
  return typeof details === 'object' && details !== null
    ? tokenCount((details as Record<string, unknown>)[name])
    : undefined
}
