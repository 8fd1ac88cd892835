import { createId } from '../ids.ts'
import type { NoteItem } from '../items.ts'
import { askModel, inquiryMessage } from './ask-model.ts'
import type { RunContext } from './context.ts'
import { buildHistory } from './history.ts'
import { historyLimits } from './request.ts'
import { totalsOf } from './totals.ts'

const defaultInstructions = `Write a short plan for the task at hand: the facts that are known, those that must be found out, and the next steps in order. Plan only; do not carry anything out and do not answer the user.`

/**
 * Writes the plan that is due before the next step, and commits it: before step 0 and each multiple of `every`. It stays in
 * context until the next one. Does nothing where none is due, or where an earlier attempt wrote it.
 */
export async function plan(context: RunContext): Promise<void> {
  const { planning } = context.agent
  if (!planning || context.steps % planning.every !== 0 || isPlanned(context)) return
  const first = !context.items.some(({ item }) => item.type === 'note' && item.kind === 'plan')
  const text = (await writePlan(context)).trim()
  const note: NoteItem = { type: 'note', id: createId('item'), kind: 'plan', text }
  await context.log.commit({
    events: [{ type: 'plan.update', plan: text, updated: !first }],
    items: [{ step: context.steps, void: false, item: note }],
    plan: text,
    ...totalsOf(context),
  })
}

function isPlanned(context: RunContext): boolean {
  return context.items.some(
    ({ item, step }) => step === context.steps && item.type === 'note' && item.kind === 'plan',
  )
}

async function writePlan(context: RunContext): Promise<string> {
  const { planning, tools } = context.agent
  const earlier = await context.history()
  const { items } = buildHistory({
    earlier: earlier.items,
    own: context.items,
    limits: historyLimits(context),
  })
  const list = tools.map(({ name, description }) => `- ${name}: ${description}`).join('\n')
  const means = list === '' ? '' : `\n\nTools at hand:\n${list}`
  return askModel(context, {
    instructions: (planning?.instructions ?? defaultInstructions) + means,
    items: [...items, inquiryMessage('Write the plan now.')],
    model: planning?.model,
  })
}
