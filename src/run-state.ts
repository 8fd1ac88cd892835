import { z } from 'zod'

export const runStatusSchema = z.enum(['queued', 'running', 'suspended', 'completed', 'failed', 'cancelled'])
export type RunStatus = z.infer<typeof runStatusSchema>

export const terminalStatusSchema = z.enum(['completed', 'failed', 'cancelled'])
export type TerminalStatus = z.infer<typeof terminalStatusSchema>

export function isTerminal(status: RunStatus): status is TerminalStatus {
  return status === 'completed' || status === 'failed' || status === 'cancelled'
}

export const stopReasonSchema = z.enum([
  'final',
  'max_steps',
  'client_tools',
  'max_output_tokens',
  'content_filter',
  'timeout',
  'budget',
  'cancelled',
  'error',
])
export type StopReason = z.infer<typeof stopReasonSchema>

/** Tokens, summed over the model calls of a run, those that were thrown away included where the provider reported them. */
export const usageSchema = z.strictObject({
  input_tokens: z.int().nonnegative(),
  output_tokens: z.int().nonnegative(),
  total_tokens: z.int().nonnegative(),
  cached_input_tokens: z.int().nonnegative().optional(),
  reasoning_tokens: z.int().nonnegative().optional(),
})
export type Usage = z.infer<typeof usageSchema>

export const noUsage: Usage = Object.freeze({ input_tokens: 0, output_tokens: 0, total_tokens: 0 })

export function addUsage(a: Usage, b: Usage): Usage {
  const sum: Usage = {
    input_tokens: a.input_tokens + b.input_tokens,
    output_tokens: a.output_tokens + b.output_tokens,
    total_tokens: a.total_tokens + b.total_tokens,
  }
  const cached = (a.cached_input_tokens ?? 0) + (b.cached_input_tokens ?? 0)
  const reasoning = (a.reasoning_tokens ?? 0) + (b.reasoning_tokens ?? 0)
  if (cached > 0) sum.cached_input_tokens = cached
  if (reasoning > 0) sum.reasoning_tokens = reasoning
  return sum
}

/** What a run has used up beside tokens. Kept where somebody counts: a budget, or a price table. */
export const spentSchema = z.strictObject({
  /** In the unit of the price table; null where no model that was asked has a price. */
  cost: z.number().nonnegative().nullable(),
  tool_calls: z.int().nonnegative(),
  /** Time in which the run was worked on. */
  worked_ms: z.number().nonnegative(),
})
export type Spent = z.infer<typeof spentSchema>

/** Why a run failed, or was cancelled: a code of `errors.ts` and a text that is safe to show. */
export const runErrorSchema = z.strictObject({ code: z.string(), message: z.string() })
export type RunError = z.infer<typeof runErrorSchema>

/** What whoever asked for a run should know of it, and whoever debugs it. */
export interface RunWarning {
  code: string
  message: string
}

/** How many a run keeps. */
export const maxRunWarnings = 20

/** The warnings of a run with new ones: each once, where it came first; of too many the newest, which say why it ended. */
export function addWarnings(known: readonly RunWarning[], added: readonly RunWarning[]): RunWarning[] {
  const all = [...known]
  for (const { code, message } of added) {
    if (!all.some((one) => one.code === code && one.message === message)) all.push({ code, message })
  }
  return all.slice(-maxRunWarnings)
}

export const onConflictSchema = z.enum(['queue', 'reject', 'interrupt'])
export const onDisconnectSchema = z.enum(['cancel', 'continue'])

/** A tool that the caller runs itself: offered to the model, never executed here. */
export const callerToolSchema = z.strictObject({
  name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/),
  description: z.string().default(''),
  /** JSON Schema of the arguments. */
  parameters: z.record(z.string(), z.unknown()),
})
export type CallerTool = z.infer<typeof callerToolSchema>

/** Limits of one run that a request sets: an agent's own hold beside them. */
export const budgetSchema = z.strictObject({
  /** Input and output together. */
  tokens: z.int().positive().optional(),
  /** In the unit of the price table. */
  cost: z.number().positive().optional(),
  /** Time in which the run is worked on. */
  seconds: z.number().positive().optional(),
  tool_calls: z.int().nonnegative().optional(),
})

/** What a request may say about how its run is executed. Kept with the run, so that any later attempt reads the same. */
export const runOptionsSchema = z.strictObject({
  instructions: z.string().optional(),
  model: z.string().optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  max_output_tokens: z.int().positive().optional(),
  max_steps: z.int().min(0).max(1000).optional(),
  force_answer: z.boolean().optional(),
  output_schema: z.record(z.string(), z.unknown()).optional(),
  budget: budgetSchema.optional(),
  tool_choice: z
    .union([z.enum(['auto', 'none', 'required']), z.strictObject({ name: z.string() })])
    .optional(),
  parallel_tool_calls: z.boolean().optional(),
  stop: z.array(z.string()).max(16).optional(),
  seed: z.int().optional(),
  reasoning_effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']).optional(),
  run_context: z.record(z.string(), z.unknown()).optional(),
  metadata: z.record(z.string(), z.string()).optional(),
  /** The caller's own tools. */
  tools: z.array(callerToolSchema).max(128).optional(),
  /** What happens when the model calls one: the run ends with `client_tools`, or suspends until the results come. */
  on_caller_tool: z.enum(['end', 'suspend']).optional(),
})
export type RunOptions = z.infer<typeof runOptionsSchema>
