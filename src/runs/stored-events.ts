import type { EventOf, LoggedEvent } from '../events.ts'
import { textOf, type Item } from '../items.ts'
import type { Cuts, StoredEvent } from '../store/stored-event.ts'
import { parseArguments } from '../agent/reply-builder.ts'

/**
 * Takes the content out of events that were shown: deltas become cuts at the end of their block. Every block that begins
 * among the events must end among them.
 */
export function toStoredEvents(events: readonly LoggedEvent[]): StoredEvent[] {
  const stored: StoredEvent[] = []
  const open = new Map<string, Cuts>()
  let lastId = ''
  let lastCuts: Cuts | undefined
  for (const event of events) {
    switch (event.type) {
      case 'text.delta':
      case 'reasoning.delta':
      case 'tool.input': {
        const cuts: Cuts | undefined = event.item_id === lastId ? lastCuts : open.get(event.item_id)
        if (cuts) addCut(cuts, event)
        lastId = event.item_id
        lastCuts = cuts
        break
      }
      case 'text.start':
      case 'reasoning.start':
      case 'tool.start':
        open.set(event.item_id, [])
        stored.push(event)
        break
      case 'text.end':
      case 'reasoning.end':
        stored.push({ ...event, cuts: open.get(event.item_id) ?? [] })
        break
      case 'tool.call': {
        const { seq, type, item_id, partial } = event
        const cuts = open.get(item_id) ?? []
        stored.push(partial ? { seq, type, item_id, partial, cuts } : { seq, type, item_id, cuts })
        break
      }
      case 'tool.end': {
        const { output: _output, ...rest } = event
        stored.push(rest)
        break
      }
      default:
        stored.push(event)
    }
  }
  return stored
}

function addCut(cuts: Cuts, event: EventOf<'text.delta' | 'reasoning.delta' | 'tool.input'>): void {
  const stretch = cuts.at(-1)
  // A stretch is [first seq, length, length, …]: the next number after it is first + its count of lengths.
  if (stretch && (stretch[0] ?? 0) + stretch.length - 1 === event.seq) stretch.push(event.delta.length)
  else cuts.push([event.seq, event.delta.length])
}

/** The items that `toLoggedEvents` takes content from. */
export function itemIdsOf(stored: readonly StoredEvent[]): string[] {
  const ids: string[] = []
  for (const event of stored) {
    switch (event.type) {
      case 'text.end':
      case 'reasoning.end':
      case 'tool.call':
      case 'tool.end':
        ids.push(event.item_id)
    }
  }
  return ids
}

/**
 * Gives stored events their content back, event for event as it was streamed, those with seq ≤ `after` left out. The
 * events are those of whole commits, so that a block's end is never without its start.
 */
export function toLoggedEvents(input: {
  stored: readonly StoredEvent[]
  items: ReadonlyMap<string, Item>
  after: number
}): LoggedEvent[] {
  const events: LoggedEvent[] = []
  let sorted = true
  const push = (event: LoggedEvent) => {
    const last = events.at(-1)
    if (last && last.seq > event.seq) sorted = false
    if (event.seq > input.after) events.push(event)
  }
  for (const event of input.stored) {
    switch (event.type) {
      case 'text.end':
      case 'reasoning.end': {
        const { cuts, ...rest } = event
        const item = input.items.get(event.item_id)
        const type = event.type === 'text.end' ? 'text.delta' : 'reasoning.delta'
        expand({ cuts, text: contentOf(item), type, itemId: event.item_id, push })
        push(rest)
        break
      }
      case 'tool.call': {
        const { seq, type, item_id, partial, cuts } = event
        const item = input.items.get(item_id)
        const text = contentOf(item)
        expand({ cuts, text, type: 'tool.input', itemId: item_id, push })
        const call = item?.type === 'tool_call' ? item : undefined
        push({
          seq,
          type,
          item_id,
          call_id: call?.call_id ?? '',
          name: call?.name ?? '',
          arguments: parseArguments(text),
          ...(partial ? { partial } : {}),
        })
        break
      }
      case 'tool.end': {
        const { seq, type, call_id, item_id, ...rest } = event
        push({ seq, type, call_id, item_id, output: contentOf(input.items.get(item_id)), ...rest })
        break
      }
      default:
        push(event)
    }
  }
  // Blocks that were streamed side by side come back one after the other.
  return sorted ? events : events.sort((a, b) => a.seq - b.seq)
}

function contentOf(item: Item | undefined): string {
  switch (item?.type) {
    case 'message':
      return textOf(item)
    case 'reasoning':
      return item.text
    case 'tool_call':
      return item.arguments
    case 'tool_result':
      return item.output
    default:
      return ''
  }
}

function expand(input: {
  cuts: Cuts
  text: string
  type: 'text.delta' | 'reasoning.delta' | 'tool.input'
  itemId: string
  push: (event: LoggedEvent) => void
}): void {
  let from = 0
  for (const [first = 0, ...lengths] of input.cuts) {
    let seq = first
    for (const length of lengths) {
      const delta = input.text.slice(from, from + length)
      from += length
      input.push({ seq: seq++, type: input.type, item_id: input.itemId, delta })
    }
  }
}
