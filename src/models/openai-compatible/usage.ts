import type { Usage } from '../../run-state.ts'

/** The token counts of a chunk; undefined where it holds none. Counts that make no sense are taken as absent. */
export function decodeUsage(value: unknown): Usage | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const wire = value as Record<string, unknown>
  const input = count(wire.prompt_tokens) ?? count(wire.input_tokens)
  const said = count(wire.completion_tokens) ?? count(wire.output_tokens)
  if (input === undefined && said === undefined) return undefined
  const reasoning = detail(wire.completion_tokens_details, 'reasoning_tokens')
  const total = count(wire.total_tokens)
  // xAI counts reasoning beside the output instead of within it; only the total shows it.
  const apart = total === (input ?? 0) + (said ?? 0) + (reasoning ?? 0)
  const output = (said ?? 0) + (apart ? (reasoning ?? 0) : 0)
  const usage: Usage = {
    input_tokens: input ?? 0,
    output_tokens: output,
    total_tokens: total ?? (input ?? 0) + output,
  }
  const cached = detail(wire.prompt_tokens_details, 'cached_tokens') ?? count(wire.prompt_cache_hit_tokens)
  if (cached !== undefined) usage.cached_input_tokens = cached
  if (reasoning !== undefined) usage.reasoning_tokens = reasoning
  return usage
}

function detail(details: unknown, name: string): number | undefined {
  return typeof details === 'object' && details !== null
    ? count((details as Record<string, unknown>)[name])
    : undefined
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
}
