import type { EventOf, LoggedEvent } from '../events.ts'

/**
 * Where the deltas of a block were cut, so that a replay gives them one for one. Each entry is a stretch of deltas with
 * consecutive numbers: the number of the first, then the length of each in UTF-16 code units.
 */
export type Cuts = number[][]

/** The deltas of a block are not stored: their text is the item's, and the block's end holds the cuts. */
type Delta = 'text.delta' | 'reasoning.delta' | 'tool.input'
type BlockEnd = 'text.end' | 'reasoning.end'

/**
 * An event as it is stored: content left out. `tool.call` gets name, call id and arguments back from its item, `tool.end`
 * its output; blocks get their deltas back from item and cuts. Everything else is stored as it is.
 */
export type StoredEvent =
  | Exclude<LoggedEvent, { type: Delta | BlockEnd | 'tool.call' | 'tool.end' }>
  | Omit<EventOf<'tool.end'>, 'output'>
  | (EventOf<BlockEnd> & { cuts: Cuts })
  | { seq: number; type: 'tool.call'; item_id: string; partial?: true; cuts: Cuts }
