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

/**
 * Moves text from a reader to a sink. Synchronous: all that is ready goes out in one write, and nothing is taken from the
 * reader while the sink is full.
 */
export class StreamPump implements OpenStream {
  idleTicks = 0
  readonly #options: PumpOptions
  readonly #closers: (() => void)[] = []
  #sink: Sink | undefined
  /** Also until the sink asks for the first time. */
  #full = true
  #over = false
  #first: RunEvent | undefined

  constructor(options: PumpOptions) {
    this.#options = options
    this.#first = options.first
  }

  /** Called by the sink, once. It counts as full until it calls `run`. */
  start(sink: Sink): void {
    // The client had left before.
    if (this.#over) return sink.close()
    this.#sink = sink
    const { reader, streams } = this.#options
    streams.add(this)
    const goOn = () => {
      if (!this.#full) this.run()
    }
    reader.onReady = goOn
  }

  /** The sink has room. An encoder that throws must not take the process with it: its stream breaks as an internal error. */
  run(): void {
    if (this.#over) return
    const { encoder, streams, request } = this.#options
    try {
      this.#pump()
    } catch (error) {
      streams.report(error, request)
      this.#write(encoder.fail(new AppError('internal', { cause: error })))
      this.#finish('server')
    }
  }

  /** The client is gone. */
  leave(): void {
    this.#finish('client')
  }

  /** Calls when the stream is over, in whatever way; at once where it is. */
  onOver(call: () => void): void {
    if (this.#over) call()
    else this.#closers.push(call)
  }

  beat(): void {
    if (this.#options.heartbeat && !this.#full) this.#write(': hb\n')
  }

  /** The node shuts down: no terminal event, since the run goes on elsewhere or later, but a word that says so. */
  end(): void {
    if (this.#over) return
    this.#write(this.#options.encoder.fail(new AppError('draining')))
    this.#finish('server')
  }

  #pump(): void {
    this.#full = false
    while (!this.#over && !this.#full) {
      const text = this.#take()
      if (text.length >= maxWrite) {
        this.#write(text)
        continue
      }
      const ending = endOf(this.#options)
      if (text !== '' || ending) this.#write(text + (ending ?? ''))
      if (ending !== undefined) this.#finish('server')
      return
    }
  }

  /** What is ready, at most about one write of it. */
  #take(): string {
    const { reader, encoder } = this.#options
    let text = ''
    if (this.#first) {
      text = encoder.push(this.#first)
      this.#first = undefined
    }
    while (text.length < maxWrite) {
      const event = reader.take()
      if (event === undefined) break
      text += encoder.push(event)
    }
    return text
  }

  #write(text: string): void {
    this.idleTicks = 0
    this.#full = this.#sink?.write(text) === false
  }

  #finish(left: 'client' | 'server'): void {
    if (this.#over) return
    this.#over = true
    const { streams, reader, request } = this.#options
    streams.remove(this)
    reader.detach(left)
    if (left === 'server') this.#sink?.close()
    for (const close of this.#closers) close()
    request.end(left === 'client' ? 499 : 200)
  }
}

/** The text that ends the stream, where it ends now. */
function endOf({ encoder, reader }: PumpOptions): string | undefined {
  if (reader.error) return encoder.fail(AppError.from(reader.error))
  return reader.ended ? encoder.end() : undefined
}
