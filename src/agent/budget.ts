import { createId } from '../ids.ts'
import type { NoteItem } from '../items.ts'
import type { RunContext } from './context.ts'
import { spentNow } from './totals.ts'

/** From here on the model knows that the end is near. */
const reminderShare = 0.8

interface Use {
  what: 'tokens' | 'cost' | 'time' | 'tool calls'
  share: number
}

/** The limit that the run has reached; undefined while it is within all of them. */
export function exhaustedBudget(context: RunContext): Use['what'] | undefined {
  const use = largestUse(context)
  return use && use.share >= 1 ? use.what : undefined
}

/** What the model is told, once in a run, when a limit is near. */
export function remindOfBudget(context: RunContext): NoteItem | undefined {
  const use = largestUse(context)
  if (!use || use.share < reminderShare) return undefined
  if (context.items.some(({ item }) => item.type === 'note' && item.kind === 'reminder')) return undefined
  const text = `${Math.floor(use.share * 100)} % of the ${use.what} allowed for this task are used up. Come to an end: give your answer with what you have.`
  return { type: 'note', id: createId('item'), kind: 'reminder', text }
}

function largestUse(context: RunContext): Use | undefined {
  let largest: Use | undefined
  for (const limits of context.budgets) {
    for (const use of usesOf(context, limits)) if (!largest || use.share > largest.share) largest = use
  }
  return largest
}

function usesOf({ clock }: RunContext, { budget, totals }: RunContext['budgets'][number]): Use[] {
  const now = spentNow(totals, clock)
  const { tokens, cost, seconds, toolCalls } = budget
  const uses: Use[] = []
  const add = (what: Use['what'], used: number, limit: number | undefined) => {
    if (limit !== undefined) uses.push({ what, share: limit === 0 ? Infinity : used / limit })
  }
  add('tokens', totals.usage.total_tokens, tokens)
  add('cost', now.cost ?? 0, cost)
  add('time', now.worked_ms / 1000, seconds)
  add('tool calls', now.tool_calls, toolCalls)
  return uses
}
