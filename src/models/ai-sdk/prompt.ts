import type {
  LanguageModelV4Message,
  LanguageModelV4Prompt,
  LanguageModelV4ReasoningPart,
  SharedV4ProviderOptions,
} from '@ai-sdk/provider'
import { textOf } from '../../items.ts'
import type {
  MessageItem,
  ModelItem,
  Part,
  ProviderData,
  ReasoningItem,
  ToolCallItem,
  ToolResultItem,
} from '../../items.ts'
import { argumentsOf } from '../call-arguments.ts'
import type { ModelRequest } from '../model.ts'
import { encodeMedia } from './media.ts'
import type { SupportedUrls } from './media.ts'
import { splitReasoning } from './reasoning.ts'

export interface EncodePromptOptions {
  /** Whose `providerData` is given back. */
  provider: string
  supportedUrls: SupportedUrls
}

type UserPart = Extract<LanguageModelV4Message, { role: 'user' }>['content'][number]
type AssistantPart = Extract<LanguageModelV4Message, { role: 'assistant' }>['content'][number]
type ToolPart = Extract<LanguageModelV4Message, { role: 'tool' }>['content'][number]

/** Instructions and items as messages of the AI SDK. Throws `model_refused` where the model cannot take a part. */
export function encodePrompt(request: ModelRequest, options: EncodePromptOptions): LanguageModelV4Prompt {
  const state: State = { ...options, prompt: [], callIds: new CallIds(), toolNames: new Map() }
  if (request.instructions) state.prompt.push({ role: 'system', content: request.instructions })
  for (const item of request.items) addItem(state, item)
  const prompt = state.prompt.map(withoutTrailingReasoning).filter((message) => message.content.length > 0)
  return beginWithUser(prompt)
}

/** A conversation may begin with what the assistant said; Anthropic refuses one that does. */
function beginWithUser(prompt: LanguageModelV4Prompt): LanguageModelV4Prompt {
  const at = prompt.findIndex(({ role }) => role !== 'system')
  if (prompt[at]?.role !== 'assistant') return prompt
  const opening: LanguageModelV4Message = {
    role: 'user',
    content: [{ type: 'text', text: '[The conversation begins with your own words.]' }],
  }
  return prompt.toSpliced(at, 0, opening)
}

interface State extends EncodePromptOptions {
  prompt: LanguageModelV4Message[]
  callIds: CallIds
  /** By call id: a result must say the name again. */
  toolNames: Map<string, string>
}

function addItem(state: State, item: ModelItem): void {
  switch (item.type) {
    case 'message':
      return addMessage(state, item)
    case 'reasoning':
      return addReasoning(state, item)
    case 'tool_call':
      return addToolCall(state, item)
    case 'tool_result':
      return addToolResult(state, item)
    default:
      return item satisfies never
  }
}

function addMessage(state: State, item: MessageItem): void {
  if (item.role === 'assistant') return addAssistant(state, item)
  if (item.role === 'system') return addSystem(state, item)
  const content = item.content
    .filter((part) => part.type !== 'text' || part.text !== '')
    .map((part): UserPart => (part.type === 'text' ? part : encodeMedia(part, state.supportedUrls)))
  state.prompt.push({ role: 'user', content })
}

/**
 * At the beginning it is a system message. Later most providers take none (the AI SDK's package for Google throws): there it
 * is said in the user's place, and marked as what it is.
 */
function addSystem(state: State, item: MessageItem): void {
  const text = textOf(item)
  if (text === '') return
  if (state.prompt.every(({ role }) => role === 'system')) {
    state.prompt.push({ role: 'system', content: text })
  } else {
    const marked = `<system>\n${text}\n</system>`
    state.prompt.push({ role: 'user', content: [{ type: 'text', text: marked }] })
  }
}

function addAssistant(state: State, item: MessageItem): void {
  const parts = item.content.flatMap((part) => encodeOwnPart(state, { part, item }))
  const own = ownOptions(state, item.provider)
  const last = parts.at(-1)
  // A reply's message holds one part; of several, no one knows any more which was signed.
  if (own && last) parts[parts.length - 1] = { ...last, providerOptions: own }
  if (parts.length > 0) assistantContent(state).push(...parts)
}

/** A file goes back to the provider that made it, as data; others are told that there was one. */
function encodeOwnPart(
  state: State,
  { part, item }: { part: Part; item: MessageItem },
): Extract<AssistantPart, { type: 'text' | 'file' }>[] {
  // White space alone is refused by some.
  if (part.type === 'text') return part.text.trim() === '' ? [] : [{ type: 'text', text: part.text }]
  if (isOwn(state, item.provider) && /^data:/i.test(part.url)) return [encodeMedia(part, state.supportedUrls)]
  return [{ type: 'text', text: `[${part.type}: ${part.media_type ?? 'of unknown type'}]` }]
}

/** Only to its own provider: to others it is no more than text that nobody said. */
function addReasoning(state: State, item: ReasoningItem): void {
  if (item.partial || !isOwn(state, item.provider)) return
  for (const { text, metadata } of splitReasoning(item.text, item.provider?.data ?? {})) {
    const part: LanguageModelV4ReasoningPart = { type: 'reasoning', text }
    const options = toOptions(metadata)
    if (options) part.providerOptions = options
    if (text !== '' || options) assistantContent(state).push(part)
  }
}

function addToolCall(state: State, item: ToolCallItem): void {
  state.toolNames.set(item.call_id, item.name)
  const own = ownOptions(state, item.provider)
  assistantContent(state).push({
    type: 'tool-call',
    toolCallId: state.callIds.get(item.call_id),
    toolName: item.name,
    input: argumentsOf(item.arguments) ?? {},
    ...(own && { providerOptions: own }),
  })
}

function addToolResult(state: State, item: ToolResultItem): void {
  const part: ToolPart = {
    type: 'tool-result',
    toolCallId: state.callIds.get(item.call_id),
    toolName: state.toolNames.get(item.call_id) ?? 'unknown',
    output: { type: item.error ? 'error-text' : 'text', value: item.output },
  }
  const last = state.prompt.at(-1)
  if (last?.role === 'tool') last.content.push(part)
  else state.prompt.push({ role: 'tool', content: [part] })
}

/** What one reply said is one message, in its order: signatures count on it. */
function assistantContent(state: State): AssistantPart[] {
  const last = state.prompt.at(-1)
  if (last?.role === 'assistant') return last.content
  const content: AssistantPart[] = []
  state.prompt.push({ role: 'assistant', content })
  return content
}

/** A reply that was cut while it thought: providers refuse a message that ends in thoughts. */
function withoutTrailingReasoning(message: LanguageModelV4Message): LanguageModelV4Message {
  if (message.role !== 'assistant') return message
  const end = message.content.findLastIndex(({ type }) => type !== 'reasoning') + 1
  return end === message.content.length ? message : { ...message, content: message.content.slice(0, end) }
}

function isOwn(state: State, provider: ProviderData | undefined): boolean {
  return provider?.name === state.provider
}

function ownOptions(state: State, provider: ProviderData | undefined): SharedV4ProviderOptions | undefined {
  return isOwn(state, provider) ? toOptions(provider?.data ?? {}) : undefined
}

/** What came as `providerMetadata` and was kept as JSON: objects by the name of a provider. */
function toOptions(data: Record<string, unknown>): SharedV4ProviderOptions | undefined {
  return Object.keys(data).length === 0 ? undefined : (data as SharedV4ProviderOptions)
}

/** Ours are fine everywhere; those of callers who bring their own history need not be. */
class CallIds {
  readonly #ids = new Map<string, string>()

  get(id: string): string {
    if (/^[a-zA-Z0-9_-]{1,64}$/.test(id)) return id
    const known = this.#ids.get(id)
    if (known !== undefined) return known
    const made = `call_other_${this.#ids.size}`
    this.#ids.set(id, made)
    return made
  }
}
