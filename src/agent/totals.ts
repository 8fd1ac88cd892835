import type { Clock } from '../clock.ts'
import type { Model, ModelRequest } from '../models/model.ts'
import { addUsage, noUsage, type Spent, type Usage } from '../run-state.ts'
import type { Batch, RunContext, Totals } from './context.ts'
import type { Agent } from './definitions.ts'
import { charsPerToken, estimateTokens } from './history.ts'
import type { ReplyBuilder } from './reply-builder.ts'
import { warnOnce } from './warn.ts'

const nothingSpent: Spent = { cost: null, tool_calls: 0, worked_ms: 0 }

/** Totals of a run that go on from what earlier attempts counted. */
export function createTotals(before: { usage: Usage; spent: Spent | null }, clock: Clock): Totals {
  const spent = { ...(before.spent ?? nothingSpent) }
  const workingSince = clock.monotonic() - spent.worked_ms
  return { usage: before.usage, spent, workingSince, parent: null }
}

/** Totals of an agent that serves as a tool, from its start in this attempt: what it used before is the run's only. */
export function createServedTotals(parent: Totals, clock: Clock): Totals {
  const spent = { ...nothingSpent }
  return { usage: noUsage, spent, workingSince: clock.monotonic(), parent }
}

/** The limits of a run: what its request asks for, those of the agent that was called and of the one at work. */
export function limitsOfRun(
  context: Pick<RunContext, 'options' | 'called' | 'agent' | 'totals'>,
): RunContext['budgets'] {
  const { options, called, agent, totals } = context
  const own = limitsOf([called, agent], totals)
  if (!options.budget) return own
  const { tool_calls: toolCalls, ...budget } = options.budget
  return [{ budget: { ...budget, ...(toolCalls === undefined ? {} : { toolCalls }) }, totals }, ...own]
}

/** The limits of agents, each agent's once. Empty where they have none. */
export function limitsOf(agents: readonly Agent[], totals: Totals): RunContext['budgets'] {
  // Most have none: every run comes by here.
  if (agents.every((agent) => !isLimited(agent))) return noLimits
  return [...new Set(agents)].filter(isLimited).map(({ budget }) => ({ budget, totals }))
}

const noLimits: RunContext['budgets'] = []

function isLimited({ budget }: Agent): boolean {
  for (const _limit in budget) return true
  return false
}

/** What was asked of a model, and what came of it. */
interface Call {
  model: Model
  request: ModelRequest
  /** Null: nobody said. */
  usage: Usage | null
  reply: Pick<ReplyBuilder, 'written'>
}

/**
 * Adds what a model call used; where nobody said, an estimate, of which the run is warned once. Returns its cost, where the
 * model has a price.
 */
export function countUsage(context: RunContext, { model, request, usage, reply }: Call): number | undefined {
  const used = usage ?? estimateUsage(request, reply.written())
  if (!usage) warnOnce(context, { code: 'usage_estimated', message: estimated(model.id) })
  const cost = context.directory.costOf(model.id, used)
  if (cost === undefined && context.budgets.some(({ budget }) => budget.cost !== undefined)) {
    const message = `The cost of a call of ${model.id} is not known: the budget does not count it.`
    const code = 'cost_unknown'
    if (warnOnce(context, { code, message })) context.logger.warn({ code }, message)
  }
  for (let totals: Totals | null = context.totals; totals; totals = totals.parent) {
    totals.usage = addUsage(totals.usage, used)
    if (cost !== undefined) totals.spent.cost = (totals.spent.cost ?? 0) + cost
  }
  return cost
}

function estimated(modelId: string): string {
  return `What a call of ${modelId} used is not known, because it was cut off or the provider does not say: an estimate is counted.`
}

const charsPerOutputToken = 4

/** Rough. The input is on the high side; of the output it knows what was streamed, not what the model thought in secret. */
function estimateUsage({ instructions = '', items, tools }: ModelRequest, written: number): Usage {
  const frame = instructions.length + (tools.length === 0 ? 0 : JSON.stringify(tools).length)
  const input_tokens = estimateTokens(items) + Math.ceil(frame / charsPerToken)
  const output_tokens = Math.ceil(written / charsPerOutputToken)
  return { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens }
}

/** Adds a tool call that is about to run. */
export function countToolCall(context: RunContext): void {
  for (let totals: Totals | null = context.totals; totals; totals = totals.parent) totals.spent.tool_calls++
}

/** The run's totals as a commit takes them. What is spent is written only where somebody counts. */
export function totalsOf(context: RunContext): Pick<Batch, 'usage' | 'spent'> {
  const { usage, spent } = totalsOfRun(context)
  return spent.cost === null && context.budgets.length === 0 ? { usage } : allTotalsOf(context)
}

/** With what is spent: of a run that another attempt goes on with, and perhaps another agent, who counts. */
export function allTotalsOf(context: RunContext): Pick<Batch, 'usage' | 'spent'> {
  const totals = totalsOfRun(context)
  return { usage: totals.usage, spent: spentNow(totals, context.clock) }
}

function totalsOfRun({ totals }: RunContext): Totals {
  let outermost = totals
  while (outermost.parent) outermost = outermost.parent
  return outermost
}

export function spentNow(totals: Totals, clock: Clock): Spent {
  return { ...totals.spent, worked_ms: Math.round(clock.monotonic() - totals.workingSince) }
}

/** As `run.end` tells it. */
export function costField(totals: Totals): { cost?: number } {
  const { cost } = totals.spent
  return cost === null ? {} : { cost }
}
