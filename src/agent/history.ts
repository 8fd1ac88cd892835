import { createId } from '../ids.ts'
import type {
  Item,
  MessageItem,
  ModelItem,
  NoteItem,
  PlacedItem,
  ToolCallItem,
  ToolResultItem,
} from '../items.ts'

export interface HistoryLimits {
  /** Estimated tokens for everything that is sent, this run's own items included. */
  maxTokens?: number
  /** Earlier runs that are sent along. */
  maxTurns?: number
}

/** How many earlier runs are ever read for one request. */
export const maxHistoryRuns = 500

export interface BuiltHistory {
  items: ModelItem[]
  /** The runs that are sent along. */
  turns: number
  trimmed: boolean
  /** What was left out, oldest first: by run. Behind the summary that stands for what was before it, where there is one. */
  left: { runId: string; items: ModelItem[] }[]
  summary: NoteItem | undefined
}

/**
 * The items of a provider request: earlier runs, then this one. Well-formed whatever happened before: void items and cut
 * calls are left out, every call is followed by exactly one result (a made-up one where there is none), in call order. A
 * summary stands for the runs it was made of. Over the limits whole runs are left out, oldest first; the newest summary and
 * this run's own items always stay. `share`: how much of the tokens that are left for earlier runs may be taken, default 1.
 */
export function buildHistory(input: {
  earlier: readonly PlacedItem[]
  own: readonly PlacedItem[]
  limits: HistoryLimits
  share?: number
}): BuiltHistory {
  const own = pairCalls(currentNotes(input.own))
  if (input.earlier.length === 0)
    return { items: own, turns: 0, trimmed: false, left: [], summary: undefined }
  const summary = newestSummary(input)
  const turns = afterSummary(groupByRun(input.earlier), summary).map(({ runId, items }) => ({
    runId,
    items: pairCalls(pastNotes(items)),
  }))
  const opening = summary ? [toMessage(summary)] : []
  const { share = 1 } = input
  const { maxTokens = Infinity, maxTurns = Infinity } = input.limits
  let room = (maxTokens - estimateTokens(own) - estimateTokens(opening)) * share
  let first = turns.length
  while (first > 0 && turns.length - first < maxTurns) {
    room -= estimateTokens(turns[first - 1]?.items ?? [])
    if (room < 0) break
    first--
  }
  const kept = turns.slice(first)
  const items = [...opening, ...kept.flatMap((turn) => turn.items), ...own]
  return { items, turns: kept.length, trimmed: first > 0, left: turns.slice(0, first), summary }
}

function newestSummary(input: {
  earlier: readonly PlacedItem[]
  own: readonly PlacedItem[]
}): NoteItem | undefined {
  const isSummary = ({ item }: PlacedItem) => item.type === 'note' && item.kind === 'summary'
  const found = input.own.findLast(isSummary) ?? input.earlier.findLast(isSummary)
  return found?.item.type === 'note' ? found.item : undefined
}

function afterSummary(turns: Turn[], summary: NoteItem | undefined): Turn[] {
  if (!summary) return turns
  return turns.slice(turns.findIndex(({ runId }) => runId === summary.through_run_id) + 1)
}

/** Of this run: the newest plan, and what is meant for the model now. A summary stands before everything else. */
function currentNotes(own: readonly PlacedItem[]): readonly PlacedItem[] {
  if (!own.some(({ item }) => item.type === 'note')) return own
  const plan = own.findLast(({ item }) => item.type === 'note' && item.kind === 'plan')
  return own.filter((placed) => {
    const { item } = placed
    if (item.type !== 'note') return true
    return item.kind === 'plan' ? placed === plan : item.kind !== 'summary'
  })
}

/** Of earlier runs nothing that Parley told the model, nor the answers that it told to be wrong. */
function pastNotes(items: readonly PlacedItem[]): PlacedItem[] {
  const corrected = new Set<number | null>()
  for (const { item, step } of items) {
    if (item.type === 'note' && item.kind === 'correction') corrected.add(step)
  }
  return items.filter(({ item, step }) => item.type !== 'note' && (step === null || !corrected.has(step)))
}

const noteHeadings = {
  plan: 'The plan, as it stands:',
  correction: '',
  reminder: '',
  summary: 'Summary of the conversation before this point:',
} as const

/** As a model reads it: a message that stands where the note does. */
function toMessage(note: NoteItem): MessageItem {
  const heading = noteHeadings[note.kind]
  const text = heading === '' ? note.text : `${heading}\n${note.text}`
  return { type: 'message', id: note.id, role: 'user', content: [{ type: 'text', text }] }
}

/** On the low side for English. */
export const charsPerToken = 3.5

/** A rough count, on the high side for English: four tokens an item, and its text. */
export function estimateTokens(items: readonly ModelItem[]): number {
  let characters = 0
  for (const item of items) characters += 14 + lengthOf(item)
  return Math.ceil(characters / charsPerToken)
}

function lengthOf(item: ModelItem): number {
  switch (item.type) {
    case 'message': {
      let length = 0
      // What is not text costs what providers charge for a picture, about a thousand tokens.
      for (const part of item.content) length += part.type === 'text' ? part.text.length : 3500
      return length
    }
    case 'reasoning':
      return item.text.length
    case 'tool_call':
      return item.name.length + item.arguments.length
    case 'tool_result':
      return item.output.length
    default:
      return item satisfies never
  }
}

interface Turn {
  runId: string
  items: PlacedItem[]
}

function groupByRun(items: readonly PlacedItem[]): Turn[] {
  const groups: Turn[] = []
  for (const placed of items) {
    if (placed.run_id !== groups.at(-1)?.runId) groups.push({ runId: placed.run_id, items: [] })
    groups.at(-1)?.items.push(placed)
  }
  return groups
}

function pairCalls(placed: readonly PlacedItem[]): ModelItem[] {
  const results = new Map<string, ToolResultItem>()
  for (const { item } of placed) if (item.type === 'tool_result') results.set(item.call_id, item)
  const items: ModelItem[] = []
  // The calls of one reply stand together behind its text, and their results behind them.
  let calls: ToolCallItem[] = []
  let step: number | null = null
  let answered = false
  const flush = () => {
    items.push(...calls)
    for (const call of calls) items.push(results.get(call.call_id) ?? missingResult(call))
    calls = []
    answered = false
  }
  for (const one of placed) {
    const { item } = one
    if (one.void) continue
    if (item.type === 'tool_result') {
      answered = true
      continue
    }
    if ((item.type === 'tool_call' || item.type === 'reasoning') && item.partial) continue
    if (answered || one.step !== step || isTurnOfCaller(item)) flush()
    step = one.step
    if (item.type === 'tool_call') calls.push(item)
    else items.push(item.type === 'note' ? toMessage(item) : item)
  }
  flush()
  return items
}

function isTurnOfCaller(item: Item): boolean {
  return item.type === 'note' || (item.type === 'message' && item.role !== 'assistant')
}

function missingResult(call: ToolCallItem): ToolResultItem {
  return {
    type: 'tool_result',
    id: createId('item'),
    call_id: call.call_id,
    output: 'No result: the call was interrupted. Whether it took effect is not known.',
    error: { code: 'outcome_unknown', message: 'The call was interrupted.' },
  }
}
