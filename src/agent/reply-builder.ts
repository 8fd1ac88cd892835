import { AppError } from '../errors.ts'
import { createId } from '../ids.ts'
import { maxJsonDepth, nestsDeeperThan } from '../json-depth.ts'
import type { Item, MessageItem, ReasoningItem, ToolCallItem } from '../items.ts'
import type { ModelPart } from '../models/model.ts'
import type { StepLog } from './context.ts'
import { charsOfFile } from './history.ts'

/**
 * Turns the parts of one reply into events, as they arrive, and into items. `push` runs once per token: it allocates one
 * event and appends to one string.
 */
export interface ReplyBuilder {
  /** Throws `model_bad_response` where the reply has more blocks than any has. */
  push(part: ModelPart): void
  /** Closes what is open. The items of the reply, in the order they began. */
  finish(): Item[]
  /** Closes what is open as partial. The same items, cut where the reply was cut. */
  abandon(): Item[]
  /** Whether anything but `step.start` was shown. */
  streamed(): boolean
  /** Characters so far, of all kinds. Adds them up: not for every token. */
  written(): number
  /** Fires where a filter ends the reply early, with why as its reason. Absent where nothing filters it. */
  readonly stopped?: AbortSignal
  /** What a filter refused the reply with. */
  refusal?(): string | undefined
}

interface ProseBlock {
  kind: 'text' | 'reasoning'
  id: string
  text: string
  done: boolean
  partial: boolean
  providerData: Record<string, unknown> | undefined
}
interface CallBlock {
  kind: 'call'
  id: string
  callId: string
  name: string
  text: string
  done: boolean
  partial: boolean
  providerData: Record<string, unknown> | undefined
}
/** A file of the model's: an answer that has no deltas. */
interface FileBlock {
  kind: 'file'
  id: string
  url: string
  mediaType: string
  providerData: Record<string, unknown> | undefined
}
type Block = ProseBlock | CallBlock | FileBlock

/** No model says so much by turns: each block becomes an item, and events of its own. */
const maxBlocks = 4096

interface State {
  log: StepLog
  provider: string
  blocks: Block[]
  open: ProseBlock | undefined
  calls: Map<number, CallBlock>
}

export function createReplyBuilder(input: { log: StepLog; provider: string }): ReplyBuilder {
  const state: State = { ...input, blocks: [], open: undefined, calls: new Map() }
  return {
    push: (part) => push(state, part),
    finish: () => close(state, false),
    abandon: () => close(state, true),
    streamed: () => state.blocks.length > 0,
    written: () => state.blocks.reduce((sum, block) => sum + lengthOf(block), 0),
  }
}

function lengthOf(block: Block): number {
  if (block.kind === 'file') return charsOfFile
  return block.text.length + (block.kind === 'call' ? block.name.length : 0)
}

function push(state: State, part: ModelPart): void {
  switch (part.type) {
    case 'text':
    case 'reasoning':
      return pushProse(state, part.type, part.delta)
    case 'text_end':
    case 'reasoning_end':
      return endProse(state, part.type === 'text_end' ? 'text' : 'reasoning', part.providerData)
    case 'tool_call':
      return startCall(state, part)
    case 'tool_input':
      return pushInput(state, part.index, part.delta)
    case 'file':
      return pushFile(state, part)
    default:
      return part satisfies never
  }
}

function pushProse(state: State, kind: 'text' | 'reasoning', delta: string): void {
  if (delta === '') return
  const { log } = state
  const block = state.open?.kind === kind ? state.open : openProse(state, kind)
  block.text += delta
  log.emit(
    kind === 'text'
      ? { type: 'text.delta', item_id: block.id, delta }
      : { type: 'reasoning.delta', item_id: block.id, delta },
  )
}

function openProse(state: State, kind: 'text' | 'reasoning'): ProseBlock {
  closeProse(state, false)
  const block: ProseBlock = {
    kind,
    id: createId('item'),
    text: '',
    done: false,
    partial: false,
    providerData: undefined,
  }
  addBlock(state, block)
  state.open = block
  state.log.emit(
    kind === 'text'
      ? { type: 'text.start', item_id: block.id }
      : { type: 'reasoning.start', item_id: block.id },
  )
  return block
}

function endProse(state: State, kind: 'text' | 'reasoning', data: Record<string, unknown> | undefined): void {
  const open = state.open?.kind === kind ? state.open : undefined
  if (open) {
    if (data) open.providerData = data
    return closeProse(state, false)
  }
  if (!data) return
  // The end of a block that was closed by another kind may still bring its data (a signature).
  const last = state.blocks.findLast((one): one is ProseBlock => one.kind === kind)
  if (last && !last.providerData) last.providerData = data
  // Reasoning that the provider hides has no text, only what it is sealed in.
  else if (kind === 'reasoning') {
    openProse(state, kind).providerData = data
    closeProse(state, false)
  }
}

function closeProse(state: State, partial: boolean): void {
  const block = state.open
  if (!block) return
  state.open = undefined
  block.done = true
  block.partial = partial
  state.log.emit({
    type: block.kind === 'text' ? 'text.end' : 'reasoning.end',
    item_id: block.id,
    ...(partial ? { partial: true as const } : {}),
  })
}

function startCall(state: State, part: Extract<ModelPart, { type: 'tool_call' }>): void {
  const known = state.calls.get(part.index)
  if (known) {
    if (part.providerData) known.providerData = part.providerData
    return
  }
  closeProse(state, false)
  const block: CallBlock = {
    kind: 'call',
    id: createId('item'),
    callId: createId('call'),
    name: part.name,
    text: '',
    done: false,
    partial: false,
    providerData: part.providerData,
  }
  addBlock(state, block)
  state.calls.set(part.index, block)
  state.log.emit({ type: 'tool.start', item_id: block.id, call_id: block.callId, name: block.name })
}

function pushInput(state: State, index: number, delta: string): void {
  const block = state.calls.get(index)
  if (!block || delta === '') return
  block.text += delta
  state.log.emit({ type: 'tool.input', item_id: block.id, delta })
}

function pushFile(state: State, part: Extract<ModelPart, { type: 'file' }>): void {
  const { url, mediaType, providerData } = part
  closeProse(state, false)
  addBlock(state, { kind: 'file', id: createId('item'), url, mediaType, providerData })
}

function addBlock({ blocks }: State, block: Block): void {
  if (blocks.length === maxBlocks) {
    const cause = new Error(`more than ${maxBlocks} blocks in a reply`)
    throw new AppError('model_bad_response', { cause })
  }
  blocks.push(block)
}

function close(state: State, partial: boolean): Item[] {
  closeProse(state, partial)
  for (const block of state.blocks) {
    if (block.kind !== 'call' || block.done) continue
    block.done = true
    block.partial = partial
    state.log.emit({
      type: 'tool.call',
      item_id: block.id,
      call_id: block.callId,
      name: block.name,
      arguments: parseArguments(block.text),
      ...(partial ? { partial: true as const } : {}),
    })
  }
  return state.blocks.map((block) => toItem(block, state.provider))
}

/**
 * The arguments as JSON where they are JSON of a sane depth, else as the text they are. No arguments at all are an empty
 * object.
 */
export function parseArguments(text: string): unknown {
  if (text.trim() === '') return {}
  if (nestsDeeperThan(text, maxJsonDepth)) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function toItem(block: Block, provider: string): Item {
  if (block.kind === 'file') return toFileMessage(block, provider)
  const rest = {
    ...(block.partial ? { partial: true as const } : {}),
    ...(block.providerData ? { provider: { name: provider, data: block.providerData } } : {}),
  }
  if (block.kind === 'call') {
    const call: ToolCallItem = {
      type: 'tool_call',
      id: block.id,
      call_id: block.callId,
      name: block.name,
      arguments: block.text,
      ...rest,
    }
    return call
  }
  if (block.kind === 'reasoning') {
    const reasoning: ReasoningItem = { type: 'reasoning', id: block.id, text: block.text, ...rest }
    return reasoning
  }
  const message: MessageItem = {
    type: 'message',
    id: block.id,
    role: 'assistant',
    content: [{ type: 'text', text: block.text }],
    ...rest,
  }
  return message
}

function toFileMessage({ id, url, mediaType, providerData }: FileBlock, provider: string): MessageItem {
  const type = mediaType.startsWith('image/') ? 'image' : 'file'
  return {
    type: 'message',
    id,
    role: 'assistant',
    content: [{ type, url, media_type: mediaType }],
    ...(providerData ? { provider: { name: provider, data: providerData } } : {}),
  }
}
