import type { LanguageModelV4StreamPart, SharedV4ProviderMetadata } from '@ai-sdk/provider'
import { AppError } from '../../errors.ts'
import type { ModelPart } from '../model.ts'
import { WholeCharacters } from '../whole-characters.ts'
import { maxReplyCalls } from '../reply-limits.ts'

type PartOf<T extends LanguageModelV4StreamPart['type']> = Extract<LanguageModelV4StreamPart, { type: T }>

interface Call {
  /** Ours: the place among the calls of the reply. */
  readonly index: number
  readonly name: string
  readonly characters: WholeCharacters
  /** The deltas are not the JSON that the call ends with: they are not shown. */
  readonly raw: boolean
  /** Some of its input was shown. */
  streamed: boolean
  metadata: SharedV4ProviderMetadata | undefined
  /** The whole call was there. */
  done: boolean
}

/** The tool calls of one reply, streamed or whole. Those that the provider runs itself are left out. */
export class ToolCalls {
  readonly #emit: (part: ModelPart) => void
  /** The latest call of each id. Undefined: the provider's own. */
  readonly #byId = new Map<string, Call | undefined>()
  #calls: Call[] = []

  constructor(emit: (part: ModelPart) => void) {
    this.#emit = emit
  }

  get count(): number {
    return this.#calls.length
  }

  start(part: PartOf<'tool-input-start'>): void {
    if (part.providerExecuted) this.#byId.set(part.id, undefined)
    else {
      const { id, toolName: name, providerMetadata: metadata } = part
      this.#open(id, { name, metadata, raw: part.inputEncoding === 'text' })
    }
  }

  delta(part: PartOf<'tool-input-delta'>): void {
    const call = this.#byId.get(part.id)
    if (!call || call.raw || call.done) return
    this.#input(call, call.characters.take(part.delta))
  }

  /** A call that was streamed before, or comes in one piece. */
  whole(part: PartOf<'tool-call'>): void {
    const { toolCallId: id, toolName: name, providerMetadata: metadata } = part
    if (part.providerExecuted) return
    let call = this.#byId.get(id)
    if (!call || call.done) call = this.#open(id, { name, metadata, raw: false })
    else if (metadata && metadata !== call.metadata) {
      call.metadata = metadata
      this.#emit({ type: 'tool_call', index: call.index, name: call.name, providerData: metadata })
    }
    if (!call.streamed) this.#input(call, call.characters.take(part.input))
    this.#finish(call)
  }

  /** The reply is whole. */
  end(): void {
    for (const call of this.#calls) this.#finish(call)
  }

  #open(id: string, options: Pick<Call, 'name' | 'metadata' | 'raw'>): Call {
    if (this.#calls.length === maxReplyCalls) {
      const cause = new Error(`more than ${maxReplyCalls} tool calls in a reply`)
      throw new AppError('model_bad_response', { cause })
    }
    const { name, metadata } = options
    if (!name) throw new AppError('model_bad_response', { cause: new Error('a tool call has no name') })
    const index = this.#calls.length
    const characters = new WholeCharacters()
    const call: Call = { ...options, index, characters, streamed: false, done: false }
    this.#calls.push(call)
    this.#byId.set(id, call)
    this.#emit({ type: 'tool_call', index, name, ...(metadata && { providerData: metadata }) })
    return call
  }

  #finish(call: Call): void {
    if (call.done) return
    call.done = true
    this.#input(call, call.characters.flush())
  }

  #input(call: Call, delta: string): void {
    if (delta === '') return
    call.streamed = true
    this.#emit({ type: 'tool_input', index: call.index, delta })
  }
}
