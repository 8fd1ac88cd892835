import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import type { ErrorLocation } from '../errors.ts'
import type { ApprovalQuestion } from '../events.ts'
import { maxJsonDepth, nestsDeeperThan } from '../json-depth.ts'
import { within } from './bounded.ts'
import type { CallApproval } from './context.ts'
import type { Answer, JsonSchema, Question, ZodOrJsonSchema } from './definitions.ts'
import { byOwnProperties, toZod } from './json-schema.ts'
import { isZodType, readSchema } from './schema.ts'

/*
 * Questions of tools to people: what may be asked, what answers it, and which answer belongs to which question.
 */

const maxMessageChars = 10_000
const maxSchemaChars = 20_000
const maxCheckMs = 200
/** Faults of an answer that are told. */
const maxIssues = 20
/** How often one call may ask: a tool whose question is another one each time would ask for ever. */
export const maxQuestions = 50

/** A question as it is stored and shown. Throws a `TypeError` on what nobody can be asked; its text is for the model. */
export function toApprovalQuestion({ message, schema }: Question): ApprovalQuestion {
  if (typeof message !== 'string' || message.trim() === '') throw new TypeError('A question needs a message.')
  if (message.length > maxMessageChars)
    throw new TypeError(`A question may have ${maxMessageChars} characters.`)
  return schema === undefined ? { message } : { message, schema: toJson(schema) }
}

/** The answer as the question's schema gives it: defaults are filled in. What cannot be checked passes. */
export function checkAnswer(
  { schema }: ApprovalQuestion,
  answer: unknown,
): { ok: true; value: unknown } | { ok: false; issues: ErrorLocation[] } {
  if (!schema) {
    return typeof answer === 'string'
      ? { ok: true, value: answer }
      : { ok: false, issues: [{ path: [], message: 'Must be a text' }] }
  }
  const result = check(schema, answer)
  if (result.success) return { ok: true, value: result.data }
  const issues = result.error.issues.slice(0, maxIssues).map(({ path, message }) => ({
    // Of JSON: no symbols.
    path: path as (string | number)[],
    message,
  }))
  return { ok: false, issues }
}

/** What people said to the questions of one call. */
export interface Answers {
  /** How many questions were asked. */
  readonly count: number
  /** The answer to this very question; each is given once, in the order they were asked. */
  take(question: ApprovalQuestion): CallApproval | undefined
}

export function answersIn(approvals: readonly CallApproval[] = []): Answers {
  const left = approvals.filter(({ reason }) => reason === 'question')
  return {
    count: left.length,
    take(question) {
      const at = left.findIndex((approval) => isDeepStrictEqual(approval.question, question))
      return at === -1 ? undefined : left.splice(at, 1)[0]
    },
  }
}

/** As the tool is told. */
export function toAnswer({ status, decision }: CallApproval): Answer {
  if (status === 'answered') return { action: 'accept', content: decision?.answer }
  if (status !== 'rejected') return { action: 'cancel' }
  return { action: 'decline', ...(decision?.reason ? { reason: decision.reason } : {}) }
}

function toJson(schema: ZodOrJsonSchema): JsonSchema {
  const given: unknown = isZodType(schema) ? readSchema(schema).jsonSchema : schema
  const text = typeof given === 'object' && given !== null ? JSON.stringify(given) : ''
  if (!text.startsWith('{')) throw new TypeError('The schema of a question must be an object.')
  if (text.length > maxSchemaChars || nestsDeeperThan(text, maxJsonDepth)) {
    throw new TypeError(`The schema of a question may have ${maxSchemaChars} characters.`)
  }
  // As it comes back from the store, to be compared with that.
  return JSON.parse(text) as JsonSchema
}

/**
 * As much of a JSON Schema as can be checked: the whole, or where a keyword has no counterpart, an object's properties each
 * for itself, or the bare type, or nothing.
 */
function checkable(schema: unknown): z.ZodType {
  const whole = converted(schema)
  if (whole) return whole
  if (typeof schema !== 'object' || schema === null) return z.unknown()
  const { type, properties, required } = schema as JsonSchema
  if (type !== 'object' || typeof properties !== 'object' || properties === null) {
    return converted({ type }) ?? z.unknown()
  }
  const needed = new Set(Array.isArray(required) ? required : [])
  const shape = Object.entries(properties).map(([name, one]): [string, z.ZodType] => {
    const property = checkable(one)
    return [name, needed.has(name) ? property : property.optional()]
  })
  return byOwnProperties(z.looseObject(Object.fromEntries(shape)))
}

function converted(schema: unknown): z.ZodType | undefined {
  try {
    // It may be anything a tool or its server wrote: what is no JSON Schema throws here.
    return toZod(schema as JsonSchema)
  } catch {
    return undefined
  }
}

/** What shows only now passes: a schema that refers to itself without end, a pattern that takes longer than anybody waits. */
function check(schema: JsonSchema, answer: unknown): ReturnType<z.ZodType['safeParse']> {
  try {
    return within(maxCheckMs, () => checkable(schema).safeParse(answer))
  } catch {
    return { success: true, data: answer }
  }
}
