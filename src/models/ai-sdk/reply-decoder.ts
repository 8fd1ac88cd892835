import type {
  LanguageModelV4FinishReason,
  LanguageModelV4StreamPart,
  LanguageModelV4Usage,
  SharedV4ProviderMetadata,
} from '@ai-sdk/provider'
import { AppError } from '../../errors.ts'
import type { Usage } from '../../run-state.ts'
import type { FinishReason, ModelPart, ModelReply } from '../model.ts'
import { WholeCharacters } from '../whole-characters.ts'
import { maxEventChars, maxReplyBytes } from '../reply-limits.ts'
import { tokenCount } from '../token-count.ts'
import { toModelError } from './ai-sdk-error.ts'
import { ReasoningBlocks } from './reasoning.ts'
import { ToolCalls } from './tool-calls.ts'

type PartOf<T extends LanguageModelV4StreamPart['type']> = Extract<LanguageModelV4StreamPart, { type: T }>

/** Turns the stream parts of one reply into ours, each at once. */
export class ReplyDecoder {
  readonly #emit: (part: ModelPart) => void
  readonly #now: () => number
  readonly #calls: ToolCalls
  readonly #reasoning: ReasoningBlocks
  readonly #characters = new WholeCharacters()
  #open: 'text' | 'reasoning' = 'text'
  #spoke = false
  #textMetadata: SharedV4ProviderMetadata | undefined
  #size = 0
  #finish: PartOf<'finish'> | undefined

  constructor(options: { emit: (part: ModelPart) => void; now: () => number }) {
    this.#emit = options.emit
    this.#now = options.now
    this.#calls = new ToolCalls(options.emit)
    this.#reasoning = new ReasoningBlocks(options.emit)
  }

  /** The model said that it is done. */
  get finished(): boolean {
    return this.#finish !== undefined
  }

  /** Characters so far, of all kinds. */
  get size(): number {
    return this.#size
  }

  /** Throws an `AppError` where the part tells of a failure, or the reply has grown beyond its limits. */
  push(part: LanguageModelV4StreamPart): void {
    switch (part.type) {
      case 'text-delta':
        return this.#textDelta(part)
      case 'reasoning-delta':
        return this.#reasoningDelta(part)
      case 'tool-input-delta':
        this.#grow(part.delta.length)
        return this.#calls.delta(part)
      default:
        return this.#pushRare(part)
    }
  }

  /** Closes what is open. Call it once, when `finished`. Throws where the reply is none. */
  end(): ModelReply {
    if (!this.#finish) throw badResponse('the reply has no end')
    const { finishReason, usage } = this.#finish
    const said = decodeFinishReason(finishReason)
    this.#closeBlock()
    this.#endText()
    this.#reasoning.close()
    this.#calls.end()
    return { finishReason: withCalls(said, this.#calls.count > 0), usage: decodeUsage(usage) }
  }

  #pushRare(part: LanguageModelV4StreamPart): void {
    switch (part.type) {
      case 'text-start':
        return this.#noteText(part)
      case 'text-end':
        this.#noteText(part)
        return this.#endText()
      case 'reasoning-start':
        return this.#reasoningStart(part)
      case 'reasoning-end':
        return this.#reasoningEnd(part)
      case 'tool-input-start':
        this.#closeBlock()
        return this.#calls.start(part)
      case 'tool-call':
        this.#closeBlock()
        this.#grow(part.input.length)
        return this.#calls.whole(part)
      case 'file':
        return this.#file(part)
      case 'finish':
        this.#finish ??= part
        return
      case 'error':
        throw toModelError(part.error, this.#now())
      default:
        // Sources, warnings, pings, and what the provider's own tools did: nothing of ours.
        return
    }
  }

  #textDelta(part: PartOf<'text-delta'>): void {
    if (part.providerMetadata !== undefined) this.#textMetadata = part.providerMetadata
    this.#growText(part.delta.length)
    if (this.#open !== 'text') {
      this.#closeBlock()
      this.#open = 'text'
    }
    const delta = this.#characters.take(part.delta)
    if (delta === '') return
    this.#spoke = true
    this.#emit({ type: 'text', delta })
  }

  #reasoningDelta(part: PartOf<'reasoning-delta'>): void {
    if (part.providerMetadata !== undefined) this.#reasoning.note(part.id, part.providerMetadata)
    this.#growText(part.delta.length)
    if (this.#open !== 'reasoning') {
      this.#closeBlock()
      this.#open = 'reasoning'
    }
    const taken = this.#characters.take(part.delta)
    if (taken === '') return
    const delta = this.#reasoning.separator() + taken
    this.#reasoning.add(delta.length)
    this.#emit({ type: 'reasoning', delta })
  }

  #reasoningStart(part: PartOf<'reasoning-start'>): void {
    this.#closeBlock()
    this.#reasoning.start(part.id, part.providerMetadata)
  }

  #reasoningEnd(part: PartOf<'reasoning-end'>): void {
    if (this.#open === 'reasoning') this.#closeBlock()
    if (part.providerMetadata !== undefined) this.#reasoning.note(part.id, part.providerMetadata)
    this.#reasoning.end(part.id)
  }

  #noteText(part: PartOf<'text-start' | 'text-end'>): void {
    if (part.providerMetadata !== undefined) this.#textMetadata = part.providerMetadata
  }

  /** Blocks of text join, unless the provider wants something back with one of them. */
  #endText(): void {
    if (this.#open === 'text') this.#closeBlock()
    const metadata = this.#textMetadata
    this.#textMetadata = undefined
    // Of a block without text nothing is kept: it would be an empty answer.
    if (metadata && this.#spoke) this.#emit({ type: 'text_end', providerData: metadata })
    this.#spoke = false
  }

  #file({ data, mediaType, providerMetadata }: PartOf<'file'>): void {
    this.#closeBlock()
    const url = data.type === 'url' ? (data.originalUrl ?? data.url.href) : toDataUrl(data.data, mediaType)
    this.#grow(url.length)
    // Always with data, so that the item knows whose it is: only its maker gets it back.
    this.#emit({ type: 'file', url, mediaType, providerData: providerMetadata ?? {} })
  }

  /** What is still held of the open block. */
  #closeBlock(): void {
    const rest = this.#characters.flush()
    if (rest === '') return
    if (this.#open === 'reasoning') this.#reasoning.add(rest.length)
    else this.#spoke = true
    this.#emit({ type: this.#open, delta: rest })
  }

  #growText(length: number): void {
    if (length > maxEventChars) throw badResponse('a part has too much text')
    this.#grow(length)
  }

  #grow(length: number): void {
    this.#size += length
    if (this.#size > maxReplyBytes) throw badResponse('the reply is too large')
  }
}

function badResponse(why: string): AppError {
  return new AppError('model_bad_response', { cause: new Error(why) })
}

function toDataUrl(data: Uint8Array | string, mediaType: string): string {
  const base64 = typeof data === 'string' ? data : Buffer.from(data).toString('base64')
  return `data:${mediaType};base64,${base64}`
}

function decodeFinishReason({ unified, raw }: LanguageModelV4FinishReason): FinishReason {
  switch (unified) {
    case 'stop':
    case 'length':
    case 'other':
      return unified
    case 'tool-calls':
      return 'tool_calls'
    case 'content-filter':
      return 'content_filter'
    case 'interrupted':
      throw badResponse('the reply ended before it was finished')
    case 'error':
      throw new AppError('model_unavailable', {
        cause: new Error(`the provider finished with an error: ${String(raw)}`),
      })
    default:
      return 'other'
  }
}

/** Calls of the provider's own tools are none of ours. */
function withCalls(said: FinishReason, calls: boolean): FinishReason {
  if (calls) return said === 'stop' || said === 'other' ? 'tool_calls' : said
  return said === 'tool_calls' ? 'stop' : said
}

function decodeUsage(wire: LanguageModelV4Usage): Usage | null {
  const input = tokenCount(wire.inputTokens.total)
  const output = tokenCount(wire.outputTokens.total)
  if (input === undefined && output === undefined) return null
  const usage: Usage = {
    input_tokens: input ?? 0,
    output_tokens: output ?? 0,
    total_tokens: (input ?? 0) + (output ?? 0),
  }
  const cached = tokenCount(wire.inputTokens.cacheRead)
  const reasoning = tokenCount(wire.outputTokens.reasoning)
  if (cached !== undefined) usage.cached_input_tokens = cached
  if (reasoning !== undefined) usage.reasoning_tokens = reasoning
  return usage
}
