import { createId } from '../ids.ts'
import type { NoteItem } from '../items.ts'
import { AppError } from '../errors.ts'
import { logOutcome } from '../logger.ts'
import { askModel, inquiryMessage, modelsFor, RefusedInquiry } from './ask-model.ts'
import type { RunContext } from './context.ts'
import { cutMiddle } from './cut-text.ts'
import type { Summarising } from './definitions.ts'
import { buildHistory, charsPerToken, type BuiltHistory } from './history.ts'
import { historyLimits } from './request.ts'
import { totalsOf } from './totals.ts'
import { transcriptOf } from './transcript.ts'
import { warnOnce } from './warn.ts'

const defaultInstructions = `Summarise the conversation below for somebody who must carry it on without having read it: what the user wants, what was found out and decided, names, numbers and open points. Write only the summary.`

/** Where the window of the model that writes is not known. */
const defaultWindow = 53_000
/** How much of the window one summary is made of, and how long it may be. */
const windowShare = 0.6
const summaryShare = 0.2
const maxSummaryTokens = 8_000
/** Of one turn; a longer one is cut in its middle. In characters. */
const maxTurnChars = 20_000

/**
 * Replaces turns that no longer fit by a summary a model writes, and commits it: it holds for this run and for every one that
 * continues it. Does nothing where everything fits, or where the agent does not ask for it. Where no summary can be had, the
 * run is warned (`summary_failed`) and goes on without the turns; it does not ask again.
 */
export async function summarise(context: RunContext): Promise<void> {
  const { summarise: options } = context.agent.history
  if (!options || context.warned.some(({ code }) => code === 'summary_failed')) return
  const { items: earlier, complete } = await context.history()
  if (earlier.length === 0) return
  const limits = historyLimits(context)
  const parts = { earlier, own: context.items }
  const { trimmed, turns } = buildHistory({ ...parts, complete, limits })
  if (!trimmed) return
  // More than must go, about half of what is sent: the next turn should not need a summary of its own.
  const mostTurns = complete ? (limits.maxTurns ?? Infinity) : turns
  const maxTurns = Math.min(options.keepTurns, Math.floor(mostTurns / 2))
  const { left, summary } = buildHistory({ ...parts, limits: { ...limits, maxTurns }, share: 0.5 })
  const last = left.at(-1)
  if (!last) return
  const text = await writeSummary(context, { options, left, summary })
  if (text === undefined) return
  const note: NoteItem = {
    type: 'note',
    id: createId('item'),
    kind: 'summary',
    text,
    through_run_id: last.runId,
  }
  await context.log.commit({
    items: [{ step: context.steps, void: false, item: note }],
    ...totalsOf(context),
  })
}

type Told = Pick<BuiltHistory, 'left' | 'summary'> & { options: Summarising }

async function writeSummary(context: RunContext, told: Told): Promise<string | undefined> {
  const { instructions = defaultInstructions, model } = told.options
  const { contextWindow = defaultWindow } = modelsFor(context, { model })[0] ?? {}
  const items = [inquiryMessage(tell(told, Math.floor(contextWindow * windowShare * charsPerToken)))]
  const maxOutputTokens = Math.min(maxSummaryTokens, Math.ceil(contextWindow * summaryShare))
  try {
    const text = (await askModel(context, { instructions, items, model, maxOutputTokens })).trim()
    if (text !== '') return text
    fail(context, new Error('the summary is empty'))
  } catch (error) {
    context.signal.throwIfAborted()
    fail(context, error)
  }
  return undefined
}

/** The summary before and each turn since, as one text: where it would be too long, of each its beginning and its end. */
function tell({ left, summary }: Told, maxChars: number): string {
  // Never so long that nothing is told of the turns.
  const before = summary
    ? cutMiddle(`Summary of what was before:\n${summary.text}`, Math.floor(maxChars / 2))
    : ''
  const room = Math.floor(Math.max(0, maxChars - before.length) / left.length)
  const turns = left.map(({ items }) => transcriptOf(items, Math.min(room, maxTurnChars)))
  return [before, ...turns].filter((text) => text !== '').join('\n\n')
}

function fail(context: RunContext, error: unknown): void {
  const code = AppError.is(error) ? error.code : error instanceof RefusedInquiry ? 'content_filter' : 'empty'
  logOutcome(context.logger, { error, message: 'the conversation could not be summarised', fields: { code } })
  const message = 'The oldest turns of the conversation could not be summarised.'
  warnOnce(context, { code: 'summary_failed', message })
}
