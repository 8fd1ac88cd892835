import type { EventDraft } from '../events.ts'
import { createId } from '../ids.ts'
import type { ToolResultItem } from '../items.ts'
import type { CallPlan } from './call-plan.ts'
import { callAuthor } from './author-code.ts'
import { Interruption, type RunContext } from './context.ts'
import { executeTool, type ToolOutcome } from './execute-tool.ts'
import { hookContext } from './hook-context.ts'

/**
 * Runs what may run, a few at a time, and commits each result as it comes. Returns when every plan that is not for a person
 * or the caller has a result. Throws an `Interruption` after the tools had their second to end.
 */
export async function act(context: RunContext, plans: readonly CallPlan[]): Promise<void> {
  const waiting = plans.filter((plan) => plan.kind === 'run' || plan.kind === 'refuse')
  const failures: unknown[] = []
  const worker = async () => {
    for (let plan = waiting.shift(); plan; plan = waiting.shift()) {
      if (context.signal.aborted) return
      try {
        await finish(context, plan)
      } catch (error) {
        // The other calls go on: their results are wanted whatever became of this one.
        failures.push(error)
      }
    }
  }
  const workers = Math.min(context.agent.toolConcurrency, waiting.length)
  await Promise.all(Array.from({ length: workers }, worker))
  context.signal.throwIfAborted()
  if (failures.length > 0) throw failures.find((error) => error instanceof Interruption) ?? failures[0]
}

async function finish(
  context: RunContext,
  plan: Extract<CallPlan, { kind: 'run' | 'refuse' }>,
): Promise<void> {
  const began = context.clock.monotonic()
  const outcome = await outcomeOf(context, plan)
  if (outcome.kind === 'lost') {
    context.log.defer({ settled: [{ step: plan.step, index: plan.index, state: 'unknown' }] })
    return
  }
  const result = await applyAfterTool(context, plan, toItem(plan, outcome))
  const event: EventDraft = {
    type: 'tool.end',
    call_id: plan.call.call_id,
    item_id: result.id,
    output: result.output,
    ...(result.error ? { error: result.error } : {}),
    duration_ms: Math.round(context.clock.monotonic() - began),
  }
  await context.log.commit({
    events: [event],
    items: [{ step: plan.step, void: false, item: result }],
    settled: plan.kind === 'run' ? [{ step: plan.step, index: plan.index, state: outcome.settled }] : [],
  })
}

async function outcomeOf(
  context: RunContext,
  plan: Extract<CallPlan, { kind: 'run' | 'refuse' }>,
): Promise<ToolOutcome> {
  if (plan.kind === 'refuse') {
    const { code, message } = plan
    return { kind: 'result', output: `Error: ${message}`, error: { code, message }, settled: 'committed' }
  }
  const { hooks } = context.agent
  const changed = await callAuthor(context.signal, () =>
    hooks.beforeTool?.({ item: plan.call, input: plan.input }, hookContext(context)),
  )
  if (changed && 'refuse' in changed) {
    const { message } = changed.refuse
    const error = { code: 'tool_refused', message }
    return { kind: 'result', output: `Error: ${message}`, error, settled: 'committed' }
  }
  return executeTool(context, changed ? { ...plan, input: changed.input } : plan)
}

function toItem(plan: CallPlan, outcome: Extract<ToolOutcome, { kind: 'result' }>): ToolResultItem {
  return {
    type: 'tool_result',
    id: createId('item'),
    call_id: plan.call.call_id,
    output: outcome.output,
    ...(outcome.error ? { error: outcome.error } : {}),
  }
}

async function applyAfterTool(
  context: RunContext,
  plan: CallPlan,
  result: ToolResultItem,
): Promise<ToolResultItem> {
  const { hooks } = context.agent
  // An interrupted run keeps a result that came in time, unless somebody has yet to look at it.
  if (!hooks.afterTool) return result
  const changed = await callAuthor(context.signal, () =>
    hooks.afterTool?.({ call: plan.call, result }, hookContext(context)),
  )
  return changed ? { ...result, output: changed.output } : result
}
