import { AsyncLocalStorage } from 'node:async_hooks'
import type { Answer, Question, ToolContext } from '../../agent/definitions.ts'
import type { Clock } from '../../clock.ts'
import { CallCut, CallTimeout, UnreadableAnswer } from './call-faults.ts'

/** One request of a call. A call has several where the server asks between them (revision 2026-07-28). */
export interface Exchange {
  readonly call: ActiveCall
  /** Fires when it has its answer, or will never. */
  readonly over: AbortSignal
  /** The stream the answer was to come on has ended. Harmless after the answer. */
  streamEnded(): void
}

/**
 * The request that is being sent or whose response is being read. Over HTTP each request has a stream of its own, and the
 * client reads it in the context it was sent in: so a server's question on that stream names its call.
 */
export const currentExchange = new AsyncLocalStorage<Exchange>()

export interface ActiveCallOptions {
  /** The server's name of the tool. */
  toolName: string
  context: Pick<ToolContext, 'signal' | 'ask' | 'progress'>
  clock: Clock
  /** For all of the call, however much progress there is. */
  totalMs: number
}

/** How long a server may take to end a call whose question went to a person, before it is told that nobody waits. */
const farewellMs = 1_000

/** One `tools/call` on its way: what may end it early, and whom its questions go to. */
export class ActiveCall {
  readonly toolName: string
  /** Fires when the server is to be told that nobody waits any more. */
  readonly signal: AbortSignal
  /** Rejects as soon as the call is given up, with what the caller is to see. Never resolves. */
  readonly givenUp: Promise<never>

  readonly #options: ActiveCallOptions
  readonly #controller = new AbortController()
  readonly #giveUp: (error: unknown) => void
  readonly #forgets: (() => void)[] = []
  #isGivenUp = false
  #isAsking = false

  constructor(options: ActiveCallOptions) {
    this.#options = options
    this.toolName = options.toolName
    this.signal = this.#controller.signal
    const { promise, reject } = Promise.withResolvers<never>()
    this.givenUp = promise
    this.#giveUp = (error) => {
      this.#isGivenUp = true
      reject(error)
    }
    // Nobody may be listening when it is given up: a call that had its answer a moment before.
    promise.catch(() => undefined)
    const { context, clock, totalMs } = options
    const cancel = () => {
      // A run that is suspended by a question fires the signal, too.
      if (this.#isAsking) this.#leave(context.signal.reason)
      else this.#end(context.signal.reason, 'The call was cancelled.')
    }
    context.signal.addEventListener('abort', cancel)
    this.#forgets.push(
      () => context.signal.removeEventListener('abort', cancel),
      clock.after(totalMs, () => this.#end(new CallTimeout(totalMs), 'The call took too long.')),
    )
    if (context.signal.aborted) cancel()
  }

  /** Nobody waits for it any more. The server may not have ended it yet. */
  get isGivenUp(): boolean {
    return this.#isGivenUp
  }

  /** The stream its answer was to come on is gone. */
  cut(): void {
    this.#end(new CallCut({ untouched: false }), 'The connection was lost.')
  }

  /** Nobody reads its answer to the end. */
  outgrown(maxBytes: number): void {
    const message = `The answer of the server is larger than ${maxBytes / 2 ** 20} MB.`
    this.#end(new UnreadableAnswer({ message }), message)
  }

  showProgress: ToolContext['progress'] = (progress) => this.#options.context.progress(progress)

  /**
   * Puts a question of the server to a person. Where that suspends the run the rejection ends the call as it is, and the
   * server has a moment to end it by itself.
   */
  async ask(question: Question): Promise<Answer> {
    this.#isAsking = true
    try {
      return await this.#options.context.ask(question)
    } catch (error) {
      this.#leave(error)
      throw error
    } finally {
      this.#isAsking = false
    }
  }

  /** The server answered, or will never. */
  close(): void {
    for (const forget of this.#forgets.splice(0)) forget()
  }

  #leave(error: unknown): void {
    if (this.#isGivenUp) return
    this.#giveUp(error)
    const reason = 'The question went to a person. The call will be made again.'
    this.#forgets.push(this.#options.clock.after(farewellMs, () => this.#controller.abort(reason)))
  }

  #end(error: unknown, reason: string): void {
    this.#giveUp(error)
    this.#controller.abort(reason)
  }
}
