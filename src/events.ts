import { z } from 'zod'
import { runErrorSchema, stopReasonSchema, terminalStatusSchema, usageSchema } from './run-state.ts'

/**
 * The run log, as readers see it. `seq` counts from 1, without gaps within an attempt; each attempt starts at a floor far
 * above the last committed one. `tool.progress` alone is outside the sequence: it is seen live or not at all.
 */
const seq = z.int().positive()
const itemId = z.string()
const partial = z.literal(true).optional()

export const runStartSchema = z.strictObject({
  seq,
  type: z.literal('run.start'),
  run_id: z.string(),
  agent: z.string(),
  /** Hash of the agent's definition; null when this node does not serve the agent. */
  definition: z.string().nullable(),
  model: z.string().nullable(),
  conversation_id: z.string().nullable(),
  /** From 1. */
  attempt: z.int().positive(),
  /** RFC 3339. */
  at: z.string(),
})
export const stepStartSchema = z.strictObject({
  seq,
  type: z.literal('step.start'),
  step: z.int().nonnegative(),
  model: z.string(),
})
export const textStartSchema = z.strictObject({ seq, type: z.literal('text.start'), item_id: itemId })
export const textDeltaSchema = z.strictObject({
  seq,
  type: z.literal('text.delta'),
  item_id: itemId,
  delta: z.string(),
})
export const textEndSchema = z.strictObject({ seq, type: z.literal('text.end'), item_id: itemId, partial })
export const reasoningStartSchema = z.strictObject({
  seq,
  type: z.literal('reasoning.start'),
  item_id: itemId,
})
export const reasoningDeltaSchema = z.strictObject({
  seq,
  type: z.literal('reasoning.delta'),
  item_id: itemId,
  delta: z.string(),
})
export const reasoningEndSchema = z.strictObject({
  seq,
  type: z.literal('reasoning.end'),
  item_id: itemId,
  partial,
})
export const toolStartSchema = z.strictObject({
  seq,
  type: z.literal('tool.start'),
  item_id: itemId,
  call_id: z.string(),
  name: z.string(),
})
export const toolInputSchema = z.strictObject({
  seq,
  type: z.literal('tool.input'),
  item_id: itemId,
  delta: z.string(),
})
export const toolCallSchema = z.strictObject({
  seq,
  type: z.literal('tool.call'),
  item_id: itemId,
  call_id: z.string(),
  name: z.string(),
  /** Parsed; the raw text where it is not JSON. */
  arguments: z.unknown(),
  partial,
})
export const stepRetrySchema = z.strictObject({
  seq,
  type: z.literal('step.retry'),
  step: z.int().nonnegative(),
  /** An error code, or `node_lost` where the process died before the reply was committed. */
  reason: z.string(),
})
export const stepEndSchema = z.strictObject({
  seq,
  type: z.literal('step.end'),
  step: z.int().nonnegative(),
  finish_reason: z.string(),
  usage: usageSchema.nullable(),
  /** In the unit of the price table; absent where the model has no price. */
  cost: z.number().nonnegative().optional(),
  /** Milliseconds from the start of the model call. `first_token` is null when nothing was streamed. */
  timings: z.strictObject({ first_token: z.number().nullable(), total: z.number() }),
})
export const toolProgressSchema = z.strictObject({
  type: z.literal('tool.progress'),
  call_id: z.string(),
  progress: z.number().optional(),
  total: z.number().optional(),
  message: z.string().optional(),
  /** What an agent that serves as the tool does: an event of its own, without a number. */
  event: z.record(z.string(), z.unknown()).optional(),
})
export const toolEndSchema = z.strictObject({
  seq,
  type: z.literal('tool.end'),
  call_id: z.string(),
  item_id: itemId,
  /** What the model reads. Stored with the item only. */
  output: z.string(),
  error: runErrorSchema.optional(),
  duration_ms: z.number(),
})
export const planUpdateSchema = z.strictObject({
  seq,
  type: z.literal('plan.update'),
  plan: z.string(),
  /** False for the first plan of a run. */
  updated: z.boolean(),
})
export const agentSwitchSchema = z.strictObject({
  seq,
  type: z.literal('agent.switch'),
  from: z.string(),
  to: z.string(),
  /** `keywords`, `function`, `model`, `fallback`: it was routed. `conversation`: it was there before. `handoff: …`: why. */
  why: z.string(),
})
export const warningSchema = z.strictObject({
  seq,
  type: z.literal('warning'),
  code: z.string(),
  message: z.string(),
})

/** What a person is asked. `schema`: JSON Schema of the answer; absent: any text. */
export const approvalQuestionSchema = z.strictObject({
  message: z.string(),
  schema: z.record(z.string(), z.unknown()).optional(),
})
export type ApprovalQuestion = z.infer<typeof approvalQuestionSchema>

/** A tool call that waits for a person, as it stands in `run.suspend` and on a run. */
export const approvalRequestSchema = z.strictObject({
  id: z.string(),
  call_id: z.string(),
  tool: z.string(),
  /** What would run: the parsed arguments. */
  arguments: z.unknown(),
  /**
   * `policy`: the tool asks for it. `outcome_unknown`: it may have run before a crash; approving runs it again. `question`:
   * the tool wants to know something.
   */
  reason: z.enum(['policy', 'outcome_unknown', 'question']),
  question: approvalQuestionSchema.optional(),
  /** RFC 3339; null when it never expires. */
  expires_at: z.string().nullable(),
})
export type ApprovalRequest = z.infer<typeof approvalRequestSchema>

export const pendingCallSchema = z.strictObject({
  call_id: z.string(),
  name: z.string(),
  arguments: z.unknown(),
})
export type PendingCall = z.infer<typeof pendingCallSchema>

export const runSuspendSchema = z.strictObject({
  seq,
  type: z.literal('run.suspend'),
  approvals: z.array(approvalRequestSchema),
  /** Calls of the caller's own tools whose results are awaited. */
  tool_calls: z.array(pendingCallSchema),
})
export const approvalResolveSchema = z.strictObject({
  seq,
  type: z.literal('approval.resolve'),
  approval_id: z.string(),
  call_id: z.string(),
  decision: z.enum(['approve', 'reject', 'answer', 'expire']),
  by: z.string(),
  reason: z.string().optional(),
  /** The edited arguments, where the decision changed them. */
  arguments: z.unknown().optional(),
  /** The answer to a question. */
  answer: z.unknown().optional(),
})
export const runEndSchema = z.strictObject({
  seq,
  type: z.literal('run.end'),
  status: terminalStatusSchema,
  stop_reason: stopReasonSchema,
  /** The answer was made by one last call without tools, at `max_steps`. */
  forced: z.literal(true).optional(),
  /** Ids of the message items that make up the answer. */
  output: z.array(z.string()),
  usage: usageSchema,
  /** In the unit of the price table; absent where no model that was asked has a price. */
  cost: z.number().nonnegative().optional(),
  /** Model replies of the run. */
  steps: z.int().nonnegative(),
  error: runErrorSchema.nullable(),
})

/** Every event that has a place in the sequence. */
export const loggedEventSchema = z.discriminatedUnion('type', [
  runStartSchema,
  stepStartSchema,
  textStartSchema,
  textDeltaSchema,
  textEndSchema,
  reasoningStartSchema,
  reasoningDeltaSchema,
  reasoningEndSchema,
  toolStartSchema,
  toolInputSchema,
  toolCallSchema,
  stepRetrySchema,
  stepEndSchema,
  toolEndSchema,
  planUpdateSchema,
  agentSwitchSchema,
  warningSchema,
  runSuspendSchema,
  approvalResolveSchema,
  runEndSchema,
])
export const eventSchema = z.union([loggedEventSchema, toolProgressSchema])

export type LoggedEvent = z.infer<typeof loggedEventSchema>
export type ToolProgressEvent = z.infer<typeof toolProgressSchema>
/** One entry of a run's log, or live progress beside it. */
export type RunEvent = z.infer<typeof eventSchema>
export type EventType = RunEvent['type']
export type EventOf<T extends EventType> = Extract<RunEvent, { type: T }>

/** An event as it is written, before the log gives it its number. */
export type EventDraft = LoggedEvent extends infer E
  ? E extends LoggedEvent
    ? Omit<E, 'seq'>
    : never
  : never

export type RunStartEvent = z.infer<typeof runStartSchema>
export type RunSuspendEvent = z.infer<typeof runSuspendSchema>
export type RunEndEvent = z.infer<typeof runEndSchema>

/** How far above the last committed event the next attempt starts. */
export const attemptGap = 2 ** 20
