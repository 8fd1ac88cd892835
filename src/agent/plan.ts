import { AppError } from '../errors.ts'
import { createId } from '../ids.ts'
import type { NoteItem } from '../items.ts'
import { askModel, inquiryMessage, modelsFor } from './ask-model.ts'
import type { RunContext } from './context.ts'
import { buildHistory } from './history.ts'
import { historyLimits, instructionsOf } from './request.ts'
import { offeredTools } from './toolbox.ts'
import { totalsOf } from './totals.ts'
import { toldInMessages } from './transcript.ts'
import { warn } from './warn.ts'

const defaultInstructions = `Write a short plan for the task at hand: the facts that are known, those that must be found out, and the next steps in order. Plan only; do not carry anything out and do not answer the user.`

/**
 * Writes the plan that is due before the next step, and commits it: before step 0, counted from where the agent at work took
 * over, and each multiple of `every`. It stays in context until the next one. Does nothing where none is due, or where an earlier attempt wrote it; where the model says
 * nothing, the plan before stays and the run is warned (`plan_empty`). Throws as `askModel` does.
 */
export async function plan(context: RunContext): Promise<void> {
  const { planning } = context.agent
  if (!planning || (context.steps - context.stepsBefore) % planning.every !== 0 || isPlanned(context)) return
  const text = (await writePlan(context)).trim()
  if (text === '') {
    const message = 'The model wrote no plan.'
    warn(context, 'plan_empty', message)
    return
  }
  const updated = context.items.some(({ item }) => item.type === 'note' && item.kind === 'plan')
  const note: NoteItem = { type: 'note', id: createId('item'), kind: 'plan', text }
  await context.log.commit({
    events: [{ type: 'plan.update', plan: text, updated }],
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

/** Asks for it, with half of the earlier turns where all of them are too long for the model. */
async function writePlan(context: RunContext): Promise<string> {
  const instructions = await planInstructions(context)
  const model = context.agent.planning?.model
  const earlier = (await context.history()).items
  const limits = historyLimits(context, modelsFor(context, { model })[0])
  const ask = (maxTurns: number | undefined) => {
    const within = maxTurns === undefined ? limits : { ...limits, maxTurns }
    const { items, turns } = buildHistory({ earlier, own: context.items, limits: within })
    const asked = [...toldInMessages(items), inquiryMessage('Write the plan now.')]
    return { turns, text: askModel(context, { instructions, items: asked, model }) }
  }
  const { turns, text } = ask(limits.maxTurns)
  try {
    return await text
  } catch (error) {
    if (!AppError.is(error) || error.code !== 'context_length_exceeded' || turns === 0) throw error
    return ask(Math.floor(turns / 2)).text
  }
}

/** What a plan is, and what whoever carries it out was told and has at hand. */
async function planInstructions(context: RunContext): Promise<string> {
  const own = context.agent.planning?.instructions ?? defaultInstructions
  const told = await instructionsOf(context)
  const tools = (await offeredTools(context)).map(({ name, description }) => `- ${name}: ${description}`)
  const parts = [own]
  if (told !== '') parts.push(`Whoever carries the plan out was told:\n${told}`)
  if (tools.length > 0) parts.push(`Tools at hand:\n${tools.join('\n')}`)
  return parts.join('\n\n')
}
