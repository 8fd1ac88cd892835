import { createId } from '../ids.ts'
import type { NoteItem } from '../items.ts'
import type { RunContext } from './context.ts'
import type { Budget } from './definitions.ts'
import { spentNow } from './totals.ts'

/** From here on the model knows that the end is near. */
const reminderShare = 0.8

/** By the name it is configured by. */
export type Exhausted = keyof Budget

/** For the model. */
const words: Record<Exhausted, string> = {
  tokens: 'tokens',
  cost: 'cost',
  seconds: 'time',
  toolCalls: 'tool calls',
}

interface Use {
  what: Exhausted
  share: number
}

/** A limit that the run has reached, tool calls only where it is the only one; undefined while it is within all of them. */
export function exhaustedBudget(context: RunContext): Exhausted | undefined {
  if (context.budgets.length === 0) return undefined
  const over = usesNow(context).filter(({ share }) => share >= 1)
  return (over.find(({ what }) => what !== 'toolCalls') ?? over[0])?.what
}

/** What the model is told when a limit is near: once in a run, and once more where another agent takes over. */
export function remindOfBudget(context: RunContext): NoteItem | undefined {
  if (context.budgets.length === 0) return undefined
  const [use] = usesNow(context).toSorted((a, b) => b.share - a.share)
  if (!use || use.share < reminderShare) return undefined
  if (isReminded(context)) return undefined
  const text = `${Math.floor(use.share * 100)} % of the ${words[use.what]} allowed for this task are used up. Come to an end: give your answer with what you have.`
  return { type: 'note', id: createId('item'), kind: 'reminder', text }
}

/** Whether the agent at work was; another's reminder it does not read. */
function isReminded({ items, stepsBefore }: RunContext): boolean {
  return items.some(
    ({ item, step }) => item.type === 'note' && item.kind === 'reminder' && (step ?? 0) >= stepsBefore,
  )
}

function usesNow(context: RunContext): Use[] {
  return context.budgets.flatMap((limits) => usesOf(context, limits))
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
  add('seconds', now.worked_ms / 1000, seconds)
  add('toolCalls', now.tool_calls, toolCalls)
  return uses
}
