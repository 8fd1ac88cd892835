import type { RunContext } from './context.ts'
import type { CallPlan } from './call-plan.ts'
import { inputHash } from './call-plan.ts'
import type { AnyTool } from './definitions.ts'

type Plan = Extract<CallPlan, { kind: 'run' }>

interface Kept {
  output: string
  until: number
}

/** Results a tool keeps in this process; the oldest go first. */
const maxKept = 1000

// By tool: what nobody defines any more goes with its definition.
const caches = new WeakMap<AnyTool, Map<string, Kept>>()

/** The result of the same call by the same owner, where the tool keeps results and this one is young enough. */
export function cachedResult(context: RunContext, plan: Plan): string | undefined {
  if (plan.tool.cacheMs === null) return undefined
  const kept = caches.get(plan.tool)?.get(keyOf(context, plan))
  return kept && kept.until > context.clock.monotonic() ? kept.output : undefined
}

export function keepResult(context: RunContext, plan: Plan, output: string): void {
  const { cacheMs } = plan.tool
  if (cacheMs === null) return
  const cache = caches.get(plan.tool) ?? new Map<string, Kept>()
  caches.set(plan.tool, cache)
  const key = keyOf(context, plan)
  // Behind all others again.
  cache.delete(key)
  const oldest = cache.keys().next()
  if (cache.size >= maxKept && !oldest.done) cache.delete(oldest.value)
  cache.set(key, { output, until: context.clock.monotonic() + cacheMs })
}

/** What one owner's call found is nobody else's. A tool may read `run_context`: another context is another call. */
function keyOf(context: RunContext, plan: Plan): string {
  const { owner, namespace } = context.principal
  return JSON.stringify([
    owner,
    namespace,
    inputHash(plan.tool.name, plan.input),
    context.options.run_context ?? null,
  ])
}
