import type { RunEvent } from '../../events.ts'
import type { Tail, TailReader, Tails, TailWriter } from '../tail.ts'

export interface InProcessTailsOptions {
  /** How many committed entries of a run are held for readers that lag. Default 1,024. */
  maxCommitted?: number
}

/**
 * The tails of this process's runs.
 *
 * A reader keeps what it has not passed, so where it lags by more than `maxCommitted` committed entries it falls out of the
 * tail and reads the store. Positions belong to one writer: when the next attempt opens, whatever readers stood on is
 * below `start()`, and they look into the store, where something between the attempts (a decision) may have come.
 */
export function createInProcessTails(options: InProcessTailsOptions = {}): Tails {
  const maxCommitted = options.maxCommitted ?? 1024
  const runs = new Map<string, RunTail>()

  const join = (runId: string): RunTail => {
    const held = runs.get(runId)
    if (held) return held
    const tail = new RunTail({
      runId,
      maxCommitted,
      // A wake-up of the old one may have made a new one by now.
      release: () => runs.get(runId) === tail && runs.delete(runId),
    })
    runs.set(runId, tail)
    return tail
  }

  return {
    open: (runId) => join(runId).open(),
    attach: (runId) => join(runId).attach(),
    wake: (runId) => runs.get(runId)?.wake(),
    size: () => runs.size,
  }
}

/** Below this many dead slots the array is left as it is; above, it is cut when they are half of it. */
const minDeadSlots = 64

class RunTail implements Tail {
  readonly runId: string
  readonly #maxCommitted: number
  readonly #release: () => unknown
  #writer: RunTailWriter | undefined
  /** Never changed in place: a wake-up goes through it while readers come and go. */
  #readers: readonly RunTailReader[] = []
  #entries: RunEvent[] = []
  /** Absolute position of `#entries[0]`, which may be forgotten already. */
  #base = 0
  /** Absolute position of the oldest entry held. */
  #start = 0
  /** Absolute position of the first entry that is not known to be committed. */
  #committedEnd = 0
  #committedSeq = 0
  /** Positions of uncommitted entries that a close dropped: they are not given out again. */
  #dropped = 0

  constructor(options: { runId: string; maxCommitted: number; release: () => unknown }) {
    this.runId = options.runId
    this.#maxCommitted = options.maxCommitted
    this.#release = options.release
  }

  start(): number {
    return this.#start
  }

  end(): number {
    return this.#base + this.#entries.length + this.#dropped
  }

  at(position: number): RunEvent | undefined {
    return position < this.#start ? undefined : this.#entries[position - this.#base]
  }

  firstSeq(): number {
    for (let i = this.#start - this.#base; i < this.#entries.length; i++) {
      const seq = seqOf(this.#entries[i])
      if (seq !== undefined) return seq
    }
    return Infinity
  }

  positionAfter(after: number): number {
    let low = this.#start - this.#base
    let high = this.#entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      // Progress has no number: it stands for the numbered entry before it.
      let numbered = middle
      while (numbered >= low && seqOf(this.#entries[numbered]) === undefined) numbered--
      if (numbered < low) low = middle + 1
      else if ((seqOf(this.#entries[numbered]) ?? 0) > after) high = numbered
      else low = middle + 1
    }
    return high === this.#entries.length ? this.end() : this.#base + high
  }

  open(): TailWriter {
    const next = this.end()
    // A tail that held anything before leaves a gap of one, so that nobody slides from one attempt into the next.
    this.#restart(next === 0 ? 0 : next + 1)
    this.#writer = new RunTailWriter(this)
    this.wake()
    return this.#writer
  }

  attach(): TailReader {
    const reader = new RunTailReader(this, this.#start)
    this.#readers = [...this.#readers, reader]
    return reader
  }

  wake(): void {
    const readers = this.#readers
    for (let i = 0; i < readers.length; i++) readers[i]?.onWake?.()
  }

  isWriter(writer: RunTailWriter): boolean {
    return this.#writer === writer
  }

  append(event: RunEvent): void {
    this.#entries.push(event)
    // No commit comes for progress, so it is forgotten here.
    if (event.type === 'tool.progress') this.#forget()
    this.wake()
  }

  committed(seq: number): void {
    if (seq > this.#committedSeq) this.#committedSeq = seq
    this.#forget()
  }

  closeWriter(): void {
    this.#writer = undefined
    this.#advance()
    const kept = this.#committedEnd - this.#base
    this.#dropped = this.#entries.length - kept
    this.#entries.length = kept
    this.#forget()
    this.wake()
    this.#releaseIfIdle()
  }

  /** While there is a writer, its commits make room; afterwards only the readers can. */
  readerMoved(position: number): void {
    if (this.#writer === undefined && position >= this.#committedEnd) this.#forget()
  }

  detach(reader: RunTailReader): void {
    if (!this.#readers.includes(reader)) return
    this.#readers = this.#readers.filter((other) => other !== reader)
    reader.onWake = undefined
    this.#forget()
    this.#releaseIfIdle()
  }

  #restart(position: number): void {
    this.#entries = []
    this.#base = position
    this.#start = position
    this.#committedEnd = position
    this.#committedSeq = 0
    this.#dropped = 0
  }

  #advance(): void {
    let i = this.#committedEnd - this.#base
    for (; i < this.#entries.length; i++) {
      const seq = seqOf(this.#entries[i])
      if (seq !== undefined && seq > this.#committedSeq) break
    }
    this.#committedEnd = this.#base + i
  }

  #forget(): void {
    this.#advance()
    const floor = this.#committedEnd - this.#maxCommitted
    let start = this.#committedEnd
    for (const reader of this.#readers) {
      if (reader.position < start) start = reader.position
      if (start <= this.#start) break
    }
    if (start < floor) start = floor
    if (start <= this.#start) return
    this.#start = start
    const dead = start - this.#base
    if (dead === this.#entries.length) this.#entries = []
    else if (dead >= minDeadSlots && dead * 2 >= this.#entries.length) this.#entries.splice(0, dead)
    else return
    this.#base = start
  }

  #releaseIfIdle(): void {
    if (this.#writer === undefined && this.#readers.length === 0) this.#release()
  }
}

/** Its calls do nothing once it was closed or replaced. */
class RunTailWriter implements TailWriter {
  readonly #tail: RunTail

  constructor(tail: RunTail) {
    this.#tail = tail
  }

  append(event: RunEvent): void {
    if (this.#tail.isWriter(this)) this.#tail.append(event)
  }

  committed(seq: number): void {
    if (this.#tail.isWriter(this)) this.#tail.committed(seq)
  }

  close(): void {
    if (this.#tail.isWriter(this)) this.#tail.closeWriter()
  }
}

class RunTailReader implements TailReader {
  readonly tail: RunTail
  onWake: (() => void) | undefined = undefined
  #position: number

  constructor(tail: RunTail, position: number) {
    this.tail = tail
    this.#position = position
  }

  get position(): number {
    return this.#position
  }

  set position(position: number) {
    this.#position = position
    this.tail.readerMoved(position)
  }

  detach(): void {
    this.tail.detach(this)
  }
}

function seqOf(event: RunEvent | undefined): number | undefined {
  return event === undefined || event.type === 'tool.progress' ? undefined : event.seq
}
