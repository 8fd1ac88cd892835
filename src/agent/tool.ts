import { z } from 'zod'
import type { Principal } from '../identity/principal.ts'
import { DefinitionError, definitionName, functionSchema, maxTimerMs, parseDefinition } from './definition.ts'

export type ToolEffect = 'read' | 'idempotent' | 'write'

/** What a tool may know of the run that calls it. */
export interface ToolContext {
  /** Fires on cancel, on the tool's own timeout and when the node shuts down. A tool has a second to end after it. */
  signal: AbortSignal
  /** The same whenever this very call is tried again, also after a crash. Give it to what you call. */
  idempotencyKey: string
  principal: Principal
  namespace: string
  runId: string
  conversationId: string | null
  callId: string
  /** The request's `run_context`. */
  runContext: Readonly<Record<string, unknown>>
  /** Shows progress to whoever watches the run now. Not kept. */
  progress: (progress: { progress?: number; total?: number; message?: string }) => void
  /** Writes to the server's log, with run and call id; `fields` under a key of their own. */
  log: (message: string, fields?: Record<string, unknown>) => void
}

type ParsedInput<Input> = { ok: true; value: Input } | { ok: false; message: string }

/** A tool as the loop knows it: inert, made by `tool()`. */
export interface Tool<Input = unknown> {
  readonly name: string
  readonly description: string
  /** JSON Schema of the arguments, as the model is told. */
  readonly parameters: Record<string, unknown>
  /** `write`, the default: it changes something and must not be run twice without a person's word. */
  readonly effect: ToolEffect
  /** Whether a person must agree before it runs. */
  needsApproval(input: Input, context: ApprovalContext): boolean | Promise<boolean>
  readonly timeoutMs: number
  /** Longer results are cut, with a mark that says so. In characters. */
  readonly maxOutputChars: number
  parse(input: unknown): ParsedInput<Input>
  execute(input: Input, context: ToolContext): unknown
}

export type ApprovalContext = Pick<
  ToolContext,
  'principal' | 'namespace' | 'runId' | 'conversationId' | 'runContext'
>

type JsonSchema = Record<string, unknown>
type InputOf<S> = S extends z.ZodType ? z.output<S> : Record<string, unknown>

export interface ToolOptions<S extends z.ZodType | JsonSchema> {
  /** 1 to 64 of `a-z A-Z 0-9 _ -`. */
  name: string
  description: string
  /** A zod schema of an object, or a JSON Schema of one. Absent: no arguments. */
  input?: S
  effect?: ToolEffect
  approval?:
    'never' | 'required' | ((input: InputOf<S>, context: ApprovalContext) => boolean | Promise<boolean>)
  /** Default 60,000. */
  timeoutMs?: number
  /** Default 50,000. */
  maxOutputChars?: number
  /** A string goes to the model as it is, anything else as JSON. What it throws the model reads as `tool_failed`. */
  execute(input: InputOf<S>, context: ToolContext): unknown
}

/** JavaScript callers have no compiler: a misspelt `approval` must not mean that none is asked for. */
const optionsSchema = z.strictObject({
  name: definitionName,
  description: z.string(),
  input: z.unknown().optional(),
  effect: z.enum(['read', 'idempotent', 'write']).optional(),
  approval: z.union([z.enum(['never', 'required']), functionSchema]).optional(),
  timeoutMs: z.int().positive().max(maxTimerMs).optional(),
  maxOutputChars: z.int().positive().optional(),
  execute: functionSchema,
})

/**
 * Defines a tool. Throws a `DefinitionError` at once on what is not one of its options: a name that providers would refuse, a
 * misspelt `effect`, an input that is no object.
 *
 * @example
 * const getWeather = tool({
 *   name: 'get_weather', description: 'The weather of a city.', effect: 'read',
 *   input: z.object({ city: z.string() }),
 *   execute: async ({ city }, { signal }) => (await fetch(url(city), { signal })).json(),
 * })
 */
export function tool<S extends z.ZodType | JsonSchema = z.ZodType<Record<string, unknown>>>(
  options: ToolOptions<S>,
): Tool<InputOf<S>> {
  parseDefinition({ what: 'tool', schema: optionsSchema, options })
  const { schema, parameters } = toSchemas(options.name, options.input)
  const approval = options.approval ?? 'never'
  return Object.freeze({
    name: options.name,
    description: options.description,
    parameters,
    effect: options.effect ?? 'write',
    needsApproval: (input: InputOf<S>, context: ApprovalContext) =>
      typeof approval === 'function' ? approval(input, context) : approval === 'required',
    timeoutMs: options.timeoutMs ?? 60_000,
    maxOutputChars: options.maxOutputChars ?? 50_000,
    parse: (input: unknown) => parseWith<InputOf<S>>(schema, input),
    // Called as a method, so that a tool may use `this`.
    execute: (input: InputOf<S>, context: ToolContext) => options.execute(input, context),
  })
}

function toSchemas(
  name: string,
  input: z.ZodType | JsonSchema | undefined,
): { schema: z.ZodType; parameters: JsonSchema } {
  try {
    const schemas = readSchemas(input)
    if (schemas.parameters.type === 'object') return schemas
  } catch (error) {
    throw new DefinitionError(
      `tool ${name}: input: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
  throw new DefinitionError(`tool ${name}: input must be the schema of an object`)
}

function readSchemas(input: z.ZodType | JsonSchema | undefined): {
  schema: z.ZodType
  parameters: JsonSchema
} {
  if (input === undefined) {
    const schema = z.object({})
    return { schema, parameters: { type: 'object', properties: {} } }
  }
  if (isZodType(input)) {
    const { $schema: _dialect, ...parameters } = z.toJSONSchema(input, { io: 'input' }) as JsonSchema
    return { schema: input, parameters }
  }
  return { schema: z.fromJSONSchema(input), parameters: input }
}

function isZodType(input: z.ZodType | JsonSchema): input is z.ZodType {
  return '_zod' in input
}

function parseWith<Input>(schema: z.ZodType, input: unknown): ParsedInput<Input> {
  const result = schema.safeParse(input)
  // The schema's output type is what InputOf infers from it.
  if (result.success) return { ok: true, value: result.data as Input }
  const message = result.error.issues
    .map((issue) => (issue.path.length > 0 ? `${issue.path.join('.')}: ${issue.message}` : issue.message))
    .join('; ')
  return { ok: false, message }
}
