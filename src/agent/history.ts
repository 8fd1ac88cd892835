import { createId } from '../ids.ts'
import {
  isHandoff,
  type Item,
  type MessageItem,
  type ModelItem,
  type NoteItem,
  type PlacedItem,
  type ToolCallItem,
  type ToolResultItem,
} from '../items.ts'

export interface HistoryLimits {
  /** Estimated tokens for everything that is sent, this run's own items included. */
  maxTokens?: number
  /** Earlier turns that are sent along. */
  maxTurns?: number
}

/** How many earlier runs are ever read for one request. */
export const maxHistoryRuns = 500

/** How much of them, in bytes as stored: about what providers take at once. The run before is always read whole. */
export const maxHistoryBytes = 16 * 1024 * 1024

export interface BuiltHistory {
  items: ModelItem[]
  /** The earlier turns that are sent along. */
  turns: number
  /** Something is not sent that no summary of this run stands for. */
  trimmed: boolean
  /** What was left out, oldest first. Behind the summary that stands for what was before it, where there is one. */
  left: Turn[]
  summary: NoteItem | undefined
}

/** A run, and those behind it that brought the results of its calls. */
interface Turn {
  /** Its last run. */
  runId: string
  items: ModelItem[]
}

/**
 * The items of a provider request: earlier runs, then this one. Well-formed whatever happened before: void items and cut
 * calls are left out, every call is followed by exactly one result, in call order: one that a later run brought, or a made-up
 * one where there is none. A summary stands for the runs it was made of. Over the limits whole turns are left out, oldest
 * first; the newest summary and this run's own turn always stay. `share`: how much of the tokens that are left for earlier
 * turns may be taken, default 1. `complete`: whether `earlier` is all there is.
 */
export function buildHistory(input: {
  earlier: readonly PlacedItem[]
  own: readonly PlacedItem[]
  limits: HistoryLimits
  share?: number
  complete?: boolean
}): BuiltHistory {
  const results = resultsOf(input)
  let own = pairCalls(currentNotes(input.own), results)
  if (input.earlier.length === 0)
    return { items: own, turns: 0, trimmed: input.complete === false, left: [], summary: undefined }
  const summary = newestSummary(input)
  const turns = toTurns(afterSummary(groupByRun(input.earlier), summary), results)
  // Calls of the run before, whose results are this run's input.
  if (bringsResults(input.own)) own = [...(turns.pop()?.items ?? []), ...own]
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
  const unread = input.complete === false && !input.own.some(isSummary)
  return { items, turns: kept.length, trimmed: first > 0 || unread, left: turns.slice(0, first), summary }
}

function newestSummary(input: {
  earlier: readonly PlacedItem[]
  own: readonly PlacedItem[]
}): NoteItem | undefined {
  const found = input.own.findLast(isSummary) ?? input.earlier.findLast(isSummary)
  return found?.item.type === 'note' ? found.item : undefined
}

function isSummary({ item }: PlacedItem): boolean {
  return item.type === 'note' && item.kind === 'summary'
}

function afterSummary(runs: Run[], summary: NoteItem | undefined): Run[] {
  if (!summary) return runs
  return runs.slice(runs.findIndex(({ runId }) => runId === summary.through_run_id) + 1)
}

function toTurns(runs: readonly Run[], results: Results): Turn[] {
  const turns: Turn[] = []
  for (const { runId, items } of runs) {
    const told = pairCalls(pastNotes(items), results)
    if (!bringsResults(items)) turns.push({ runId, items: told })
    else {
      const turn = turns.at(-1)
      // The rest of a turn whose beginning was not read is no whole turn.
      if (!turn) continue
      turn.runId = runId
      turn.items.push(...told)
    }
  }
  return turns
}

/** Whether a run goes on with the turn before it: what it begins with are results of that turn's calls. */
export function bringsResults([first]: readonly PlacedItem[]): boolean {
  return first?.item.type === 'tool_result'
}

/** Of this run: the newest plan, and what is meant for the model now. A summary stands before everything else. */
function currentNotes(own: readonly PlacedItem[]): readonly PlacedItem[] {
  if (!own.some(({ item }) => item.type === 'note')) return own
  const plan = own.findLast(({ item }) => item.type === 'note' && item.kind === 'plan')
  const handoff = own.findLastIndex(isHandoff)
  return own.filter((placed, index) => {
    const { item } = placed
    if (item.type !== 'note') return true
    if (item.kind === 'plan') return placed === plan
    // Whoever took over has limits of its own, and is told of them.
    if (item.kind === 'reminder') return index > handoff
    return item.kind !== 'summary'
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

/** What is not text costs what providers charge for a picture, about a thousand tokens. */
export const charsOfFile = 3500

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
      for (const part of item.content) length += part.type === 'text' ? part.text.length : charsOfFile
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

interface Run {
  runId: string
  items: PlacedItem[]
}

/** How many turns the items of runs make up, one whose beginning is missing left out. */
export function countTurns(items: readonly PlacedItem[]): number {
  return groupByRun(items).filter((run) => !bringsResults(run.items)).length
}

function groupByRun(items: readonly PlacedItem[]): Run[] {
  const groups: Run[] = []
  for (const placed of items) {
    if (placed.run_id !== groups.at(-1)?.runId) groups.push({ runId: placed.run_id, items: [] })
    groups.at(-1)?.items.push(placed)
  }
  return groups
}

type Results = ReadonlyMap<Item, ToolResultItem>

/** The result of each call: the nearest behind it, of its own run or a later one. */
function resultsOf({
  earlier,
  own,
}: {
  earlier: readonly PlacedItem[]
  own: readonly PlacedItem[]
}): Results {
  const results = new Map<Item, ToolResultItem>()
  const behind = new Map<string, ToolResultItem>()
  for (const placed of [own, earlier]) {
    for (let i = placed.length - 1; i >= 0; i--) {
      const item = placed[i]?.item
      if (item?.type === 'tool_result') behind.set(item.call_id, item)
      else if (item?.type === 'tool_call') {
        const result = behind.get(item.call_id)
        if (result) results.set(item, result)
      }
    }
  }
  return results
}

function pairCalls(placed: readonly PlacedItem[], results: Results): ModelItem[] {
  const items: ModelItem[] = []
  // The calls of one reply stand together behind its text, and their results behind them.
  let calls: ToolCallItem[] = []
  let step: number | null = null
  let answered = false
  const flush = () => {
    items.push(...calls)
    for (const call of calls) items.push(results.get(call) ?? missingResult(call))
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
