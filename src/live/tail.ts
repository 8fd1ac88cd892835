import type { RunEvent } from '../events.ts'

/**
 * The visible end of one run's log, in memory, shared by all its readers on this node. Holds what is not yet committed
 * and a bounded stretch of what is; older events are in the store.
 */
export interface Tail {
  readonly runId: string
  /** Number of the oldest event held; Infinity when none is. */
  firstSeq(): number
  /** Absolute position of the next entry. Grows by one for each event and progress note. */
  end(): number
  /** Absolute position of the first entry with seq > `after`. Only where `firstSeq() <= after + 1`. */
  positionAfter(after: number): number
  /**
   * The entry at an absolute position; undefined when it is not held. Below `start()` it is too old, or the position is of an
   * attempt before: the reader looks into the store. Otherwise it is not there yet, or was void.
   */
  at(position: number): RunEvent | undefined
  /** Absolute position of the oldest entry held. */
  start(): number
}

export interface TailWriter {
  /** Makes an event visible. Synchronous. */
  append(event: RunEvent): void
  /** Everything up to `seq` is in the store now: it may be forgotten once the readers have it. */
  committed(seq: number): void
  /** The attempt is over, here. Uncommitted events vanish; readers look into the store. */
  close(): void
}

export interface TailReader {
  readonly tail: Tail
  /** Called synchronously after something became visible, or may have. Must be cheap: mark and schedule. */
  onWake: (() => void) | undefined
  /** How far this reader has come: an absolute position. Events before it may be forgotten. */
  position: number
  detach(): void
}

export interface Tails {
  /** One writer per run on a node; opening again replaces the older attempt's. */
  open(runId: string): TailWriter
  /** Joins a run's readers, whether it is live here or not. */
  attach(runId: string): TailReader
  /** Wakes the readers of a run so that they look into the store. */
  wake(runId: string): void
  /** Runs with a writer or a reader, for metrics and leak tests. */
  size(): number
}
