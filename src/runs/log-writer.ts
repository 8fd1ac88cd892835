import type { Batch, NewItem, StepLog } from '../agent/context.ts'
import { Interruption } from '../agent/context.ts'
import type { Clock } from '../clock.ts'
import type { EventDraft, LoggedEvent, ToolProgressEvent } from '../events.ts'
import type { PlacedItem } from '../items.ts'
import type { TailWriter } from '../live/tail.ts'
import type { RunWarning } from '../run-state.ts'
import type { Commit, CommitOutcome, Fence, Store } from '../store/store.ts'
import type { StoredEvent } from '../store/stored-event.ts'
import { toStoredEvents } from './stored-events.ts'

export interface LogWriterOptions {
  store: Store
  tail: TailWriter
  clock: Clock
  fence: Fence
  /** Number of the last committed event: ours go on from it. */
  lastSeq: number
  /** The run's items. The writer adds to it what it commits. */
  items: PlacedItem[]
  /** False: the lease is not ours any more, as far as we can tell. Asked before each flush. */
  holdsLease: () => boolean
}

/** What goes with whatever is committed next. The rest of it is of a commit that was refused: what its events tell of. */
type Deferred = Required<Pick<Batch, 'events' | 'items' | 'settled'>> &
  Pick<Batch, 'usage' | 'spent' | 'steps' | 'plan' | 'agent'>

interface Waiting {
  batch: Batch
  resolve: () => void
  reject: (error: unknown) => void
}

/**
 * The one who appends to a run's log, for one attempt. Numbers the events, shows the tail, and turns what was shown since
 * the last commit, with each batch, into one transaction. Batches that arrive while one is being written go together.
 */
export class LogWriter implements StepLog {
  readonly #options: LogWriterOptions
  #seq: number
  #position = 0
  /** Shown, not committed. */
  #shown: LoggedEvent[] = []
  /** To be committed with whatever comes next. */
  #deferred: Deferred = nothing()
  #waiting: Waiting[] = []
  #flushing = false
  #interruption: Interruption | undefined

  constructor(options: LogWriterOptions) {
    this.#options = options
    this.#seq = options.lastSeq
  }

  /** The run has so many items already: new ones are placed behind them. */
  continueAfter(count: number): void {
    this.#position = count
  }

  emit(draft: EventDraft): void {
    const event = number(draft, ++this.#seq)
    this.#shown.push(event)
    this.#options.tail.append(event)
  }

  progress(event: ToolProgressEvent): void {
    this.#options.tail.append(event)
  }

  defer(batch: Pick<Batch, 'events' | 'items' | 'settled'>): void {
    if (batch.events) this.#deferred.events.push(...batch.events)
    if (batch.items) this.#deferred.items.push(...batch.items)
    if (batch.settled) this.#deferred.settled.push(...batch.settled)
  }

  /** Items that were deferred: what an interrupted reply left behind. */
  get deferredItems(): readonly NewItem[] {
    return this.#deferred.items
  }

  /** Makes what an interrupted reply showed void. Whether anything was shown. */
  voidDeferred(): boolean {
    this.#deferred.items = this.#deferred.items.map((item) => ({ ...item, void: true }))
    return this.#shown.length > 0
  }

  /** Gives up what was shown and what was deferred: the store will not have it. */
  discard(): void {
    this.#shown = []
    this.#deferred = nothing()
  }

  commit(batch: Batch): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, resolve, reject })
      if (!this.#flushing) void this.#flush()
    })
  }

  /** Never rejects: every failure goes to those who wait. */
  async #flush(): Promise<void> {
    this.#flushing = true
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting
      this.#waiting = []
      try {
        await this.#write(waiting.map(({ batch }) => batch))
        for (const { resolve } of waiting) resolve()
      } catch (error) {
        for (const { reject } of waiting) reject(error)
      }
    }
    this.#flushing = false
  }

  async #write(batches: Batch[]): Promise<void> {
    const { store, tail, fence, items: known, holdsLease, clock } = this.#options
    const merged = this.#merge(batches)
    const cancels = merged.end?.status === 'cancelled'
    if (this.#interruption && !(cancels && this.#interruption.reason === 'cancelled')) {
      this.#putBack(merged)
      throw this.#interruption
    }
    if (!holdsLease()) throw this.#interrupt('fenced')
    const drafts = merged.events ?? []
    const events = drafts.map((draft, index) => number(draft, this.#seq + 1 + index))
    const items = (merged.items ?? []).map(({ step, void: isVoid, item, parentCallId = null }, index) => {
      return { position: this.#position + index, step, void: isVoid, parent_call_id: parentCallId, item }
    })
    const stored = toStoredEvents([...this.#shown, ...events])
    const commit: Commit = { ...merged, fence, events: stored, items, now: clock.now() }
    const warnings = warningsOf(stored)
    if (warnings) commit.warnings = warnings
    let outcome: CommitOutcome
    try {
      outcome = await store.runs.commit(commit)
    } catch (error) {
      this.#putBack(merged)
      throw error
    }
    if (outcome !== 'ok') {
      this.#putBack(merged)
      throw this.#interrupt(outcome)
    }
    this.#seq += events.length
    this.#position += items.length
    this.#shown = []
    // What agents that serve as tools made is theirs.
    for (const item of items) if (item.parent_call_id === null) known.push({ run_id: fence.run_id, ...item })
    for (const event of events) tail.append(event)
    tail.committed(this.#seq)
  }

  /** Deferred things first, then the batches in the order they came. */
  #merge(batches: Batch[]): Batch {
    const merged: Batch = { ...this.#deferred }
    this.#deferred = nothing()
    const events = merged.events ?? []
    const items = merged.items ?? []
    const settled = merged.settled ?? []
    const claims: NonNullable<Batch['claims']> = []
    // Only where every part of it is a mere note may the whole commit be one.
    const recovery = batches.every((batch) => batch.recovery)
    for (const batch of batches) {
      if (batch.events) events.push(...batch.events)
      if (batch.items) items.push(...batch.items)
      if (batch.settled) settled.push(...batch.settled)
      if (batch.claims) claims.push(...batch.claims)
      if (batch.usage) merged.usage = batch.usage
      if (batch.spent) merged.spent = batch.spent
      if (batch.steps !== undefined) merged.steps = batch.steps
      if (batch.plan !== undefined) merged.plan = batch.plan
      if (batch.agent !== undefined) merged.agent = batch.agent
      if (batch.end) merged.end = batch.end
    }
    if (claims.length > 0) merged.claims = claims
    if (recovery) merged.recovery = true
    return { ...merged, events, items, settled }
  }

  /**
   * What a refused commit held, for the commit that ends the run: all but the claims and the end it was meant to have. It
   * comes before what was deferred since.
   */
  #putBack(merged: Batch): void {
    const since = this.#deferred
    const {
      events = [],
      items = [],
      settled = [],
      claims: _claims,
      end: _end,
      recovery: _note,
      ...rest
    } = merged
    const open = events.filter(({ type }) => type !== 'run.end' && type !== 'run.suspend')
    this.#deferred = {
      ...rest,
      events: [...open, ...since.events],
      items: [...items, ...since.items],
      settled: [...settled, ...since.settled],
    }
  }

  #interrupt(reason: 'cancelled' | 'fenced'): Interruption {
    this.#interruption ??= new Interruption(reason)
    return this.#interruption
  }
}

function nothing(): Deferred {
  return { events: [], items: [], settled: [] }
}

/** What a run was warned of stands with it: whoever reads no events learns it there. */
function warningsOf(events: readonly StoredEvent[]): RunWarning[] | undefined {
  let warnings: RunWarning[] | undefined
  for (const event of events) {
    if (event.type !== 'warning') continue
    const { code, message } = event
    ;(warnings ??= []).push({ code, message })
  }
  return warnings
}

function number(draft: EventDraft, seq: number): LoggedEvent {
  // The draft is a logged event without its number; spreading keeps the union, which TypeScript cannot see.
  return { seq, ...draft } as LoggedEvent
}
