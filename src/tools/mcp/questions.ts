import { z } from 'zod'
import type { ElicitResult } from '@modelcontextprotocol/client'
import type { Answer } from '../../agent/definitions.ts'
import type { ActiveCall } from './active-call.ts'

/** A question of the server, as both protocol versions write it: `params` of `elicitation/create`. */
export const elicitationSchema = z.looseObject({
  message: z.string(),
  mode: z.string().optional(),
  requestedSchema: z.record(z.string(), z.unknown()).optional(),
})

export type Elicitation = z.output<typeof elicitationSchema>

interface HeldQuestion {
  elicitation: Elicitation
  /** The calls it can belong to. */
  candidates: Set<ActiveCall>
  resolve: (answer: Promise<ElicitResult>) => void
  reject: (error: Error) => void
}

/** What the server is told. Most servers give it on as the text of a failed call, for the model to read. */
export class UnclearQuestion extends Error {
  constructor() {
    super('It is not clear which call this question belongs to. Call the tool again.')
    this.name = 'UnclearQuestion'
  }
}

/**
 * Finds the call a question belongs to on a channel that many calls share: the standard streams of a program, and what a
 * server sends over HTTP apart from the stream of a call. Revision 2025-11-25 does not say, so it is worked out: a call
 * that waits for an answer cannot end, so the question is held until all calls but one have ended that were under way when
 * it came. A question that cannot be told apart that way is refused. It never goes to a call on suspicion, because calls
 * of several users share the channel.
 */
export class SharedQuestions {
  readonly #calls: ReadonlySet<ActiveCall>
  readonly #held = new Set<HeldQuestion>()
  readonly #askers = new Set<string>()
  readonly #onUnclear: () => void
  #abandoned = false
  #turn: Promise<unknown> = Promise.resolve()

  /** `calls` are those under way, kept by the connection. `onUnclear`: this connection can tell nothing apart any more. */
  constructor(options: { calls: ReadonlySet<ActiveCall>; onUnclear: () => void }) {
    this.#calls = options.calls
    this.#onUnclear = options.onUnclear
  }

  /** Rejects with `UnclearQuestion`, and with what ends the call it belongs to. */
  answer(elicitation: Elicitation, signal: AbortSignal): Promise<ElicitResult> {
    return new Promise((resolve, reject) => {
      const question: HeldQuestion = { elicitation, candidates: new Set(this.#calls), resolve, reject }
      this.#held.add(question)
      // The server does not wait any more.
      signal.addEventListener('abort', () => this.#drop(question), { once: true })
      // An answer that came just before is still on its way through promises: that call is no candidate any more.
      setImmediate(() => this.#decide())
    })
  }

  /** To be told of every call that leaves `calls`. `abandoned`: the server has not answered it and may still work on it. */
  ended(call: ActiveCall, abandoned: boolean): void {
    this.#abandoned ||= abandoned
    for (const question of this.#held) question.candidates.delete(call)
    this.#decide()
  }

  /** Calls of tools that asked at the same time before take turns from then on. Resolves with what ends the turn. */
  async turnOf(toolName: string): Promise<() => void> {
    if (!this.#askers.has(toolName)) return () => undefined
    const before = this.#turn
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#turn = before.then(() => promise)
    await before
    return resolve
  }

  #decide(): void {
    if (this.#held.size === 0) return
    if (this.#abandoned) {
      this.#refuseAll()
      this.#onUnclear()
      return
    }
    for (const question of this.#held) {
      const [call, ...others] = question.candidates
      if (call === undefined) this.#refuse(question)
      else if (others.length === 0) {
        this.#held.delete(question)
        question.resolve(answerBy(call, question.elicitation))
      }
    }
    this.#refuseDeadlock()
  }

  /** Where every candidate may be waiting for an answer none will ever end by itself. */
  #refuseDeadlock(): void {
    const candidates = new Set([...this.#held].flatMap((question) => [...question.candidates]))
    if (this.#held.size === 0 || this.#held.size < candidates.size) return
    for (const { toolName } of candidates) this.#askers.add(toolName)
    this.#refuseAll()
  }

  #refuseAll(): void {
    for (const question of this.#held) this.#refuse(question)
  }

  #refuse(question: HeldQuestion): void {
    this.#held.delete(question)
    question.reject(new UnclearQuestion())
  }

  #drop(question: HeldQuestion): void {
    if (this.#held.has(question)) this.#refuse(question)
  }
}

/** Puts a question to the person behind a call. Rejects with what `ask` rejects with: the call is over then. */
export async function answerBy(call: ActiveCall, elicitation: Elicitation): Promise<ElicitResult> {
  // A link for a person to open: nobody here can vouch for it.
  if (elicitation.mode === 'url') return { action: 'decline' }
  const { message, requestedSchema } = elicitation
  const answer = await call.ask({
    message,
    ...(requestedSchema ? { schema: requestedSchema } : {}),
  })
  return toElicitationAnswer(answer)
}

function toElicitationAnswer(answer: Answer): ElicitResult {
  if (answer.action !== 'accept') return { action: answer.action }
  if (!isObject(answer.content)) throw new Error('The answer to a question must be an object.')
  // The schema of the question allows nothing but these, and the server checks it.
  return { action: 'accept', content: answer.content as NonNullable<ElicitResult['content']> }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
