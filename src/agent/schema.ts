import { z } from 'zod'
import { countJson } from '../json-count.ts'
import { cutEnd } from './cut-text.ts'
import type { JsonSchema, ParsedInput, ZodOrJsonSchema } from './definitions.ts'
import { toZod, wasStopped } from './json-schema.ts'

/**
 * A zod schema or a JSON Schema, as both. Throws where one has no counterpart. The JSON Schema describes the value before the
 * zod schema's own changes: that is what models write.
 */
export function readSchema(given: ZodOrJsonSchema): {
  schema: z.ZodType
  jsonSchema: JsonSchema
} {
  if (!isZodType(given)) return { schema: toZod(given), jsonSchema: given }
  return { schema: given, jsonSchema: toJsonSchema(given) }
}

/**
 * The same for what a model answers: objects are closed where zod would drop what is not described, for then some providers can
 * hold a model to the schema.
 */
export function readOutputSchema(given: ZodOrJsonSchema): ReturnType<typeof readSchema> {
  if (!isZodType(given)) return readSchema(given)
  const jsonSchema = toJsonSchema(given, ({ zodSchema, jsonSchema: made }) => {
    const { def } = zodSchema._zod
    if (def.type === 'object' && !('catchall' in def && def.catchall)) made.additionalProperties = false
  })
  return { schema: given, jsonSchema }
}

function toJsonSchema(
  schema: z.ZodType,
  override?: NonNullable<Parameters<typeof z.toJSONSchema>[1]>['override'],
): JsonSchema {
  const made = z.toJSONSchema(schema, { io: 'input', ...(override && { override }) })
  const { $schema: _dialect, ...jsonSchema } = made as JsonSchema
  return jsonSchema
}

/** Of so many values what a model writes may be made: zod works and keeps much for each that does not fit. */
const maxValues = 50_000

/** The value after the schema's own changes, or its first faults in one line, each with its place. */
export function parseWith<Value>(schema: z.ZodType, input: unknown): ParsedInput<Value> {
  return isTooMany(input) ? tooMany : toParsed(schema.safeParse(input))
}

/** The same for a schema whose author may need to wait: an asynchronous refinement or change. */
export async function parseWaiting(schema: z.ZodType, input: unknown): Promise<ParsedInput<unknown>> {
  return isTooMany(input) ? tooMany : toParsed(await schema.safeParseAsync(input))
}

const tooMany = { ok: false, message: `more than ${maxValues} values` } as const

function isTooMany(input: unknown): boolean {
  return countJson(input, maxValues) > maxValues
}

/** The model reads it, clients too, and it is kept. */
const maxFaults = 20
const maxMessageChars = 2_000

function toParsed<Value>(result: z.ZodSafeParseResult<unknown>): ParsedInput<Value> {
  // The schema's output type is what the caller infers from it.
  if (result.success) return { ok: true, value: result.data as Value }
  const { issues } = result.error
  const told = issues
    .slice(0, maxFaults)
    .map((issue) => (issue.path.length > 0 ? `${issue.path.join('.')}: ${issue.message}` : issue.message))
    .join('; ')
  const message = cutEnd(told, maxMessageChars)
  const left = issues.length - maxFaults
  return {
    ok: false,
    message: left > 0 ? `${message}; and ${left} more` : message,
    ...(wasStopped(issues) && { tookTooLong: true }),
  }
}

export function isZodType(input: ZodOrJsonSchema): input is z.ZodType {
  return '_zod' in input
}
