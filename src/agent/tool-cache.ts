import { createHash } from 'node:crypto'
import { serialize } from 'node:v8'
import type { Directory, RunContext } from './context.ts'
import type { CallPlan } from './call-plan.ts'
import type { AnyTool } from './definitions.ts'

type Plan = Extract<CallPlan, { kind: 'run' }>

interface Kept {
  output: string
  /** On the clock that never jumps. */
  until: number
}

interface Cache {
  /** The oldest first. */
  kept: Map<string, Kept>
  chars: number
}

/** What a tool keeps in this process; the oldest go first. */
const maxKept = 1_000
const maxKeptChars = 4_000_000

// By server: an owner of one is not the owner of that name of another. What nobody defines any more goes with its definition.
const caches = new WeakMap<Directory, WeakMap<AnyTool, Cache>>()

export interface ResultCache {
  /** The result of the same call by the same owner, where there is one that is young enough. */
  find(): string | undefined
  keep(output: string): void
}

/** The results that may answer this call. Undefined: it has to run. */
export function cacheFor(context: RunContext, plan: Plan): ResultCache | undefined {
  const { cacheMs } = plan.tool
  // What a person said to one call is not said to the next.
  if (cacheMs === null || context.approvals.has(plan.call.call_id)) return undefined
  const key = keyOf(context, plan)
  if (key === undefined) return undefined
  const cache = cacheOf(context.directory, plan.tool)
  return {
    find() {
      const found = cache.kept.get(key)
      return found && found.until > context.clock.monotonic() ? found.output : undefined
    },
    keep(output) {
      remove(cache, key)
      cache.kept.set(key, { output, until: context.clock.monotonic() + cacheMs })
      cache.chars += output.length
      for (const oldest of cache.kept.keys()) {
        if (cache.kept.size <= maxKept && cache.chars <= maxKeptChars) return
        remove(cache, oldest)
      }
    },
  }
}

function cacheOf(directory: Directory, tool: AnyTool): Cache {
  const ofServer = caches.get(directory) ?? new WeakMap<AnyTool, Cache>()
  caches.set(directory, ofServer)
  const cache = ofServer.get(tool) ?? { kept: new Map(), chars: 0 }
  ofServer.set(tool, cache)
  return cache
}

function remove(cache: Cache, key: string): void {
  cache.chars -= cache.kept.get(key)?.output.length ?? 0
  cache.kept.delete(key)
}

/**
 * What one owner's call found is nobody else's. A tool may read `run_context`: another context is another call. Undefined where
 * the input, as a schema or a hook made it, is something that cannot be compared.
 */
function keyOf(context: RunContext, plan: Plan): string | undefined {
  const { owner, namespace } = context.principal
  const told = JSON.stringify([owner, namespace, plan.written, context.options.run_context ?? null])
  try {
    return createHash('sha256').update(told).update(serialize(plan.input)).digest('base64')
  } catch {
    return undefined
  }
}
