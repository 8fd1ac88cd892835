import type { IncomingHttpHeaders } from 'node:http'
import type { Clock } from '../../clock.ts'
import { AppError } from '../../errors.ts'
import type { ModelPart, ModelReply } from '../model.ts'
import type { ConnectionPool, PendingPost, PostOptions, ResponseHandler } from './connection-pool.ts'
import { errorFromNetwork, errorFromResponse } from '../provider-error.ts'
import { maxErrorBytes, maxReplyBytes, maxReplyParts } from '../reply-limits.ts'
import { blotSecrets } from '../provider-secrets.ts'
import { ReplyDecoder } from './reply-decoder.ts'
import { SseParser } from './sse-parser.ts'

export interface ReplyStreamOptions {
  emit: (part: ModelPart) => void
  signal: AbortSignal
  resolve: (reply: ModelReply) => void
  reject: (error: unknown) => void
  stallTimeoutMs: number
  clock: Clock
  /** Blotted out wherever a provider repeats them. */
  secrets: readonly string[]
}

const errorBodyTimeoutMs = 5000

/** `start`: nothing is known of the body yet. `error`: its status was not 2xx. `over`: nothing matters any more. */
type Mode = 'start' | 'events' | 'completion' | 'error' | 'over'

/** One call of a model, from the request to the last part. Everything happens within the socket's callbacks. */
export class ReplyStream implements ResponseHandler {
  readonly #options: ReplyStreamOptions
  readonly #decoder: ReplyDecoder
  readonly #parser: SseParser
  #mode: Mode = 'start'
  #post: PendingPost | undefined
  #status = 0
  #headers: IncomingHttpHeaders = {}
  /** The body, where it can only be read as a whole. */
  #body: Buffer[] = []
  #received = 0
  #parts = 0
  #lastByteAt: number
  #forgetTimer: () => void = () => {}
  readonly #onAbort = () => this.#fail(this.#options.signal.reason)

  constructor(options: ReplyStreamOptions) {
    const emit = (part: ModelPart) => {
      if (++this.#parts > maxReplyParts) throw badResponse('the reply has too many parts')
      options.emit(part)
    }
    this.#options = options
    this.#decoder = new ReplyDecoder(emit)
    this.#parser = new SseParser({ onEvent: (data, name) => this.#onEvent(data, name) })
    this.#lastByteAt = options.clock.monotonic()
  }

  start(connections: ConnectionPool, post: PostOptions): void {
    const { signal, stallTimeoutMs } = this.#options
    if (signal.aborted) return this.#onAbort()
    signal.addEventListener('abort', this.#onAbort)
    this.#watch(stallTimeoutMs)
    try {
      this.#post = connections.post(post)
    } catch (error) {
      this.#fail(error)
    }
  }

  onResponse(status: number, headers: IncomingHttpHeaders): void {
    if (this.#mode === 'over') return
    this.#lastByteAt = this.#options.clock.monotonic()
    this.#status = status
    this.#headers = headers
    if (status >= 200 && status < 300) return
    this.#mode = 'error'
    this.#forgetTimer()
    const wait = Math.min(errorBodyTimeoutMs, this.#options.stallTimeoutMs)
    this.#forgetTimer = this.#options.clock.after(wait, () => this.#refuse())
  }

  onData(chunk: Buffer): void {
    if (this.#mode === 'over') return
    this.#lastByteAt = this.#options.clock.monotonic()
    this.#received += chunk.length
    if (this.#received > maxReplyBytes) return this.#failWith('the reply is too large')
    try {
      if (this.#mode === 'events') this.#parser.push(chunk)
      else this.#firstData(chunk)
    } catch (error) {
      this.#fail(error)
    }
  }

  onEnd(): void {
    if (this.#mode === 'over') return this.#forgetTimer()
    if (this.#mode === 'error') return this.#refuse()
    try {
      if (this.#mode === 'completion') this.#decoder.pushCompletion(this.#text())
      else this.#parser.end()
    } catch (error) {
      return this.#fail(error)
    }
    if (this.#isOver()) return
    if (this.#decoder.complete) this.#succeed()
    else this.#failWith('the reply ended before it was finished')
  }

  onError(error: Error): void {
    if (this.#mode === 'over') return this.#forgetTimer()
    if (this.#mode === 'error') this.#refuse()
    else if (this.#decoder.complete) this.#succeed()
    else this.#fail(errorFromNetwork(error))
  }

  /** Decides by its first character whether a body is a stream or one completion: servers err about its type. */
  #firstData(chunk: Buffer): void {
    if (this.#mode === 'error') {
      this.#body.push(chunk)
      if (this.#received > maxErrorBytes) this.#refuse()
      return
    }
    if (this.#mode === 'start') {
      const first = chunk.find((byte) => byte > 0x20)
      if (first === 0x7b) this.#mode = 'completion'
      else if (first !== undefined) this.#mode = 'events'
    }
    if (this.#mode === 'events') this.#parser.push(chunk)
    else if (this.#mode === 'completion') this.#body.push(chunk)
  }

  #onEvent(data: string, name: string): void {
    this.#decoder.pushEvent(data, name)
    if (!this.#decoder.done || this.#isOver()) return
    this.#parser.stop()
    // The body may end a little later; the timer stays and closes a socket that is not given back.
    if (this.#decoder.complete) this.#succeed()
    else this.#failWith('the reply is empty')
  }

  /** A getter's work, as a method: TypeScript believes that a field it has just compared cannot change under a call. */
  #isOver(): boolean {
    return this.#mode === 'over'
  }

  #succeed(): void {
    let reply: ModelReply
    try {
      reply = this.#decoder.end()
    } catch (error) {
      return this.#fail(error)
    }
    if (this.#isOver()) return
    this.#close()
    this.#options.resolve(reply)
  }

  #refuse(): void {
    const { clock } = this.#options
    this.#fail(
      errorFromResponse({
        status: this.#status,
        headers: this.#headers,
        body: this.#text(),
        now: clock.now(),
      }),
    )
  }

  #failWith(why: string): void {
    this.#fail(badResponse(why))
  }

  #fail(error: unknown): void {
    if (this.#mode === 'over') return
    this.#close()
    this.#forgetTimer()
    this.#parser.stop()
    this.#post?.destroy()
    blotSecrets(error, this.#options.secrets)
    this.#options.reject(error)
  }

  #close(): void {
    this.#mode = 'over'
    this.#body = []
    this.#options.signal.removeEventListener('abort', this.#onAbort)
  }

  #text(): string {
    return Buffer.concat(this.#body).toString('utf8')
  }

  /** One timer for the whole reply: it looks how long the silence is, instead of being set anew with each token. */
  #watch(ms: number): void {
    const { clock, stallTimeoutMs } = this.#options
    this.#forgetTimer = clock.after(ms, () => {
      const rest = stallTimeoutMs - (clock.monotonic() - this.#lastByteAt)
      if (this.#mode === 'over') this.#post?.destroy()
      else if (rest > 0) this.#watch(rest)
      else if (this.#decoder.complete) {
        this.#succeed()
        this.#post?.destroy()
      } else
        this.#fail(new AppError('model_timeout', { cause: new Error(`silent for ${stallTimeoutMs} ms`) }))
    })
  }
}

function badResponse(why: string): AppError {
  return new AppError('model_bad_response', { cause: new Error(why) })
}
