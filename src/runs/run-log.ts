import { AppError } from '../errors.ts'
import type { LoggedEvent, RunEvent } from '../events.ts'
import type { TailReader, Tails } from '../live/tail.ts'
import { isTerminal } from '../run-state.ts'
import type { RunRecord, Store } from '../store/store.ts'
import type { LogReader } from './runs.ts'
import { itemIdsOf, toLoggedEvents } from './stored-events.ts'

/** How many commits are read from the store at once. */
const batchesPerLoad = 32

export interface ReaderOptions {
  store: Store
  tails: Tails
  run: RunRecord
  /** Events up to this number were seen. */
  after: number
  /** Told once, when the reader is done or left. */
  onDetach?: (left: 'client' | 'server', ended: boolean) => void
}

/**
 * Opens a cursor over a run's log: the tail while it is at hand, the store where it is not. Holds no more than one page of
 * stored events.
 */
export function openLogReader(options: ReaderOptions): LogReader {
  return new RunLogReader(options)
}

class RunLogReader implements LogReader {
  readonly runId: string
  onReady: () => void = () => {}
  ended = false
  error: Error | undefined
  readonly #options: ReaderOptions
  readonly #tail: TailReader
  #after: number
  /** Whether `#tail.position` is where we are; else the store has what comes next. */
  #following = false
  #page: LoggedEvent[] = []
  #taken = 0
  /**
   * A suspension was read. Where the run is suspended, it lies behind where this reader began, too: it ends where the log does.
   * A reader that began behind it waits for what follows.
   */
  #metSuspension = false
  /** Behind the page there is nothing until the run's suspension is over. */
  #pageSuspends = false
  #loading = false
  /** Woken while a page was being read: the page may not have it. */
  #stale = false
  #scheduled = false
  #detached = false

  constructor(options: ReaderOptions) {
    this.#options = options
    this.runId = options.run.id
    this.#after = options.after
    this.#tail = options.tails.attach(options.run.id)
    const wake = () => this.#schedule()
    this.#tail.onWake = wake
    const { run } = options
    if (isTerminal(run.status) && options.after >= run.last_seq) this.ended = true
  }

  take(): RunEvent | undefined {
    if (this.ended || this.error || this.#detached) return undefined
    if (this.#taken < this.#page.length) return this.#takeFromPage()
    if (this.#loading) return undefined
    if (!this.#following && !this.#follow()) return this.#load()
    return this.#takeFromTail()
  }

  detach(left: 'client' | 'server'): void {
    if (this.#detached) return
    this.#detached = true
    this.#tail.onWake = undefined
    this.#tail.detach()
    this.#options.onDetach?.(left, this.ended)
  }

  #takeFromPage(): LoggedEvent | undefined {
    const event = this.#page[this.#taken++]
    const last = this.#taken === this.#page.length
    if (last) {
      this.#page = []
      this.#taken = 0
    }
    if (event) {
      this.#after = event.seq
      if (event.type === 'run.end' || (last && this.#pageSuspends)) this.ended = true
    }
    return event
  }

  /** Whether the tail goes on where we are. */
  #follow(): boolean {
    const { tail } = this.#tail
    if (tail.firstSeq() > this.#after + 1) return false
    this.#tail.position = tail.positionAfter(this.#after)
    this.#following = true
    return true
  }

  #takeFromTail(): RunEvent | undefined {
    const { tail } = this.#tail
    for (;;) {
      const { position } = this.#tail
      if (position < tail.start()) {
        this.#following = false
        return this.#load()
      }
      const event = tail.at(position)
      if (!event) return undefined
      if (event.type === 'tool.progress') {
        this.#tail.position = position + 1
        return event
      }
      if (event.seq > this.#after + 1) {
        // Another attempt: what was committed between the two by others is in the store only.
        this.#following = false
        return this.#load()
      }
      this.#tail.position = position + 1
      if (event.seq <= this.#after) continue
      this.#after = event.seq
      if (event.type === 'run.end') this.ended = true
      if (event.type === 'run.suspend') {
        this.#metSuspension = true
        if (position + 1 === tail.end()) this.ended = true
      }
      return event
    }
  }

  #schedule(): void {
    this.#stale = true
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      if (this.#detached || this.ended) return
      // Woken without anything in memory: somebody else may have committed.
      if (this.#following && this.#tail.tail.at(this.#tail.position) === undefined) this.#load()
      else this.onReady()
    })
  }

  #load(): undefined {
    if (this.#loading) return undefined
    this.#loading = true
    this.#stale = false
    void this.#readPage()
      .catch((error: unknown) => {
        this.error = AppError.is(error) ? error : new AppError('store_unavailable', { cause: error })
      })
      .finally(() => {
        this.#loading = false
        if (this.#detached) return
        const found = this.#page.length > 0 || this.ended || this.error !== undefined
        // Nothing in the store, but the tail may have come to where we are while we looked.
        if (found || this.#stale || (!this.#following && this.#follow())) this.onReady()
      })
    return undefined
  }

  async #readPage(): Promise<void> {
    const { store } = this.#options
    const found = await store.log.read({
      run_id: this.runId,
      after: this.#after,
      max_batches: batchesPerLoad,
    })
    if (found.pruned) throw prunedError(found.oldest)
    if (found.events.length === 0) return this.#checkEnd()
    const placed = await store.items.withIds(this.runId, itemIdsOf(found.events))
    const items = new Map(placed.map(({ item }) => [item.id, item]))
    const page = toLoggedEvents({ stored: found.events, items, after: this.#after })
    this.#metSuspension ||= page.some(({ type }) => type === 'run.suspend')
    this.#pageSuspends = this.#metSuspension && (await this.#isSuspendedAt(page.at(-1)?.seq))
    this.#page = page
    this.#taken = 0
    // The tail is looked at anew behind the page.
    this.#following = false
  }

  async #isSuspendedAt(seq: number | undefined): Promise<boolean> {
    const run = await this.#options.store.runs.load(this.runId)
    return run?.status === 'suspended' && run.last_seq === seq
  }

  async #checkEnd(): Promise<void> {
    const run = await this.#options.store.runs.load(this.runId)
    if (!run) throw new AppError('run_not_found')
    if (isTerminal(run.status) && run.last_seq <= this.#after) this.ended = true
  }
}

function prunedError(oldest: number | null): AppError {
  return new AppError('log_pruned', { details: { oldest } })
}
