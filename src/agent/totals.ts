import type { Clock } from '../clock.ts'
import { addUsage, type Spent, type Usage } from '../run-state.ts'
import type { Batch, RunContext, Totals } from './context.ts'
import type { Agent } from './definitions.ts'

const nothingSpent: Spent = { cost: null, tool_calls: 0, worked_ms: 0 }

/** Totals that go on from what earlier attempts counted. */
export function createTotals(before: { usage: Usage; spent: Spent | null }, clock: Clock): Totals {
  const spent = { ...(before.spent ?? nothingSpent) }
  return { usage: before.usage, spent, workingSince: clock.monotonic() - spent.worked_ms }
}

/** The limits of an agent, counted from `before`: the run's start, or when the agent was called. Empty where it has none. */
export function limitsOf(
  { budget }: Agent,
  before: RunContext['budgets'][number]['before'] = null,
): RunContext['budgets'] {
  return Object.keys(budget).length === 0 ? [] : [{ budget, before }]
}

/** Adds what a model call used. Returns its cost, where the model has a price. */
export function countUsage(context: RunContext, modelId: string, usage: Usage | null): number | undefined {
  if (!usage) return undefined
  const { totals } = context
  totals.usage = addUsage(totals.usage, usage)
  const cost = context.directory.costOf(modelId, usage)
  if (cost !== undefined) totals.spent.cost = (totals.spent.cost ?? 0) + cost
  return cost
}

/** The totals as a commit takes them. What is spent is written only where somebody counts. */
export function totalsOf(context: RunContext): Pick<Batch, 'usage' | 'spent'> {
  const { totals, budgets, clock } = context
  if (totals.spent.cost === null && budgets.length === 0) return { usage: totals.usage }
  return { usage: totals.usage, spent: spentNow(totals, clock) }
}

export function spentNow(totals: Totals, clock: Clock): Spent {
  return { ...totals.spent, worked_ms: Math.round(clock.monotonic() - totals.workingSince) }
}

/** As `run.end` tells it. */
export function costField(totals: Totals): { cost?: number } {
  const { cost } = totals.spent
  return cost === null ? {} : { cost }
}
