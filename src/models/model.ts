import type { ModelItem } from '../items.ts'
import type { Usage } from '../run-state.ts'

export interface ModelTool {
  name: string
  description: string
  /** JSON Schema of the arguments. */
  parameters: Record<string, unknown>
}

export type ToolChoice = 'auto' | 'none' | 'required' | { name: string }
export type ReasoningEffort = 'none' | 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | 'max'

/** How a reply is to be made. Absent means: the provider's default. */
export interface ModelSettings {
  temperature?: number
  topP?: number
  maxOutputTokens?: number
  stop?: string[]
  seed?: number
  reasoningEffort?: ReasoningEffort
  parallelToolCalls?: boolean
}

/** One request for one reply. */
export interface ModelRequest {
  /** The system prompt. */
  instructions: string | undefined
  /**
   * The conversation, oldest first. Well-formed: every tool call is followed, before the next message, by exactly one
   * result; nothing partial or void but text.
   */
  items: readonly ModelItem[]
  tools: readonly ModelTool[]
  toolChoice?: ToolChoice
  /** JSON Schema the answer must satisfy, where the provider can enforce one. Whoever asks checks the answer. */
  outputSchema?: Record<string, unknown>
  settings: ModelSettings
}

/**
 * A piece of a reply, as it arrives. Parts of text and reasoning belong to the block that is open; a part of the other
 * kind closes it and opens its own. Tool calls may interleave: `index` tells them apart within the reply.
 * `providerData` is kept with the item and given back to the same provider only. A `reasoning_end` that brings it where no
 * reasoning is open belongs to the last block if that has none yet, else it is a block of its own, without text (hidden
 * reasoning). A `tool_call` may come again with its `index`, to bring what was known only at its end.
 */
export type ModelPart =
  | { type: 'text'; delta: string }
  | { type: 'text_end'; providerData?: Record<string, unknown> }
  | { type: 'reasoning'; delta: string }
  | { type: 'reasoning_end'; providerData?: Record<string, unknown> }
  | { type: 'tool_call'; index: number; name: string; providerData?: Record<string, unknown> }
  | { type: 'tool_input'; index: number; delta: string }
  /** A file the model made, whole, as a `data:` URL. */
  | { type: 'file'; url: string; mediaType: string; providerData?: Record<string, unknown> }

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'other'

export interface ModelReply {
  finishReason: FinishReason
  /** Null when the provider did not say. */
  usage: Usage | null
}

export interface ModelStreamOptions {
  /** Takes a part. Synchronous and cheap; call it as soon as the part is there. Must not be called after the end. */
  emit: (part: ModelPart) => void
  /** Ends the call: the provider's socket closes at once and the promise rejects. */
  signal: AbortSignal
}

export type InputKind = 'image' | 'file'

/**
 * Something that streams a reply.
 *
 * Contract: `stream` resolves once, after the last part. It rejects with an `AppError` of a `model_…` code,
 * `context_length_exceeded` or `content_filter`, whose message holds none of the provider's text (that is its `cause`), or
 * with anything at all once the signal has fired. It never hangs: silence beyond its stall timeout is `model_timeout`.
 * A delta never ends in the first half of a surrogate pair. It does not ask twice with the same key: the loop does that.
 */
export interface Model {
  /** Whose `providerData` it understands: `openai`, `llm`, `scripted`… */
  readonly provider: string
  /** The full name, as in an agent's definition: `openai/gpt-4o-mini`. */
  readonly id: string
  /** Tokens of context, where known. */
  readonly contextWindow?: number
  /** What a message may hold beside text. Absent: not known, and everything is passed on. */
  readonly accepts?: readonly InputKind[]
  /** The provider holds answers to `outputSchema`. Where it may not, the schema is told in words as well. */
  readonly enforcesOutputSchema?: boolean
  stream(request: ModelRequest, options: ModelStreamOptions): Promise<ModelReply>
}

/** Turns a model's name into a model. Throws `model_not_configured`. */
export type ResolveModel = (name: string) => Model

/** Price of a million tokens, in one unit of the author's choice. `cachedInput` where absent: as `input`. */
export interface ModelPrice {
  input: number
  output: number
  cachedInput?: number
}
