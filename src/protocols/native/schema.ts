import { z } from 'zod'
import { isId } from '../../ids.ts'
import { sessionIdSchema } from '../session-id.ts'
import { partSchema } from '../../items.ts'
import {
  callerToolSchema,
  onConflictSchema,
  onDisconnectSchema,
  runOptionsSchema,
  runStatusSchema,
} from '../../run-state.ts'

const isWorded = (text: string) => /\S/.test(text)
const empty = 'Must not be empty'

/** What a caller may put into a run's input. Results of tools have their own route. */
const inputItemSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('message'),
    role: z.enum(['user', 'assistant', 'system']),
    content: z.union([z.string(), z.array(partSchema).min(1).max(1000)]),
  }),
])
export type InputItem = z.infer<typeof inputItemSchema>

/** Whether there is anything to answer. A single message may be empty: clients send what was said before as it was. */
function isFilled({ content }: InputItem): boolean {
  if (typeof content === 'string') return isWorded(content)
  return content.some((part) => part.type !== 'text' || isWorded(part.text))
}

/** Providers refuse a conversation without a word, or make one up. */
const inputSchema = z.union([
  z.string().refine(isWorded, empty),
  z
    .array(inputItemSchema)
    .min(1)
    .max(1000)
    // A list without a message is told above.
    .refine((items) => items.length === 0 || items.some(isFilled), empty),
])

const metadataSchema = z
  .unknown()
  // Before a look at the entries: a fault of each of very many is not worth the time.
  .refine(hasFewEntries, { error: 'At most 16 entries', abort: true })
  .pipe(z.record(z.string().max(64), z.string().max(512)))

function hasFewEntries(value: unknown): boolean {
  return typeof value !== 'object' || value === null || Object.keys(value).length <= 16
}

const options = runOptionsSchema.shape

/** Body of `POST /v1/agents/{agent}/runs`. */
export const createRunSchema = z
  .strictObject({
    input: inputSchema,
    conversation_id: z.string().min(1).optional(),
    session_id: sessionIdSchema.optional(),
    parent_run_id: z.string().min(1).optional(),
    instructions: options.instructions,
    model: options.model,
    temperature: options.temperature,
    max_output_tokens: options.max_output_tokens,
    max_steps: options.max_steps,
    force_answer: options.force_answer,
    output_schema: options.output_schema,
    budget: options.budget,
    run_context: options.run_context,
    metadata: metadataSchema.optional(),
    tools: z.array(callerToolSchema).max(128).optional(),
    stream: z.boolean().optional(),
    background: z.boolean().optional(),
    on_conflict: onConflictSchema.optional(),
    on_disconnect: onDisconnectSchema.optional(),
  })
  .refine((body) => body.conversation_id === undefined || body.session_id === undefined, {
    path: ['session_id'],
    message: 'Give conversation_id or session_id, not both',
  })
export type CreateRunBody = z.infer<typeof createRunSchema>

/** Body of `POST /v1/runs/{id}/cancel`, where there is one. */
export const cancelSchema = z.strictObject({ reason: z.string().max(500).optional() })

/** Body of `POST /v1/runs/{id}/tool_results`. `output`: text as it is, anything else as JSON. */
export const toolResultsSchema = z.strictObject({
  results: z
    .array(
      z.strictObject({
        call_id: z.string().min(1),
        // Of a body that was JSON: what is there is JSON.
        output: z.unknown().refine((output) => output !== undefined, 'Field required'),
        is_error: z.boolean().optional(),
      }),
    )
    .min(1)
    .max(128),
})

export const createConversationSchema = z.strictObject({
  metadata: metadataSchema.optional(),
  key: sessionIdSchema.optional(),
})
export const updateConversationSchema = z.strictObject({ metadata: metadataSchema })

function numberText(min: number, max: number) {
  const message = `Must be a whole number from ${min} to ${max}`
  return z
    .string()
    .regex(/^\d{1,15}$/, message)
    .transform(Number)
    .refine((value) => value >= min && value <= max, message)
}

const pageSchema = z.strictObject({
  limit: numberText(1, 100).default(20),
  after: z.string().min(1).optional(),
})

/** Rows of these are in the order of their ids, so that of one that was deleted is a place as well. */
function pageOf(prefix: 'run' | 'conv') {
  const isOne = (after: string) => isId(prefix, after)
  return pageSchema.extend({
    after: z.string().refine(isOne, 'Must be the `last_id` of the page before').optional(),
  })
}

export const listConversationsSchema = pageOf('conv')
export const listRunsSchema = pageOf('run').extend({
  status: runStatusSchema.optional(),
  agent: z.string().optional(),
  conversation_id: z.string().optional(),
})
export const listItemsSchema = pageSchema.extend({ order: z.enum(['asc', 'desc']).default('desc') })
export const eventsQuerySchema = z.strictObject({ after: z.string().optional() })

/** Query of `GET /v1/runs/{id}/wait`; more than the server waits is cut to what it does. */
export const waitSchema = z.strictObject({ timeout_ms: numberText(0, 10 ** 12).optional() })
