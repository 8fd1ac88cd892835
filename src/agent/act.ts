import type { EventDraft } from '../events.ts'
import { createId } from '../ids.ts'
import type { ToolCallItem, ToolResultItem } from '../items.ts'
import type { CallPlan } from './call-plan.ts'
import { Interruption, type Batch, type RunContext } from './context.ts'
import { executeTool, type ToolOutcome } from './execute-tool.ts'
import { openGrace, type Grace } from './grace.ts'
import { newApproval, type NewApproval } from './run-end.ts'
import { runAfterTool, runBeforeTool } from './run-hooks.ts'
import { serveCall } from './serve-as-tool.ts'
import { countToolCall, totalsOf } from './totals.ts'

type Runnable = Extract<CallPlan, { kind: 'run' | 'refuse' }>

/** What the calls of a step have come to so far. */
interface Acts {
  /** Calls that were claimed as writes and have not begun, or did nothing but ask. */
  unused: Set<string>
  asked: NewApproval[]
  grace: Grace | null
}

/**
 * Runs what may run, a few at a time, and commits each result as it comes. Returns when every plan that is not for a person,
 * the caller or another agent has a result, or asks: then with what is to be asked. Throws an `Interruption` after the tools
 * had their second to end.
 */
export async function act(context: RunContext, plans: readonly CallPlan[]): Promise<NewApproval[]> {
  const waiting = plans.filter((plan) => plan.kind === 'run' || plan.kind === 'refuse')
  const failures: unknown[] = []
  const acts: Acts = { unused: writesOf(waiting), asked: [], grace: openGrace(context) }
  const worker = async () => {
    for (let plan = waiting.shift(); plan; plan = waiting.shift()) {
      // Nothing starts in a run that is not ours any more, or was cancelled: no commit of it would be taken.
      if (context.signal.aborted || failures.some((error) => error instanceof Interruption)) return
      try {
        await finish(context, { plan, acts })
      } catch (error) {
        // The other calls go on: their results are wanted whatever became of this one.
        failures.push(error)
      }
    }
  }
  const workers = Math.min(context.agent.toolConcurrency, waiting.length)
  await Promise.all(Array.from({ length: workers }, worker))
  acts.grace?.close()
  if (context.signal.aborted) giveBack(context, acts)
  if (failures.length > 0) throw failures.find((error) => error instanceof Interruption) ?? failures[0]
  return acts.asked
}

function writesOf(plans: readonly Runnable[]): Set<string> {
  const writes = new Set<string>()
  for (const one of plans) if (one.kind === 'run' && one.tool.effect === 'write') writes.add(one.call.call_id)
  return writes
}

/** Whoever goes on with the run need not ask whether these may run: what became of them is known. */
function giveBack(context: RunContext, { unused, asked }: Acts): never {
  // What waits for another word than an answer may well have begun, before this attempt.
  for (const { reason, call_id } of asked) if (reason === 'question') unused.add(call_id)
  context.log.defer({ settled: [...unused].map((call_id) => ({ call_id, state: 'unused' })) })
  throw context.signal.reason
}

/** Runs one call and commits its result; or notes what it wants to know first. */
async function finish(
  context: RunContext,
  { plan, acts: { unused, asked, grace } }: { plan: Runnable; acts: Acts },
): Promise<void> {
  const began = context.clock.monotonic()
  const { call_id, name } = plan.call
  const outcome = await outcomeOf(context, { plan, unused })
  if (outcome.kind === 'asks') {
    asked.push(...outcome.approvals)
    return
  }
  if (outcome.kind === 'question') {
    const { question } = outcome
    const written = writtenOf(plan)
    asked.push(
      newApproval(context, { call_id, tool: name, arguments: written, reason: 'question', question }),
    )
    return
  }
  if (outcome.kind === 'lost') return context.log.defer({ settled: [{ call_id, state: 'unknown' }] })
  let result = newResult(plan.call, outcome)
  // An interrupted run keeps a result that came in time, and what its hooks make of it in the same time.
  if (grace) result = await runAfterTool({ ...context, signal: grace.signal }, { call: plan.call, result })
  const durationMs = Math.round(context.clock.monotonic() - began)
  const batch: Batch = plan.kind === 'run' ? { settled: [{ call_id, state: outcome.settled }] } : {}
  await commitResult(context, { plan, result, durationMs, batch })
  // Also of what a hook refused.
  unused.delete(call_id)
}

/** A tool asks only while it runs. */
function writtenOf(plan: Runnable): unknown {
  return plan.kind === 'run' ? plan.written : null
}

async function outcomeOf(
  context: RunContext,
  { plan, unused }: { plan: Runnable } & Pick<Acts, 'unused'>,
): Promise<ToolOutcome> {
  if (plan.kind === 'refuse') {
    const { code, message } = plan
    return { kind: 'result', output: `Error: ${message}`, error: { code, message }, settled: 'committed' }
  }
  // Made again for an answer, it was counted when the run was suspended; a holder that died may have committed no count.
  if (context.rescued || !context.calls.has(plan.call.call_id)) countToolCall(context)
  let { input } = plan
  if (context.agent.hooks.length > 0) {
    const changed = await runBeforeTool(context, { item: plan.call, input })
    if ('refused' in changed) {
      const error = { code: 'tool_refused', message: changed.refused }
      return { kind: 'result', output: `Error: ${changed.refused}`, error, settled: 'committed' }
    }
    input = changed.input
  }
  unused.delete(plan.call.call_id)
  const changed = { ...plan, input }
  const { agent } = plan.tool
  return agent ? serveCall(context, { plan: changed, agent }) : executeTool(context, changed)
}

export function newResult(
  { call_id }: Pick<ToolCallItem, 'call_id'>,
  { output, error }: { output: string; error?: ToolResultItem['error'] },
): ToolResultItem {
  return {
    type: 'tool_result',
    id: createId('item'),
    call_id,
    output,
    ...(error ? { error } : {}),
  }
}

/** The `tool.end` of a result. */
export function toolEnd(result: ToolResultItem, durationMs: number): EventDraft {
  return {
    type: 'tool.end',
    call_id: result.call_id,
    item_id: result.id,
    output: result.output,
    ...(result.error ? { error: result.error } : {}),
    duration_ms: durationMs,
  }
}

async function commitResult(
  context: RunContext,
  input: { plan: CallPlan; result: ToolResultItem; durationMs: number; batch: Batch },
): Promise<void> {
  const { plan, result, durationMs, batch } = input
  await context.log.commit({
    ...batch,
    // Also the usage: of the last words of an agent that serves as the tool, which were no answer.
    ...totalsOf(context),
    events: [toolEnd(result, durationMs)],
    items: [{ step: plan.step, void: false, item: result }],
  })
}
