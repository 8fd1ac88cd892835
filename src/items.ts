import { z } from 'zod'

const textPart = z.strictObject({ type: z.literal('text'), text: z.string() })

/** `url` is http(s) or a `data:` URL. */
const imagePart = z.strictObject({
  type: z.literal('image'),
  url: z.string(),
  media_type: z.string().optional(),
})

const filePart = z.strictObject({
  type: z.literal('file'),
  url: z.string(),
  media_type: z.string(),
  filename: z.string().optional(),
})

export const partSchema = z.discriminatedUnion('type', [textPart, imagePart, filePart])
export type Part = z.infer<typeof partSchema>

/** What only the provider that wrote an item understands (its own call id, a reasoning signature). Never sent to clients. */
export const providerDataSchema = z.strictObject({
  name: z.string(),
  data: z.record(z.string(), z.unknown()),
})
export type ProviderData = z.infer<typeof providerDataSchema>

export const messageItemSchema = z.strictObject({
  type: z.literal('message'),
  id: z.string(),
  role: z.enum(['user', 'assistant', 'system']),
  content: z.array(partSchema),
  /** The text ends where a failure or a cancel cut it. */
  partial: z.literal(true).optional(),
  provider: providerDataSchema.optional(),
})
export const reasoningItemSchema = z.strictObject({
  type: z.literal('reasoning'),
  id: z.string(),
  text: z.string(),
  partial: z.literal(true).optional(),
  provider: providerDataSchema.optional(),
})
export const toolCallItemSchema = z.strictObject({
  type: z.literal('tool_call'),
  id: z.string(),
  call_id: z.string(),
  name: z.string(),
  /** The argument text exactly as the model wrote it; it need not be JSON. */
  arguments: z.string(),
  partial: z.literal(true).optional(),
  provider: providerDataSchema.optional(),
})
export const toolResultItemSchema = z.strictObject({
  type: z.literal('tool_result'),
  id: z.string(),
  call_id: z.string(),
  /** What the model reads. */
  output: z.string(),
  /** Present when the call gave no normal result. `code` is one of the `tool_…` codes or `outcome_unknown`. */
  error: z.strictObject({ code: z.string(), message: z.string() }).optional(),
  /** Of a handoff that was made: the agent the run was handed to. Never sent to clients; the log has `agent.switch`. */
  transferred_to: z.string().optional(),
})

export const noteKindSchema = z.enum(['plan', 'correction', 'reminder', 'summary'])
/** What Parley itself tells the model within a conversation. Nobody said it; it is never part of an answer. */
export const noteItemSchema = z.strictObject({
  type: z.literal('note'),
  id: z.string(),
  kind: noteKindSchema,
  text: z.string(),
  /** Of a summary: the last run it stands for. That run and all before it are not sent any more. */
  through_run_id: z.string().optional(),
})

/** One piece of content of a run. */
export const itemSchema = z.discriminatedUnion('type', [
  messageItemSchema,
  reasoningItemSchema,
  toolCallItemSchema,
  toolResultItemSchema,
  noteItemSchema,
])

export type Item = z.infer<typeof itemSchema>
export type MessageItem = z.infer<typeof messageItemSchema>
export type ReasoningItem = z.infer<typeof reasoningItemSchema>
export type ToolCallItem = z.infer<typeof toolCallItemSchema>
export type ToolResultItem = z.infer<typeof toolResultItemSchema>
export type NoteItem = z.infer<typeof noteItemSchema>
/** What a model is sent: notes reach it as messages. */
export type ModelItem = Exclude<Item, NoteItem>

/** An item where it stands in its run. */
export interface PlacedItem {
  run_id: string
  /** From 0, without gaps, in the order the items came to be. Input items come first. */
  position: number
  /** The step that made it; null for input. */
  step: number | null
  /** Streamed by a try that was thrown away. Kept for replay, never part of history or output. */
  void: boolean
  /** The tool call it was made for, where that is the work of an agent that serves as a tool; else null. */
  parent_call_id: string | null
  item: Item
}

/** Whether it is the result of a handoff that the run has made. */
export function isHandoff({ item, step }: PlacedItem): boolean {
  return step !== null && item.type === 'tool_result' && item.transferred_to !== undefined
}

/** The text of a message, its other parts left out. */
export function textOf(message: MessageItem): string {
  let text = ''
  for (const part of message.content) if (part.type === 'text') text += part.text
  return text
}
