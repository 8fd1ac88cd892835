import { z } from 'zod'
import { AppError, type ErrorCode, errorCodes } from '../errors.ts'
import { type Clock, sleep, systemClock } from '../clock.ts'
import { clockSchema, functionSchema, parseDefinition } from '../parse-definition.ts'
import type { Usage } from '../run-state.ts'
import type { FinishReason, Model, ModelPart, ModelReply, ModelRequest, ModelStreamOptions } from './model.ts'

export interface ScriptedToolCall {
  name: string
  /** An object is written as JSON; a string goes out as it is, valid or not. */
  arguments: Record<string, unknown> | string
  /** In how many deltas the argument text comes. Default 1. */
  chunks?: number
}

/** How a reply fails: with a coded error, or with whatever is under `throw`. `after`: how many parts come first, default all. */
export type ScriptedError =
  | { code: ErrorCode; after?: number; retryAfterMs?: number; retryable?: boolean }
  | { throw: unknown; after?: number }

/** One reply. Reasoning comes first, then text, then tool calls. */
export interface ScriptedTurn {
  /** A string is cut into deltas of a word each; an array is the deltas. */
  text?: string | readonly string[]
  reasoning?: string | readonly string[]
  toolCalls?: readonly ScriptedToolCall[]
  /** Start all tool calls first, then take turns with their arguments. */
  interleave?: boolean
  /** The exact parts, instead of all the above. */
  parts?: readonly ModelPart[]
  /** Wait before each part, on the model's clock. */
  delayMs?: number
  /** Awaited before each part, with its number from 0: lets a test step through the reply. */
  gate?: (index: number) => unknown
  /** Default: a token for each item of the request and for each part of the reply. */
  usage?: Usage | null
  /** Default: `tool_calls` where the reply has one, else `stop`. */
  finishReason?: FinishReason
  error?: ScriptedError
  /** After the parts, go silent until the signal fires. */
  hang?: true
}

/** A string is a turn of text. */
export type ScriptedReply = string | ScriptedTurn

export type ReplyFunction = (
  request: ModelRequest,
  /** From 0. */
  callIndex: number,
) => ScriptedReply | Promise<ScriptedReply>

export interface ScriptedModelOptions {
  /** Default `scripted/model`. */
  id?: string
  contextWindow?: number
  /** What a call past the end of the list gets: an error (default), the last reply again, or the list from its start. */
  atEnd?: 'throw' | 'repeat' | 'loop'
  /** False: `calls` stays empty, so that a benchmark's requests can be forgotten. Default true. */
  record?: boolean
  /** What `delayMs` waits on. */
  clock?: Clock
}

export interface ScriptedModel extends Model {
  /** Every request so far, as it was given. */
  readonly calls: readonly ModelRequest[]
  /** How many calls ended because their signal fired. */
  readonly aborted: number
}

const deltas = z.union([z.string(), z.array(z.string())])
const turnSchema = z.strictObject({
  text: deltas.optional(),
  reasoning: deltas.optional(),
  toolCalls: z
    .array(
      z.strictObject({
        name: z.string(),
        arguments: z.union([z.record(z.string(), z.unknown()), z.string()]),
        chunks: z.int().min(1).optional(),
      }),
    )
    .optional(),
  interleave: z.boolean().optional(),
  parts: z.array(z.looseObject({ type: z.string() })).optional(),
  delayMs: z.number().min(0).optional(),
  gate: functionSchema.optional(),
  usage: z.looseObject({}).nullable().optional(),
  finishReason: z.enum(['stop', 'length', 'tool_calls', 'content_filter', 'other']).optional(),
  error: z
    .union([
      z.strictObject({
        code: z.custom(
          (code) => typeof code === 'string' && Object.hasOwn(errorCodes, code),
          'must be a code of docs/errors.md',
        ),
        after: z.int().min(0).optional(),
        retryAfterMs: z.number().optional(),
        retryable: z.boolean().optional(),
      }),
      z.strictObject({ throw: z.unknown(), after: z.int().min(0).optional() }),
    ])
    .optional(),
  hang: z.literal(true).optional(),
})
const scriptSchema = z.strictObject({
  replies: z.union([z.array(z.union([z.string(), turnSchema])), functionSchema]),
  options: z.strictObject({
    id: z.string().min(1).optional(),
    contextWindow: z.int().positive().optional(),
    atEnd: z.enum(['throw', 'repeat', 'loop']).optional(),
    record: z.boolean().optional(),
    clock: clockSchema.optional(),
  }),
})

/**
 * A model for tests: replies from a list, one for each call in order, or from a function of the request. Without `delayMs`
 * and `gate` all parts of a reply come synchronously, one microtask after the call.
 *
 * A call for which nothing is scripted rejects with a plain `Error`. Throws a `DefinitionError` on a listed reply or an option
 * that is none.
 *
 * @example
 * scriptedModel([{ toolCalls: [{ name: 'calculator', arguments: { expression: '6 * 7' } }] }, 'It is 42.'])
 */
export function scriptedModel(
  replies: readonly ScriptedReply[] | ReplyFunction,
  options: ScriptedModelOptions = {},
): ScriptedModel {
  parseDefinition({ what: 'scriptedModel', schema: scriptSchema, options: { replies, options } })
  const clock = options.clock ?? systemClock
  const scriptOf =
    typeof replies === 'function' ? byFunction(replies) : byList(replies, options.atEnd ?? 'throw')
  const calls: ModelRequest[] = []
  let count = 0
  let aborted = 0

  return {
    provider: 'scripted',
    id: options.id ?? 'scripted/model',
    ...(options.contextWindow === undefined ? {} : { contextWindow: options.contextWindow }),
    calls,
    get aborted() {
      return aborted
    },
    async stream(request, streamOptions) {
      const index = count++
      if (options.record ?? true) calls.push(request)
      try {
        // Also the one microtask before the first part: no caller is called back before its call has returned.
        const script = await scriptOf(request, index)
        return await play({ script, request, clock, ...streamOptions })
      } catch (error) {
        if (streamOptions.signal.aborted) aborted++
        throw error
      }
    },
  }
}

/** A turn with its parts laid out. */
interface Script {
  turn: ScriptedTurn
  parts: readonly ModelPart[]
}

function byFunction(reply: ReplyFunction) {
  return (request: ModelRequest, index: number): Script | Promise<Script> => {
    const made = reply(request, index)
    return made instanceof Promise ? made.then(toScript) : toScript(made)
  }
}

function byList(replies: readonly ScriptedReply[], atEnd: 'throw' | 'repeat' | 'loop') {
  const list = replies.map(toScript)
  return (_request: ModelRequest, index: number): Script => {
    const at =
      atEnd === 'loop' ? index % list.length : atEnd === 'repeat' ? Math.min(index, list.length - 1) : index
    const script = list[at]
    if (script) return script
    throw new Error(`scripted model: this is call ${index + 1}, but only ${list.length} were scripted`)
  }
}

async function play(
  input: { script: Script; request: ModelRequest; clock: Clock } & ModelStreamOptions,
): Promise<ModelReply> {
  const { script, request, emit, signal } = input
  const { turn, parts } = script
  const slow = turn.delayMs !== undefined || turn.gate !== undefined
  const count = Math.min(parts.length, turn.error?.after ?? parts.length)
  for (let i = 0; i < count; i++) {
    if (slow) await pause({ turn, index: i, clock: input.clock, signal })
    signal.throwIfAborted()
    const part = parts[i]
    if (part) emit(part)
  }
  signal.throwIfAborted()
  if (turn.error) throw toError(turn.error)
  if (turn.hang) await orAbort(new Promise<never>(() => {}), signal)
  return toReply({ turn, parts, request })
}

async function pause(input: {
  turn: ScriptedTurn
  index: number
  clock: Clock
  signal: AbortSignal
}): Promise<void> {
  const { turn, index, clock, signal } = input
  if (turn.delayMs !== undefined) await sleep({ clock, ms: turn.delayMs, signal })
  signal.throwIfAborted()
  if (turn.gate) await orAbort(Promise.resolve(turn.gate(index)), signal)
}

/** The promise, or a rejection with the signal's reason, whichever comes first. */
function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error)
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

function toError(error: ScriptedError): unknown {
  if ('throw' in error) return error.throw
  const { code, retryable, retryAfterMs } = error
  return new AppError(code, {
    cause: new Error('scripted failure'),
    ...(retryable === undefined ? {} : { retryable }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}

function toReply(input: {
  turn: ScriptedTurn
  parts: readonly ModelPart[]
  request: ModelRequest
}): ModelReply {
  const { turn, parts, request } = input
  const called = parts.some((part) => part.type === 'tool_call')
  const [input_tokens, output_tokens] = [request.items.length, parts.length]
  return {
    finishReason: turn.finishReason ?? (called ? 'tool_calls' : 'stop'),
    usage:
      turn.usage === undefined
        ? { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens }
        : turn.usage,
  }
}

function toScript(reply: ScriptedReply): Script {
  const turn = typeof reply === 'string' ? { text: reply } : reply
  return { turn, parts: turn.parts ?? toParts(turn) }
}

function toParts(turn: ScriptedTurn): ModelPart[] {
  const parts: ModelPart[] = []
  for (const delta of toDeltas(turn.reasoning)) parts.push({ type: 'reasoning', delta })
  for (const delta of toDeltas(turn.text)) parts.push({ type: 'text', delta })
  return parts.concat(toCallParts(turn.toolCalls ?? [], turn.interleave ?? false))
}

function toDeltas(text: string | readonly string[] | undefined): readonly string[] {
  if (text === undefined) return []
  return typeof text === 'string' ? cutIntoWords(text) : text
}

/** Each word with the white space before it, as providers cut; a long run without spaces in pieces of 16 characters. */
export function cutIntoWords(text: string): string[] {
  return text.match(/\s*\S{1,16}|\s+/gu) ?? []
}

function toCallParts(toolCalls: readonly ScriptedToolCall[], interleave: boolean): ModelPart[] {
  const starts = toolCalls.map(({ name }, index): ModelPart => ({ type: 'tool_call', index, name }))
  const inputs = toolCalls.map((call, index) =>
    cutIntoPieces(argumentText(call), call.chunks ?? 1).map((delta): ModelPart => ({
      type: 'tool_input',
      index,
      delta,
    })),
  )
  if (!interleave) return starts.flatMap((start, index) => [start, ...(inputs[index] ?? [])])
  const rounds = Math.max(0, ...inputs.map((pieces) => pieces.length))
  const turns = Array.from({ length: rounds }, (_, round) => inputs.flatMap((pieces) => pieces[round] ?? []))
  return [...starts, ...turns.flat()]
}

function argumentText(call: ScriptedToolCall): string {
  return typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments)
}

/** About equal pieces, at most `count` of them, none empty, no surrogate pair torn. */
function cutIntoPieces(text: string, count: number): string[] {
  const characters = Array.from(text)
  const size = Math.max(1, Math.ceil(characters.length / count))
  const pieces: string[] = []
  for (let i = 0; i < characters.length; i += size) pieces.push(characters.slice(i, i + size).join(''))
  return pieces
}
