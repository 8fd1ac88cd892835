import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { errorCodes, type ErrorCode } from '../errors.ts'
import { usageSchema } from '../run-state.ts'
import { isSame } from './differences.ts'
import { toReadableJson } from './readable-json.ts'
import type { RecordedRequest } from './recorded-request.ts'

/*
 * The file that recorded calls of a model are kept in. Meant to be read, reviewed and changed by hand: a call holds of its
 * request only what is new since the call before it.
 */

const format = 'parley-model-fixture/1'

const providerData = z.record(z.string(), z.unknown()).optional()
const index = z.int().nonnegative()
/** When the part came, in milliseconds since the call. */
const at_ms = z.number().nonnegative().optional()
const partSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text'), delta: z.string(), at_ms }),
  z.strictObject({ type: z.literal('text_end'), providerData, at_ms }),
  z.strictObject({ type: z.literal('reasoning'), delta: z.string(), at_ms }),
  z.strictObject({ type: z.literal('reasoning_end'), providerData, at_ms }),
  z.strictObject({ type: z.literal('tool_call'), index, name: z.string(), providerData, at_ms }),
  z.strictObject({ type: z.literal('tool_input'), index, delta: z.string(), at_ms }),
  z.strictObject({ type: z.literal('file'), url: z.string(), mediaType: z.string(), providerData, at_ms }),
])
/** A part as it was emitted, with its time where times were kept. */
export type RecordedPart = z.infer<typeof partSchema>

const endSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('reply'),
    finishReason: z.enum(['stop', 'length', 'tool_calls', 'content_filter', 'other']),
    usage: usageSchema.nullable(),
    at_ms,
  }),
  z.strictObject({
    type: z.literal('error'),
    // The keys of the one table, which are all strings.
    code: z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]),
    message: z.string().optional(),
    retryable: z.boolean().optional(),
    retryAfterMs: z.number().optional(),
    at_ms,
  }),
  /** Whoever asked ended the call. */
  z.strictObject({ type: z.literal('aborted'), at_ms }),
])
export type RecordedEnd = z.infer<typeof endSchema>

const newItemsSchema = z.strictObject({
  /** The first so many items of the call before come first. */
  itemsAsBefore: z.int().nonnegative().optional(),
  items: z.array(z.record(z.string(), z.unknown())),
})
const requestSchema = newItemsSchema.extend({
  /** These fields are those of the call before. */
  asBefore: z.array(z.string()).optional(),
  instructions: z.string().optional(),
  tools: z.array(z.unknown()).optional(),
  toolChoice: z.unknown().optional(),
  outputSchema: z.unknown().optional(),
  settings: z.record(z.string(), z.unknown()).optional(),
})
type StoredRequest = z.infer<typeof requestSchema>

const modelSchema = z.strictObject({
  provider: z.string(),
  id: z.string(),
  contextWindow: z.number().positive().optional(),
  accepts: z.array(z.enum(['image', 'file'])).optional(),
  enforcesOutputSchema: z.boolean().optional(),
})
/** What is known of the model that was recorded. */
export type RecordedModelInfo = z.infer<typeof modelSchema>

const fileSchema = z.strictObject({
  format: z.literal(format),
  model: modelSchema,
  calls: z.array(z.strictObject({ request: requestSchema, parts: z.array(partSchema), end: endSchema })),
})

export interface RecordedCall {
  request: RecordedRequest
  parts: RecordedPart[]
  end: RecordedEnd
}

export interface ModelFixture {
  model: RecordedModelInfo
  /** In the order they were made. */
  calls: RecordedCall[]
}

/** Where a fixture is: `new URL('./weather.json', import.meta.url)`, or a path from the working directory. */
export type FixturePath = string | URL

export function toFilePath(path: FixturePath): string {
  return typeof path === 'string' ? path : fileURLToPath(path)
}

/** Throws an `Error` that says what is wrong with the file. */
export function readFixture(path: FixturePath): ModelFixture {
  const file = toFilePath(path)
  const parsed = fileSchema.safeParse(readJson(file))
  if (!parsed.success) throw new Error(`${file} is no fixture of a model:\n${z.prettifyError(parsed.error)}`)
  const { model, calls } = parsed.data
  let before: RecordedRequest | undefined
  return {
    model,
    calls: calls.map(({ request, parts, end }) => {
      before = expand(request, before)
      return { request: before, parts, end }
    }),
  }
}

/** Whole or not at all: a process that ends in between leaves the old file. Makes the folder. */
export function writeFixture(path: FixturePath, { model, calls }: ModelFixture): void {
  const file = toFilePath(path)
  const stored = calls.map((call, i) => ({ ...call, request: shorten(call.request, calls[i - 1]?.request) }))
  mkdirSync(dirname(file), { recursive: true })
  const draft = `${file}.${randomUUID()}.tmp`
  try {
    writeFileSync(draft, toReadableJson({ format, model, calls: stored }))
    renameSync(draft, file)
  } finally {
    // Gone already where all went well.
    rmSync(draft, { force: true })
  }
}

function readJson(file: string): unknown {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new Error(`there is no fixture at ${file}: record it first`, { cause: error })
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Error(`${file} is not JSON: ${error instanceof Error ? error.message : ''}`, { cause: error })
  }
}

const repeatable = ['instructions', 'tools', 'toolChoice', 'outputSchema', 'settings'] as const

function shorten(request: RecordedRequest, before: RecordedRequest | undefined): StoredRequest {
  if (!before) return request
  const asBefore = repeatable.filter((key) => request[key] !== undefined && isSame(request[key], before[key]))
  const differs = request.items.findIndex((item, i) => !isSame(item, before.items[i]))
  const itemsAsBefore = differs === -1 ? request.items.length : differs
  const rest = Object.fromEntries(
    repeatable.filter((key) => !asBefore.includes(key)).map((key) => [key, request[key]]),
  )
  return {
    ...(asBefore.length > 0 && { asBefore }),
    ...rest,
    ...(itemsAsBefore > 0 && { itemsAsBefore }),
    items: request.items.slice(itemsAsBefore),
  }
}

function expand(stored: StoredRequest, before: RecordedRequest | undefined): RecordedRequest {
  const { asBefore = [], itemsAsBefore = 0, items, ...own } = stored
  const kept = repeatable.filter((key) => asBefore.includes(key)).map((key) => [key, before?.[key]])
  return {
    ...own,
    // Each of these fields comes from another request, with its type.
    ...(Object.fromEntries(kept) as Partial<RecordedRequest>),
    items: [...(before?.items.slice(0, itemsAsBefore) ?? []), ...items],
  }
}
