import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { RunEvent } from '../events.ts'
import type { LogReader } from '../runs/runs.ts'
import { onClientGone, type HttpContext } from './request.ts'
import type { OpenStream, Streams } from './streams.ts'

export type Collected =
  /**
   * The stream is at its end: the run's own, or its suspension. `last`: the event there. `texts`: what was streamed, by item;
   * items whose beginning the reader missed are left out.
   */
  | { outcome: 'ended'; last: RunEvent | undefined; texts: ReadonlyMap<string, string> }
  /** The time is over, or the node shuts down; the run goes on. */
  | { outcome: 'waiting' }
  /** The client left: nobody reads the answer. */
  | { outcome: 'gone' }

export interface CollectOptions {
  context: HttpContext
  reader: LogReader
  clock: Clock
  waitMs: number
  streams: Streams
}

/** Reads a stream to its end: how an answer that is not streamed comes to be. Rejects with the reader's error. */
export function collect(options: CollectOptions): Promise<Collected> {
  const { context, reader, clock, waitMs, streams } = options
  return new Promise((resolve, reject) => {
    const texts = new Map<string, string>()
    let last: RunEvent | undefined
    let over = false

    const finish = (collected: Collected, left: 'client' | 'server' = 'server') => {
      if (over) return
      over = true
      release(left)
      resolve(collected)
    }
    const open: OpenStream = { idleTicks: 0, beat: () => {}, end: () => finish({ outcome: 'waiting' }) }
    const release = (left: 'client' | 'server') => {
      streams.remove(open)
      stopTimer()
      forgetClient()
      reader.detach(left)
    }
    const read = () => {
      if (over) return
      for (let event = reader.take(); event; event = reader.take()) {
        keepText(texts, event)
        last = event
      }
      if (reader.ended) return finish({ outcome: 'ended', last, texts })
      if (!reader.error) return
      over = true
      release('server')
      reject(AppError.from(reader.error))
    }

    let stopTimer = () => {}
    let forgetClient = () => {}
    reader.onReady = read
    read()
    if (over) return
    stopTimer = clock.after(waitMs, () => finish({ outcome: 'waiting' }))
    streams.add(open)
    forgetClient = onClientGone(context, () => finish({ outcome: 'gone' }, 'client'))
    // The client had left before we listened.
    if (over) release('client')
  })
}

function keepText(texts: Map<string, string>, event: RunEvent): void {
  if (event.type === 'text.delta') {
    const before = texts.get(event.item_id)
    if (before !== undefined) texts.set(event.item_id, before + event.delta)
  } else if (event.type === 'text.start') texts.set(event.item_id, '')
}

/** The answer's text, where all of its items were seen from their beginning. */
export function textOfItems(texts: ReadonlyMap<string, string>, ids: readonly string[]): string | undefined {
  let text = ''
  for (const id of ids) {
    const part = texts.get(id)
    if (part === undefined) return undefined
    text += part
  }
  return text
}
