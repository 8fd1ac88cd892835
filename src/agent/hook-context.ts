import type { RunContext } from './context.ts'
import type { Item } from '../items.ts'
import type { HookContext } from './hooks.ts'
import { warn } from './warn.ts'

/** What a hook sees of the run, at its present step. */
export function hookContext(context: RunContext): HookContext {
  return {
    runId: context.runId,
    agent: context.agent.name,
    step: context.steps,
    principal: context.principal,
    signal: context.signal,
    get input() {
      return context.items.filter(({ step }) => step === null).map(({ item }) => item)
    },
    instructions: context.agent.overrides.instructions === 'never' ? undefined : context.options.instructions,
    earlierInput: () => earlierInput(context),
    warn: (code, message) => warn(context, code, message),
  }
}

async function earlierInput(context: RunContext): Promise<Item[][]> {
  const byRun = new Map<string, Item[]>()
  for (const { run_id, step, item } of (await context.history()).items) {
    if (step !== null) continue
    const items = byRun.get(run_id) ?? []
    items.push(item)
    byRun.set(run_id, items)
  }
  return [...byRun.values()]
}
