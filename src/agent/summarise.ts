import { createId } from '../ids.ts'
import { textOf, type ModelItem, type NoteItem } from '../items.ts'
import { askModel, inquiryMessage } from './ask-model.ts'
import type { RunContext } from './context.ts'
import { buildHistory } from './history.ts'
import { historyLimits } from './request.ts'
import { totalsOf } from './totals.ts'

const defaultInstructions = `Summarise the conversation below for somebody who must carry it on without having read it: what the user wants, what was found out and decided, names, numbers and open points. Write only the summary.`

/** How much of one turn a summary is made of; a longer one is cut in its middle. In characters. */
const maxTurnChars = 20_000

/**
 * Replaces turns that no longer fit by a summary a model writes, and commits it: it holds for this run and for every one that
 * continues it. Does nothing where everything fits, or where the agent does not ask for it.
 */
export async function summarise(context: RunContext): Promise<void> {
  const { summarise: options } = context.agent.history
  if (!options || context.parentCallId !== null) return
  const earlier = await context.history()
  if (earlier.items.length === 0) return
  const limits = historyLimits(context)
  const whole = buildHistory({ earlier: earlier.items, own: context.items, limits })
  if (!whole.trimmed) return
  // A little more than must go: the next turn should not need a summary of its own.
  const maxTurns = Math.min(options.keepTurns, limits.maxTurns ?? Infinity)
  const { left, summary } = buildHistory({
    earlier: earlier.items,
    own: context.items,
    limits: { ...limits, maxTurns },
  })
  const last = left.at(-1)
  if (!last) return
  const before = summary ? [`Summary of what was before:\n${summary.text}`] : []
  const told = [...before, ...left.map(({ items }) => transcript(items))].join('\n\n')
  const text = await askModel(context, {
    instructions: options.instructions ?? defaultInstructions,
    items: [inquiryMessage(told)],
    model: options.model,
  })
  const note: NoteItem = {
    type: 'note',
    id: createId('item'),
    kind: 'summary',
    text: text.trim(),
    through_run_id: last.runId,
  }
  await context.log.commit({
    items: [{ step: context.steps, void: false, item: note }],
    ...totalsOf(context),
  })
}

function transcript(items: readonly ModelItem[]): string {
  const text = items
    .map(lineOf)
    .filter((line) => line !== '')
    .join('\n')
  if (text.length <= maxTurnChars) return text
  const half = maxTurnChars / 2
  return `${text.slice(0, half)}\n[…]\n${text.slice(-half)}`
}

function lineOf(item: ModelItem): string {
  switch (item.type) {
    case 'message':
      return `${item.role}: ${textOf(item)}`
    case 'reasoning':
      return ''
    case 'tool_call':
      return `assistant calls ${item.name}: ${item.arguments}`
    case 'tool_result':
      return `result: ${item.output}`
    default:
      return item satisfies never
  }
}
