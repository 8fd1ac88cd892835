import { AppError } from '../errors.ts'
import type { RunEvent } from '../events.ts'
import type { LogReader } from '../runs/runs.ts'
import type { Encoder } from './encoder.ts'
import type { RequestState } from './request.ts'
import type { OpenStream, Streams } from './streams.ts'

/** Where the text goes. */
export interface Sink {
  /** Takes text in one piece. False: it is full, and will call `pump.run` when it has room. */
  write(text: string): boolean
  /** No more text comes. */
  close(): void
}

/**
 * Moves text from a reader to a sink. Synchronous: all that is ready goes out in one write, and nothing is taken from the
 * reader while the sink is full.
 */
export interface Pump {
  /** Called by the sink, once. It counts as full until it calls `run`. */
  start(sink: Sink): void
  /** The sink has room. */
  run(): void
  /** The client is gone. */
  leave(): void
  /** Called when the stream is over, in whatever way. */
  onOver(call: () => void): void
}

export interface PumpOptions {
  reader: LogReader
  encoder: Encoder
  streams: Streams
  request: RequestState
  /** An event that was taken from the reader before. */
  first: RunEvent | undefined
  heartbeat: boolean
}

/** More than this goes out in several writes, so that a long replay looks at the sink between them. In UTF-16 units. */
const maxWrite = 64 * 1024

export function createPump(options: PumpOptions): Pump {
  const { reader, encoder, streams, request } = options
  const closers: (() => void)[] = []
  let { first } = options
  let sink: Sink | undefined
  let full = true
  let over = false

  const open: OpenStream = {
    idleTicks: 0,
    beat() {
      if (options.heartbeat && !full) write(': hb\n')
    },
    end: () => finish('server'),
  }

  function write(text: string): void {
    open.idleTicks = 0
    full = sink?.write(text) === false
  }

  function finish(left: 'client' | 'server'): void {
    if (over) return
    over = true
    streams.remove(open)
    reader.detach(left)
    if (left === 'server') sink?.close()
    for (const close of closers) close()
    request.end(left === 'client' ? 499 : 200)
  }

  /** What is ready, at most about one write of it. */
  function take(): string {
    let text = ''
    if (first) {
      text = encoder.push(first)
      first = undefined
    }
    while (text.length < maxWrite) {
      const event = reader.take()
      if (event === undefined) break
      text += encoder.push(event)
    }
    return text
  }

  function pump(): void {
    full = false
    while (!over && !full) {
      const text = take()
      if (text.length >= maxWrite) {
        write(text)
        continue
      }
      const ending = endOf(encoder, reader)
      if (text !== '' || ending) write(text + (ending ?? ''))
      if (ending !== undefined) finish('server')
      return
    }
  }

  /** An encoder that throws must not take the process with it: its stream breaks as an internal error. */
  function run(): void {
    if (over) return
    try {
      pump()
    } catch (error) {
      streams.report(error, request)
      write(encoder.fail(new AppError('internal', { cause: error })))
      finish('server')
    }
  }

  return {
    start(opened) {
      // The client had left before.
      if (over) return opened.close()
      sink = opened
      streams.add(open)
      reader.onReady = () => {
        if (!full) run()
      }
    },
    run,
    leave: () => finish('client'),
    onOver(call) {
      if (over) call()
      else closers.push(call)
    },
  }
}

/** The text that ends the stream, where it ends now. */
function endOf(encoder: Encoder, reader: LogReader): string | undefined {
  if (reader.error) return encoder.fail(AppError.from(reader.error))
  return reader.ended ? encoder.end() : undefined
}
