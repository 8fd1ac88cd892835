import { AppError } from '../errors.ts'
import type { ModelPart } from '../models/model.ts'
import { authorFault } from './author-code.ts'
import type { RunContext } from './context.ts'
import { hookContext } from './hook-context.ts'
import type { FilterContext, Hooks, TextFilter } from './hooks.ts'
import type { ReplyBuilder } from './reply-builder.ts'

type Kind = 'text' | 'reasoning'

/** A block of text or reasoning while its parts come. */
interface Block {
  kind: Kind
  filters: TextFilter[]
  /** The first half of a character whose second half has yet to come. */
  half: string
  given: string
  shown: string
}

interface State {
  hooks: readonly Hooks[]
  context: FilterContext
  builder: ReplyBuilder
  block: Block | undefined
  /** Of each kind the last block that was closed: whether it was shown as it was given. */
  unchanged: Record<Kind, boolean>
  refusal: string | undefined
  stop: AbortController
}

/**
 * Puts the `filterText` hooks of an agent before a reply's builder: events and items are made of what they give. An agent
 * without such hooks gets its builder back. A filter that throws, or refuses, stops the reply; what is held back is dropped
 * then, as it is when the reply is abandoned.
 */
export function filterReply(context: RunContext, builder: ReplyBuilder): ReplyBuilder {
  const hooks = context.agent.hooks.filter((one) => one.filterText !== undefined)
  if (hooks.length === 0) return builder
  const state: State = {
    hooks,
    context: { ...hookContext(context), refuse: (message) => refuse(state, message) },
    builder,
    block: undefined,
    unchanged: { text: true, reasoning: true },
    refusal: undefined,
    stop: new AbortController(),
  }
  return {
    push: (part) => guard(state, () => push(state, part)),
    finish() {
      guard(state, () => closeBlock(state))
      if (state.refusal !== undefined) return builder.abandon()
      state.stop.signal.throwIfAborted()
      return builder.finish()
    },
    abandon: () => builder.abandon(),
    streamed: () => builder.streamed(),
    written: () => builder.written(),
    stopped: state.stop.signal,
    refusal: () => state.refusal,
  }
}

/** The first refusal stands. */
function refuse(state: State, message: string): void {
  if (state.stop.signal.aborted) return
  state.refusal = message
  state.stop.abort(new AppError('content_filter'))
}

/** A filter's fault must not become the model's, which calls it: it ends the reply by the signal. */
function guard(state: State, call: () => void): void {
  if (state.stop.signal.aborted) return
  try {
    call()
  } catch (error) {
    state.stop.abort(authorFault(error))
  }
}

/** What the builder throws is not the filters' fault: it ends the reply as it is. */
function pass(state: State, part: ModelPart): void {
  try {
    state.builder.push(part)
  } catch (error) {
    state.stop.abort(error)
  }
}

function push(state: State, part: ModelPart): void {
  switch (part.type) {
    case 'text':
    case 'reasoning':
      return pushProse(state, part)
    case 'text_end':
    case 'reasoning_end':
      return endProse(state, part)
    case 'tool_input':
      return pass(state, part)
    case 'tool_call':
    case 'file':
      closeBlock(state)
      return pass(state, part)
    default:
      return part satisfies never
  }
}

function pushProse(state: State, part: Extract<ModelPart, { delta: string; type: Kind }>): void {
  const block = state.block?.kind === part.type ? state.block : openBlock(state, part.type)
  if (block.filters.length === 0) return pass(state, part)
  block.given += part.delta
  let delta = part.delta
  for (const filter of block.filters) delta = filter.push(delta)
  show(state, block, delta)
}

function openBlock(state: State, kind: Kind): Block {
  closeBlock(state)
  const filters = state.hooks.flatMap((hooks) => hooks.filterText?.(kind, state.context) ?? [])
  state.block = { kind, filters, half: '', given: '', shown: '' }
  return state.block
}

/** Shows what is held back. */
function closeBlock(state: State): void {
  const { block } = state
  if (!block) return
  state.block = undefined
  let tail = ''
  for (const filter of block.filters) tail = (tail === '' ? '' : filter.push(tail)) + filter.end()
  show(state, block, tail, true)
  state.unchanged[block.kind] = block.given === block.shown
}

/** Passes whole characters on: a filter may cut anywhere. */
function show(state: State, block: Block, text: string, isLast = false): void {
  // What a filter returns after it refused is not shown.
  if (state.stop.signal.aborted) return
  let delta = block.half + text
  block.half = ''
  if (!isLast && /[\uD800-\uDBFF]$/.test(delta)) {
    block.half = delta.slice(-1)
    delta = delta.slice(0, -1)
  }
  if (delta === '') return
  block.shown += delta
  pass(state, { type: block.kind, delta })
}

/** What a provider keeps with a text (a signature, an id) stands for the text as it was: it goes where that was changed. */
function endProse(state: State, part: Extract<ModelPart, { type: 'text_end' | 'reasoning_end' }>): void {
  const kind = part.type === 'text_end' ? 'text' : 'reasoning'
  if (state.block?.kind === kind) closeBlock(state)
  if (part.providerData === undefined || state.unchanged[kind]) return pass(state, part)
  pass(state, { type: part.type })
}
