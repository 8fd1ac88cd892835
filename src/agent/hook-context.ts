import type { RunContext } from './context.ts'
import type { HookContext } from './hooks.ts'

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
    warn: (code, message) => context.log.defer({ events: [{ type: 'warning', code, message }] }),
  }
}
