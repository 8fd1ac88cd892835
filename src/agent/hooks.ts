import type { ModelReply, ModelRequest } from '../models/model.ts'
import type { Item, ToolCallItem, ToolResultItem } from '../items.ts'
import type { Principal } from '../identity/principal.ts'

export interface HookContext {
  runId: string
  agent: string
  step: number
  principal: Principal
  /** Fires when the run is interrupted. In `afterTool` a second later, so that a result that came in time can be kept. */
  signal: AbortSignal
  /** What the caller gave this run, as it is stored. */
  input: readonly Item[]
  /** The request's own instructions, where the agent takes any. */
  instructions: string | undefined
  /** What callers gave the earlier runs of the conversation, as far as they are sent along: a list for each run. */
  earlierInput: () => Promise<readonly (readonly Item[])[]>
  /** Adds a `warning` event to the run. */
  warn: (code: string, message: string) => void
}

/** Says no. The model or the caller reads `message`. */
export interface Refusal {
  refuse: { code: 'content_filter' | 'tool_refused'; message: string }
}

export interface FilterContext extends HookContext {
  /**
   * Refuses the reply: nothing more of it is shown, not even what is returned or held back now, the model's call is ended and
   * the run ends with `content_filter`. What the reply used is not known then.
   */
  refuse: (message: string) => void
}

/**
 * Passes streamed text on, changed. Stateful: one per block of text or reasoning, in order. What it throws fails the run as
 * `internal`. Called for every token: it must be quick.
 */
export interface TextFilter {
  /** What may be shown now, given the next piece. May hold some back until it knows more. */
  push(delta: string): string
  /** The block is over: what was held back. */
  end(): string
}

/**
 * An author's own steps around the model and the tools. A hook may change what it is given by returning another value,
 * refuse, or warn; what it throws fails the run as `internal`. Hooks may run again after a crash. Where an agent has several,
 * each is given what the one before it made, and the first refusal stands.
 */
export interface Hooks {
  /** Before every model call. A refusal ends the run with `content_filter`. */
  beforeModel?(
    request: ModelRequest,
    context: HookContext,
  ): ModelRequest | Refusal | undefined | Promise<ModelRequest | Refusal | undefined>
  /** After a whole reply, before it is committed. It was streamed already: it may warn or refuse, not change. */
  afterModel?(
    reply: { items: readonly Item[]; reply: ModelReply },
    context: HookContext,
  ): Refusal | undefined | Promise<Refusal | undefined>
  /** Changes what is streamed, before anybody sees it; what it gives is what is kept. Asked for each block of a reply. */
  filterText?(kind: 'text' | 'reasoning', context: FilterContext): TextFilter | undefined
  /** Before a tool runs, after its arguments were checked. A refusal is the call's result (`tool_refused`). */
  beforeTool?(
    call: { item: ToolCallItem; input: unknown },
    context: HookContext,
  ): { input: unknown } | Refusal | undefined | Promise<{ input: unknown } | Refusal | undefined>
  /** After a tool ran. May replace the text the model reads. */
  afterTool?(
    result: { call: ToolCallItem; result: ToolResultItem },
    context: HookContext,
  ): { output: string } | undefined | Promise<{ output: string } | undefined>
}
