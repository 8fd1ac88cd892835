import { setImmediate } from 'node:timers/promises'
import type { LanguageModelV4, LanguageModelV4StreamPart } from '@ai-sdk/provider'
import type { Clock } from '../../clock.ts'
import { AppError } from '../../errors.ts'
import type { ModelPart, ModelReply, ModelRequest } from '../model.ts'
import { maxReplyParts } from '../reply-limits.ts'
import { blotSecrets } from '../provider-secrets.ts'
import { toModelError } from './ai-sdk-error.ts'
import { encodeCall } from './call-options.ts'
import { ReplyDecoder } from './reply-decoder.ts'

/** A language model and what must not be seen in its errors. */
export interface OpenLanguageModel {
  languageModel: LanguageModelV4
  secrets: readonly string[]
}

export interface ReplyReaderOptions {
  open: () => Promise<OpenLanguageModel>
  request: ModelRequest
  /** Whose `providerData`. */
  provider: string
  emit: (part: ModelPart) => void
  signal: AbortSignal
  resolve: (reply: ModelReply) => void
  reject: (error: unknown) => void
  stallTimeoutMs: number
  clock: Clock
}

/** How much is taken at once: what came in one piece has many parts, and no turn for others between them. */
const charsPerTurn = 32_768

type Reader = ReadableStreamDefaultReader<LanguageModelV4StreamPart>

/** One call of a language model, from the request to the last part. */
export class ReplyReader {
  readonly #options: ReplyReaderOptions
  readonly #decoder: ReplyDecoder
  /** Stops the language model: the caller's signal, a failure or silence. */
  readonly #stop = new AbortController()
  #secrets: readonly string[] = []
  #reader: Reader | undefined
  /** The promise is settled. */
  #over = false
  /** The stream is read to its end, or nobody reads it any more. */
  #closed = false
  #lastPartAt: number
  #forgetTimer: () => void = () => {}
  readonly #onAbort = () => this.#fail(this.#options.signal.reason)

  constructor(options: ReplyReaderOptions) {
    const { emit, clock } = options
    this.#options = options
    this.#decoder = new ReplyDecoder({ emit, now: () => clock.now() })
    this.#lastPartAt = clock.monotonic()
  }

  start(): void {
    const { signal, stallTimeoutMs } = this.#options
    if (signal.aborted) return this.#onAbort()
    signal.addEventListener('abort', this.#onAbort)
    this.#watch(stallTimeoutMs)
    this.#run().catch((error: unknown) => this.#fail(error))
  }

  async #run(): Promise<void> {
    const { open, request, provider } = this.#options
    const { languageModel, secrets } = await open()
    this.#secrets = secrets
    if (this.#over) return
    const call = await encodeCall(request, { languageModel, provider, signal: this.#stop.signal })
    if (this.#over) return
    const { stream } = await languageModel.doStream(call)
    this.#reader = stream.getReader()
    // A model that does not heed the signal answers all the same.
    if (this.#over) return this.#cancel()
    await this.#read(this.#reader)
  }

  async #read(reader: Reader): Promise<void> {
    const { clock } = this.#options
    let parts = 0
    let turnAt = 0
    for (;;) {
      if (this.#decoder.size - turnAt > charsPerTurn) {
        turnAt = this.#decoder.size
        await setImmediate()
      }
      const { done, value } = await reader.read()
      if (this.#closed) return
      if (done) return this.#onEnd()
      if (++parts > maxReplyParts) return this.#failWith('the reply has too many parts')
      // The rest is read all the same, so that the connection can serve the next request.
      if (this.#over) continue
      this.#lastPartAt = clock.monotonic()
      this.#push(value)
    }
  }

  #push(part: LanguageModelV4StreamPart): void {
    try {
      this.#decoder.push(part)
      if (this.#decoder.finished && !this.#over) this.#succeed()
    } catch (error) {
      // A part that has not the shape it should have.
      this.#fail(AppError.is(error) ? error : new AppError('model_bad_response', { cause: error }))
    }
  }

  #onEnd(): void {
    if (this.#over) this.#close()
    else this.#failWith('the reply ended before it was finished')
  }

  #succeed(): void {
    const reply = this.#decoder.end()
    if (this.#over) return
    this.#settle()
    this.#options.resolve(reply)
  }

  #failWith(why: string): void {
    this.#fail(new AppError('model_bad_response', { cause: new Error(why) }))
  }

  #fail(error: unknown): void {
    this.#close()
    this.#cancel()
    if (this.#over) return
    const { signal, clock, reject } = this.#options
    this.#settle()
    const failure = signal.aborted ? error : toModelError(error, clock.now())
    blotSecrets(failure, this.#secrets)
    reject(failure)
  }

  #settle(): void {
    this.#over = true
    this.#options.signal.removeEventListener('abort', this.#onAbort)
  }

  #close(): void {
    this.#closed = true
    this.#forgetTimer()
  }

  #cancel(): void {
    this.#stop.abort()
    // Whether a stream that nobody reads any more could be closed well changes nothing.
    this.#reader?.cancel().catch(() => undefined)
  }

  /** One timer for the whole reply: it looks how long the silence is, instead of being set anew with each part. */
  #watch(ms: number): void {
    const { clock, stallTimeoutMs } = this.#options
    this.#forgetTimer = clock.after(ms, () => {
      const rest = stallTimeoutMs - (clock.monotonic() - this.#lastPartAt)
      if (rest > 0) this.#watch(rest)
      else if (this.#over) {
        this.#close()
        this.#cancel()
      } else
        this.#fail(new AppError('model_timeout', { cause: new Error(`silent for ${stallTimeoutMs} ms`) }))
    })
  }
}
