import type { EventDraft } from '../events.ts'
import type { ToolCallItem } from '../items.ts'
import type { StopReason } from '../run-state.ts'
import { newResult, toolEnd } from './act.ts'
import { Interruption, type Batch, type NewItem, type RunContext } from './context.ts'
import type { Output } from './definitions.ts'
import {
  checkAnswer,
  correction,
  countCorrections,
  maxCorrections,
  outputInvalid,
  outputOf,
  outputWarning,
  type Wrong,
} from './output.ts'
import { completed } from './run-end.ts'
import type { Thought } from './think.ts'
import { totalsOf } from './totals.ts'

export type Reply = Extract<Thought, { kind: 'reply' }>

/** What a function of the loop leaves: the run goes on, or has ended or waits and is committed so. */
export type Progress = 'goes on' | 'over'

/**
 * Ends the run with an answer. Where it must satisfy a schema and does not, the model is told so and the run goes on; after the
 * last correction, or a check that took too long, it throws `output_invalid`, and what was said stays as the run's output.
 */
export async function conclude(
  context: RunContext,
  thought: Reply,
  { stop, forced = false }: { stop: StopReason; forced?: boolean },
): Promise<Progress> {
  const { items, reply } = thought
  const isFiltered = reply.finishReason === 'content_filter'
  const output = isFiltered ? null : outputOf(context)
  let value: { parsed?: unknown } = {}
  if (output) {
    const cut = reply.finishReason === 'length'
    const verdict = await checkAnswer(context, { output, items, cut }).catch((error: unknown) => {
      leaveReply(context, { thought, error })
      throw error
    })
    if (!verdict.ok) return correct(context, { thought, output, verdict })
    value = { parsed: verdict.value }
  }
  // Only now: the totals of a batch that waits would stand instead of newer ones.
  const batch = takeAnswer(context, thought)
  if (isFiltered) batch.events?.push(filtered('The model provider filtered the answer.'))
  const ending = { batch, stop: isFiltered ? ('content_filter' as const) : stop, output: messageIds(thought) }
  await context.log.commit(completed(context, { ...ending, forced, ...value }))
  return 'over'
}

async function correct(
  context: RunContext,
  input: { thought: Reply; output: Output; verdict: Wrong },
): Promise<Progress> {
  const { thought, output, verdict } = input
  // One that takes too long to check holds up every other run: the next would, too.
  if (verdict.tookTooLong || countCorrections(context) >= maxCorrections) {
    const error = outputInvalid(verdict)
    leaveReply(context, { thought, error })
    throw error
  }
  const step = context.steps
  const batch = takeAnswer(context, thought)
  const { events = [], items = [] } = batch
  const note: NewItem = { step, void: false, item: correction(output, verdict) }
  await context.log.commit({ ...batch, events: [...events, outputWarning(verdict)], items: [...items, note] })
  return 'goes on'
}

/** Leaves a reply with the log where it cannot be concluded: what was shown of it stays, whatever ends the run. */
function leaveReply(context: RunContext, { thought, error }: { thought: Reply; error: unknown }): void {
  const step = context.steps
  // A run that is given back asks for this step again.
  const isAskedAgain = error instanceof Interruption && error.reason === 'drain'
  const { events = [], items = [] } = isAskedAgain
    ? { items: placed(thought, step) }
    : takeAnswer(context, thought)
  context.log.defer({ events, items })
}

/** The batch that commits a reply; the run's totals move on with it. */
export function takeReply(context: RunContext, thought: Reply): Batch {
  const step = context.steps
  context.steps = step + 1
  return {
    events: [thought.stepEnd],
    items: placed(thought, step),
    ...totalsOf(context),
    steps: context.steps,
  }
}

function placed({ items }: Reply, step: number): NewItem[] {
  return items.map((item) => ({ step, void: false, item }))
}

const noCalls = {
  code: 'tool_refused',
  message: 'The call was not carried out: the reply was taken as an answer alone.',
}

/** A reply that is taken as an answer: what it calls all the same does not run, and the model is told so. */
function takeAnswer(context: RunContext, thought: Reply): Batch {
  const batch = takeReply(context, thought)
  refuseCalls(batch, { calls: thought.calls, step: context.steps - 1, error: noCalls })
  return batch
}

/** Adds to the batch of a reply why calls of it are not carried out: with it, they have their results and never run. */
export function refuseCalls(
  batch: Batch,
  input: { calls: readonly ToolCallItem[]; step: number; error: { code: string; message: string } },
): void {
  const { calls, step, error } = input
  for (const call of calls) {
    const item = newResult(call, { output: `Error: ${error.message}`, error })
    batch.events?.push(toolEnd(item, 0))
    batch.items?.push({ step, void: false, item })
  }
}

export function filtered(message: string): EventDraft {
  return { type: 'warning', code: 'content_filter', message }
}

function messageIds(thought: Reply): string[] {
  return thought.items.filter((item) => item.type === 'message').map(({ id }) => id)
}
