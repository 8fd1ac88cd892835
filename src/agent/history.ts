import { createId } from '../ids.ts'
import type { Item, PlacedItem, ToolCallItem, ToolResultItem } from '../items.ts'

export interface HistoryLimits {
  /** Estimated tokens for everything that is sent, this run's own items included. */
  maxTokens?: number
  /** Earlier runs that are sent along. */
  maxTurns?: number
}

/** How many earlier runs are ever read for one request. */
export const maxHistoryRuns = 500

/**
 * The items of a provider request: earlier runs, then this one. Well-formed whatever happened before: void items and cut
 * calls are left out, every call is followed by exactly one result (a made-up one where there is none), in call order.
 * Over the limits whole runs are left out, oldest first; this run's own items always stay. `turns`: the runs that are left.
 */
export function buildHistory(input: {
  earlier: readonly PlacedItem[]
  own: readonly PlacedItem[]
  limits: HistoryLimits
}): { items: Item[]; turns: number; trimmed: boolean } {
  const own = pairCalls(input.own)
  if (input.earlier.length === 0) return { items: own, turns: 0, trimmed: false }
  const turns = groupByRun(input.earlier).map(pairCalls)
  const { maxTokens = Infinity, maxTurns = Infinity } = input.limits
  let room = maxTokens - estimateTokens(own)
  let first = turns.length
  while (first > 0 && turns.length - first < maxTurns) {
    const turn = turns[first - 1] ?? []
    room -= estimateTokens(turn)
    if (room < 0) break
    first--
  }
  const kept = turns.slice(first)
  return { items: [...kept.flat(), ...own], turns: kept.length, trimmed: first > 0 }
}

/** A rough count, on the high side for English: three and a half characters a token, four tokens an item. */
export function estimateTokens(items: readonly Item[]): number {
  let characters = 0
  for (const item of items) characters += 14 + lengthOf(item)
  return Math.ceil(characters / 3.5)
}

function lengthOf(item: Item): number {
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

function groupByRun(items: readonly PlacedItem[]): PlacedItem[][] {
  const groups: PlacedItem[][] = []
  let last: string | undefined
  for (const placed of items) {
    if (placed.run_id !== last) groups.push([])
    last = placed.run_id
    groups.at(-1)?.push(placed)
  }
  return groups
}

function pairCalls(placed: readonly PlacedItem[]): Item[] {
  const results = new Map<string, ToolResultItem>()
  for (const { item } of placed) if (item.type === 'tool_result') results.set(item.call_id, item)
  const items: Item[] = []
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
    else items.push(item)
  }
  flush()
  return items
}

function isTurnOfCaller(item: Item): boolean {
  return item.type === 'message' && item.role !== 'assistant'
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
