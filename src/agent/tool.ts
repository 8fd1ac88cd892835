import { z } from 'zod'
import type {
  ApprovalContext,
  JsonSchema,
  Tool,
  ToolContext,
  ToolEffect,
  ZodOrJsonSchema,
} from './definitions.ts'
import {
  DefinitionError,
  definitionName,
  functionSchema,
  maxTimerMs,
  parseDefinition,
} from '../parse-definition.ts'
import { parseWith, readSchema } from './schema.ts'

type InputOf<S> = S extends z.ZodType ? z.output<S> : Record<string, unknown>

export interface ToolOptions<S extends ZodOrJsonSchema> {
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
  /**
   * Further tries, at most 10, after a failure or a timeout; the wait before them doubles from `delayMs` (default 500) up to a
   * minute. Not after an `AppError` that is not `retryable`. Only for `read` and `idempotent`.
   */
  retries?: number | { times: number; delayMs?: number }
  /**
   * How long a result answers the same call of the same owner with the same `run_context`, within this process. Not failures,
   * nor results of calls that asked a person. Only for `read`.
   */
  cache?: { ttlMs: number }
  /** A string goes to the model as it is, anything else as JSON. What it throws the model reads as `tool_failed`. */
  execute(input: InputOf<S>, context: ToolContext): unknown
}

/** JavaScript callers have no compiler: a misspelt `approval` must not mean that none is asked for. */
const optionsSchema = z
  .strictObject({
    name: definitionName,
    description: z.string(),
    input: z.unknown().optional(),
    effect: z.enum(['read', 'idempotent', 'write']).optional(),
    approval: z.union([z.enum(['never', 'required']), functionSchema]).optional(),
    timeoutMs: z.int().positive().max(maxTimerMs).optional(),
    maxOutputChars: z.int().positive().optional(),
    retries: z
      .union([
        z.int().min(0).max(10),
        z.strictObject({
          times: z.int().min(0).max(10),
          delayMs: z.int().min(0).max(60_000).optional(),
        }),
      ])
      .optional(),
    cache: z.strictObject({ ttlMs: z.int().positive() }).optional(),
    execute: functionSchema,
  })
  .refine(({ retries, effect }) => toRetries(retries).times === 0 || (effect ?? 'write') !== 'write', {
    path: ['retries'],
    message: 'only for an effect of read or idempotent: a write must not be repeated',
  })
  .refine(({ cache, effect }) => cache === undefined || effect === 'read', {
    path: ['cache'],
    message: 'only for an effect of read',
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
export function tool<S extends ZodOrJsonSchema = z.ZodType<Record<string, unknown>>>(
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
    ...(approval !== 'never' && { asksPeople: true as const }),
    timeoutMs: options.timeoutMs ?? 60_000,
    maxOutputChars: options.maxOutputChars ?? 50_000,
    retries: toRetries(options.retries),
    cacheMs: options.cache?.ttlMs ?? null,
    parse: (input: unknown) => parseWith<InputOf<S>>(schema, input),
    // Called as a method, so that a tool may use `this`.
    execute: (input: InputOf<S>, context: ToolContext) => options.execute(input, context),
  })
}

function toRetries(given: ToolOptions<JsonSchema>['retries'] = 0): Tool['retries'] {
  const { times, delayMs = 500 } = typeof given === 'number' ? { times: given } : given
  return { times, delayMs }
}

function toSchemas(
  name: string,
  input: ZodOrJsonSchema | undefined,
): { schema: z.ZodType; parameters: JsonSchema } {
  if (input === undefined) {
    return { schema: z.object({}), parameters: { type: 'object', properties: {} } }
  }
  try {
    const { schema, jsonSchema } = readSchema(input)
    if (jsonSchema.type === 'object') return { schema, parameters: jsonSchema }
  } catch (error) {
    throw new DefinitionError(
      `tool ${name}: input: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
  throw new DefinitionError(`tool ${name}: input must be the schema of an object`)
}
