import type { RunEvent } from '../../src/events.ts'
import type { LogReader } from '../../src/runs/runs.ts'

/** A log reader that a test feeds by hand. */
export interface FakeReader extends LogReader {
  /** Appends events and tells the reader's owner once. */
  feed(...events: RunEvent[]): void
  fail(error: Error): void
  /** How many events were taken. */
  readonly taken: number
  /** How it was detached. */
  readonly left: Promise<'client' | 'server'>
}

export function createFakeReader(...first: RunEvent[]): FakeReader {
  const waiting = [...first]
  const gone = Promise.withResolvers<'client' | 'server'>()
  let taken = 0
  const reader: FakeReader = {
    runId: 'run_fake',
    ended: false,
    error: undefined,
    onReady: () => {},
    left: gone.promise,
    get taken() {
      return taken
    },
    take() {
      const event = waiting.shift()
      if (!event) return undefined
      taken++
      if (event.type === 'run.end' || event.type === 'run.suspend') Object.assign(reader, { ended: true })
      return event
    },
    feed(...events) {
      waiting.push(...events)
      reader.onReady()
    },
    fail(error) {
      Object.assign(reader, { error })
      reader.onReady()
    },
    detach: (left) => gone.resolve(left),
  }
  return reader
}

export function delta(seq: number, text: string): RunEvent {
  return { seq, type: 'text.delta', item_id: 'item_1', delta: text }
}

export function end(seq: number): RunEvent {
  return {
    seq,
    type: 'run.end',
    status: 'completed',
    stop_reason: 'final',
    output: ['item_1'],
    usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 },
    steps: 1,
    error: null,
  }
}
