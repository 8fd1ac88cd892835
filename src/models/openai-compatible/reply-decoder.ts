import { AppError } from '../../errors.ts'
import type { Usage } from '../../run-state.ts'
import type { FinishReason, ModelPart, ModelReply } from '../model.ts'
import { errorFromBody } from '../provider-error.ts'
import { maxEventChars } from '../reply-limits.ts'
import { TextFrame } from './text-frame.ts'
import { ToolCallDecoder } from './tool-call-decoder.ts'
import { decodeUsage } from './usage.ts'
import { WholeCharacters } from '../whole-characters.ts'

/** What any server may have put into a chunk or a whole completion. Nothing is taken for granted. */
interface WireChunk {
  object?: unknown
  choices?: unknown
  usage?: unknown
  error?: unknown
  x_groq?: unknown
}
interface WireChoice {
  index?: unknown
  delta?: unknown
  message?: unknown
  finish_reason?: unknown
  error?: unknown
}
interface WireDelta {
  content?: unknown
  refusal?: unknown
  reasoning_content?: unknown
  reasoning?: unknown
  reasoning_text?: unknown
  tool_calls?: unknown
  function_call?: unknown
}

type TextKind = 'text' | 'reasoning'

/**
 * Turns the chunks of one reply into parts, each at once. Understands what OpenAI documents and what the servers that call
 * themselves compatible send instead.
 */
export class ReplyDecoder {
  readonly #emit: (part: ModelPart) => void
  readonly #toolCalls: ToolCallDecoder
  readonly #characters = new WholeCharacters()
  readonly #frame = new TextFrame()
  #open: TextKind = 'text'
  /** Characters of the event that is being read. */
  #said = 0
  #spoke = false
  #done = false
  #finishReason: FinishReason | undefined
  #usage: Usage | null = null

  constructor(emit: (part: ModelPart) => void) {
    this.#emit = emit
    this.#toolCalls = new ToolCallDecoder(emit)
  }

  /** `[DONE]` was read. */
  get done(): boolean {
    return this.#done
  }

  /** Nothing is missing any more but perhaps the usage. */
  get complete(): boolean {
    return this.#finishReason !== undefined || (this.#done && (this.#spoke || this.#toolCalls.count > 0))
  }

  /** One event of the stream. Throws an `AppError` where it is unreadable or tells of a failure. */
  pushEvent(data: string, name: string): void {
    this.#said = 0
    if (data.startsWith('[DONE]')) this.#done = true
    else if (data === '') return
    else {
      const text = name === 'error' ? undefined : this.#frame.take(data)
      if (text !== undefined) return this.#text('text', text)
      const chunk = parse(data)
      if (name === 'error') throw errorFromBody(chunk.error ?? chunk)
      this.pushChunk(chunk)
      const only = onlyText(chunk)
      if (only !== undefined) this.#frame.learn(data, only)
    }
  }

  /** The answer of a server that does not stream: one completion, in one piece. */
  pushCompletion(text: string): void {
    this.pushChunk(parse(text))
    this.#done = true
  }

  pushChunk(chunk: WireChunk): void {
    if (chunk.error || chunk.object === 'error') throw errorFromBody(chunk.error ?? chunk)
    if (Array.isArray(chunk.choices)) this.#choice(chunk.choices[0])
    if (chunk.usage) this.#usage = decodeUsage(chunk.usage) ?? this.#usage
    else if (chunk.x_groq) this.#groq(chunk.x_groq)
  }

  /** Closes what is open. Call it once, when `complete`. Throws `model_bad_response` where a tool call has no name. */
  end(): ModelReply {
    this.#closeText()
    this.#toolCalls.end()
    const said = this.#finishReason ?? 'stop'
    const calls = this.#toolCalls.count > 0 && (said === 'stop' || said === 'other')
    return { finishReason: calls ? 'tool_calls' : said, usage: this.#usage }
  }

  #choice(value: unknown): void {
    if (!isObject(value)) return
    const choice: WireChoice = value
    if (choice.error) throw errorFromBody(choice.error)
    if (isObject(choice.delta)) this.#delta(choice.delta)
    // A whole message: alone it is the reply; after deltas it only repeats them.
    else if (isObject(choice.message) && !this.#spoke && this.#toolCalls.count === 0)
      this.#delta(choice.message)
    const reason = choice.finish_reason
    if (typeof reason === 'string' && reason !== '') this.#finish(reason)
  }

  #delta(delta: WireDelta): void {
    const reasoning = delta.reasoning_content ?? delta.reasoning ?? delta.reasoning_text
    if (reasoning) this.#content('reasoning', reasoning)
    if (delta.content) this.#content('text', delta.content)
    if (delta.refusal) this.#content('text', delta.refusal)
    if (Array.isArray(delta.tool_calls) && delta.tool_calls.length > 0) {
      this.#closeText()
      this.#toolCalls.push(delta.tool_calls)
    } else if (delta.function_call) {
      this.#closeText()
      this.#toolCalls.pushLegacy(delta.function_call)
    }
  }

  /** Text, or a list of parts of which those that hold text count: neighbours of one kind are one delta. */
  #content(kind: TextKind, content: unknown): void {
    if (typeof content === 'string') return this.#text(kind, content)
    if (!Array.isArray(content)) return
    let open = kind
    let said = ''
    for (const part of content) {
      const thinking = thinkingOf(part)
      const next = thinking === undefined ? kind : 'reasoning'
      if (next !== open) {
        this.#text(open, said)
        open = next
        said = ''
      }
      said += thinking ?? textOf(part)
    }
    this.#text(open, said)
  }

  #text(kind: TextKind, delta: string): void {
    if (delta === '') return
    this.#said += delta.length
    if (this.#said > maxEventChars) {
      throw new AppError('model_bad_response', { cause: new Error('an event has too much text') })
    }
    if (kind !== this.#open) {
      this.#closeText()
      this.#open = kind
    }
    const whole = this.#characters.take(delta)
    if (whole === '') return
    this.#spoke = true
    this.#emit({ type: kind, delta: whole })
  }

  #closeText(): void {
    const rest = this.#characters.flush()
    if (rest !== '') this.#emit({ type: this.#open, delta: rest })
  }

  #finish(reason: string): void {
    if (reason === 'error') {
      throw new AppError('model_unavailable', { cause: new Error('the provider finished with an error') })
    }
    this.#finishReason = finishReasons[reason.toLowerCase()] ?? 'other'
  }

  #groq(value: unknown): void {
    if (!isObject(value)) return
    const { usage, error } = value as { usage?: unknown; error?: unknown }
    if (error) throw errorFromBody(error)
    if (usage) this.#usage = decodeUsage(usage) ?? this.#usage
  }
}

const finishReasons: Record<string, FinishReason | undefined> = {
  __proto__: null as never,
  stop: 'stop',
  eos: 'stop',
  eos_token: 'stop',
  end_turn: 'stop',
  stop_sequence: 'stop',
  length: 'length',
  max_tokens: 'length',
  model_length: 'length',
  tool_calls: 'tool_calls',
  tool_use: 'tool_calls',
  function_call: 'tool_calls',
  content_filter: 'content_filter',
  safety: 'content_filter',
  recitation: 'content_filter',
}

/** The text of a chunk that has no other effect than to say it. */
function onlyText(chunk: WireChunk): string | undefined {
  if (chunk.error || chunk.usage || chunk.x_groq || chunk.object === 'error') return undefined
  const [choice]: unknown[] = Array.isArray(chunk.choices) ? chunk.choices : []
  if (!isObject(choice)) return undefined
  const { delta, finish_reason, error }: WireChoice = choice
  if (error || finish_reason || !isObject(delta)) return undefined
  const { content, refusal, reasoning_content, reasoning, reasoning_text, ...rest }: WireDelta = delta
  if (refusal || reasoning_content || reasoning || reasoning_text) return undefined
  if (rest.tool_calls || rest.function_call) return undefined
  return typeof content === 'string' && content !== '' ? content : undefined
}

/** How Mistral marks reasoning: `{ thinking: [{ text }] }`, of which the texts count. Undefined: the part is none. */
function thinkingOf(part: unknown): string | undefined {
  if (!isObject(part)) return undefined
  const { thinking }: { thinking?: unknown } = part
  if (!thinking) return undefined
  return Array.isArray(thinking) ? thinking.map(textOf).join('') : textOf(thinking)
}

function textOf(part: unknown): string {
  if (typeof part === 'string') return part
  const { text }: { text?: unknown } = isObject(part) ? part : {}
  return typeof text === 'string' ? text : ''
}

function parse(text: string): WireChunk {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new AppError('model_bad_response', { cause })
  }
  if (isObject(value)) return value
  throw new AppError('model_bad_response', { cause: new Error('an event holds no JSON object') })
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
