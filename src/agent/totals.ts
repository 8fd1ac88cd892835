import type { Clock } from '../clock.ts'
import { addUsage, noUsage, type Spent, type Usage } from '../run-state.ts'
import type { Batch, RunContext, Totals } from './context.ts'
import type { Agent } from './definitions.ts'
import { warn } from './warn.ts'

const nothingSpent: Spent = { cost: null, tool_calls: 0, worked_ms: 0 }

/** Totals of a run that go on from what earlier attempts counted. */
export function createTotals(before: { usage: Usage; spent: Spent | null }, clock: Clock): Totals {
  const spent = { ...(before.spent ?? nothingSpent) }
  const workingSince = clock.monotonic() - spent.worked_ms
  return { usage: before.usage, spent, workingSince, warned: new Set(), parent: null }
}

/** Totals of an agent that serves as a tool, from its start in this attempt: what it used before is the run's only. */
export function createServedTotals(parent: Totals, clock: Clock): Totals {
  const spent = { ...nothingSpent }
  return { usage: noUsage, spent, workingSince: clock.monotonic(), warned: new Set(), parent }
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

/** Adds what a model call used. Returns its cost, where the model has a price. */
export function countUsage(context: RunContext, modelId: string, usage: Usage | null): number | undefined {
  const cost = usage ? context.directory.costOf(modelId, usage) : undefined
  if (context.budgets.length > 0) warnUncounted(context, { modelId, usage, cost })
  if (!usage) return undefined
  for (let totals: Totals | null = context.totals; totals; totals = totals.parent) {
    totals.usage = addUsage(totals.usage, usage)
    if (cost !== undefined) totals.spent.cost = (totals.spent.cost ?? 0) + cost
  }
  return cost
}

/** A budget that cannot be counted must not look as if it held. */
function warnUncounted(
  context: RunContext,
  call: { modelId: string; usage: Usage | null; cost: number | undefined },
): void {
  const limits = (what: 'tokens' | 'cost') => context.budgets.some(({ budget }) => budget[what] !== undefined)
  const of = `of a call of ${call.modelId}`
  if (!call.usage && (limits('tokens') || limits('cost')))
    warnOnce(
      context,
      'usage_unknown',
      `The provider did not say the usage ${of}: the budget does not count it.`,
    )
  else if (call.cost === undefined && limits('cost'))
    warnOnce(context, 'cost_unknown', `The cost ${of} is not known: the budget does not count it.`)
}

function warnOnce(context: RunContext, code: string, message: string): void {
  const { totals, logger } = context
  if (totals.warned.has(code)) return
  totals.warned.add(code)
  logger.warn({ code }, message)
  warn(context, code, message)
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
