import { AppError } from '../errors.ts'
import type { EventDraft } from '../events.ts'
import { createId } from '../ids.ts'
import { textOf, type Item, type NoteItem } from '../items.ts'
import { countJson } from '../json-count.ts'
import { maxJsonDepth, nestsDeeperThan } from '../json-depth.ts'
import { authorFault, callAuthor } from './author-code.ts'
import { TookTooLong, turn, within } from './bounded.ts'
import type { RunContext } from './context.ts'
import { cutEnd } from './cut-text.ts'
import type { JsonSchema, Output } from './definitions.ts'
import { toZod } from './json-schema.ts'
import { parseWith } from './schema.ts'

/** How often in a run the model is told what is wrong with its answer. */
export const maxCorrections = 2

/** A schema of a caller's own, or an answer to it, must be read and checked in this time: no other run goes on meanwhile. */
const maxCheckMs = 250

/** Of so many values such a schema may be made: reading a thousand takes up to 20 ms. */
const maxSchemaValues = 1_000

/** What the answer of this run must be: what the request asks for, else the agent at work, else the one that was called. */
export function outputOf({ options, agent, called }: RunContext): Output | null {
  const schema = options.output_schema
  return schema === undefined ? (agent.output ?? called.output) : requestedOutput(schema)
}

const requested = new WeakMap<JsonSchema, Output>()

/** The last ones by their texts: a schema is read when the request comes and when its run begins, and most come again. */
const recent = new Map<string, Output>()
const maxRecent = 100
const maxRecentChars = 50_000

/** Throws where a JSON Schema holds what cannot be checked, or too much. */
export function requestedOutput(schema: JsonSchema): Output {
  const known = requested.get(schema)
  if (known) return known
  if (countJson(schema, maxSchemaValues) > maxSchemaValues) {
    throw new TypeError(`it is made of more than ${maxSchemaValues} values`)
  }
  const text = JSON.stringify(schema)
  const made = recent.get(text) ?? toOutput(schema)
  requested.set(schema, made)
  if (text.length > maxRecentChars) return made
  recent.delete(text)
  recent.set(text, made)
  const [oldest = text] = recent.keys()
  if (recent.size > maxRecent) recent.delete(oldest)
  return made
}

function toOutput(schema: JsonSchema): Output {
  const checked = within(maxCheckMs, () => toZod(schema))
  return {
    schema,
    parse(value) {
      try {
        return within(maxCheckMs, () => parseWith(checked, value))
      } catch (error) {
        // A pattern that finds no end, or references in a circle.
        const tookTooLong = error instanceof TookTooLong
        if (!tookTooLong && !(error instanceof RangeError)) throw error
        const message = `It cannot be checked: ${error.message}.`
        return { ok: false, message, ...(tookTooLong && { tookTooLong }) }
      }
    },
  }
}

/** Whether providers take the schema as it is: they give objects only. Other answers they are asked for in words. */
export function isForProviders({ schema }: Output): boolean {
  return schema.type === 'object'
}

/** `cut`: the answer ends at the limit of its length. `tookTooLong`: its check was stopped. */
export type Verdict = { ok: true; value: unknown } | Wrong
export interface Wrong {
  ok: false
  message: string
  cut: boolean
  tookTooLong?: true
}

/**
 * Whether an answer is what was asked for; with the value that the schema makes of it. Rejects with `internal` where the author's
 * schema throws, or makes something that is no JSON.
 */
export async function checkAnswer(
  context: RunContext,
  input: { output: Output; items: readonly Item[]; cut: boolean },
): Promise<Verdict> {
  const { output, items, cut } = input
  const json = withoutFence(items.map((item) => (item.type === 'message' ? textOf(item) : '')).join(''))
  const read = readJson(json)
  if (!read.ok) return { ...read, cut }
  // The beginning of a number is a number, too.
  if (cut && typeof read.value === 'number') return { ok: false, message: 'It is not whole.', cut }
  // Any schema may come with a request, any number of them at once, and each may use up its time.
  if (context.options.output_schema) await turn()
  const parsed = await callAuthor(context.signal, () => output.parse(read.value))
  if (!parsed.ok) return { ...parsed, cut }
  assertJson(parsed.value)
  return parsed
}

type Read = { ok: true; value: unknown } | { ok: false; message: string }

function readJson(json: string): Read {
  if (json === '') return { ok: false, message: 'It is empty.' }
  if (nestsDeeperThan(json, maxJsonDepth)) return { ok: false, message: 'It nests too deep.' }
  try {
    return { ok: true, value: JSON.parse(json) as unknown }
  } catch (error) {
    return { ok: false, message: `It is not JSON: ${error instanceof Error ? error.message : String(error)}` }
  }
}

/** It is kept as JSON: a Map, a bigint, or nothing at all is a mistake in the author's schema. */
function assertJson(value: unknown): void {
  let text: string | undefined
  try {
    text = JSON.stringify(value) as string | undefined
  } catch (error) {
    throw authorFault(error)
  }
  if (text === undefined) throw authorFault(new TypeError('the schema of the output makes what is no JSON'))
}

const maxMessageChars = 2_000

/** What is wrong with an answer, for people and for the model. */
function faultOf({ message, cut }: Wrong): string {
  const short = cutEnd(message, maxMessageChars)
  return cut ? `It was cut at the limit of its length. ${short}` : short
}

/** The failure of a run that finds no right answer. */
export function outputInvalid(verdict: Wrong): AppError {
  return new AppError('output_invalid', { message: `${notSatisfied} ${faultOf(verdict)}` })
}

/** What clients are told when the model is asked again. */
export function outputWarning(verdict: Wrong): EventDraft {
  return { type: 'warning', code: 'output_invalid', message: `${notSatisfied} ${faultOf(verdict)}` }
}

const notSatisfied = 'The answer does not satisfy the schema.'

/** What the model is told about an answer that does not do. */
export function correction(output: Output, verdict: Wrong): NoteItem {
  const how = verdict.cut
    ? 'Answer again, shorter, with the JSON only'
    : 'Answer again with the corrected JSON only'
  const text = `Your answer does not satisfy the required JSON Schema. ${faultOf(verdict)}\n${how}, nothing else. The schema: ${JSON.stringify(output.schema)}`
  return { type: 'note', id: createId('item'), kind: 'correction', text }
}

/** Answers of steps before `end` that the model was told to correct. */
export function countCorrections({ items }: RunContext, end = Infinity): number {
  let count = 0
  for (const { item, step } of items) {
    if (item.type === 'note' && item.kind === 'correction' && (step ?? 0) < end) count++
  }
  return count
}

/** What a model is told where its provider may not hold it to the schema. */
export function outputInstructions(output: Output): string {
  return `When you give your final answer, give it as JSON only, without any other text, that satisfies this JSON Schema:\n${JSON.stringify(output.schema)}`
}

/** Models like to wrap JSON in a Markdown fence, on lines of its own or on one. */
function withoutFence(text: string): string {
  const trimmed = text.trim()
  if (trimmed.length < 6 || !trimmed.startsWith('```') || !trimmed.endsWith('```')) return trimmed
  const inside = trimmed.slice(3, -3)
  const lineEnd = inside.indexOf('\n')
  // No one expression over the whole text: an answer that is mostly white space would take it for ever.
  if (lineEnd !== -1 && /^[a-z]*\s*$/i.test(inside.slice(0, lineEnd))) return inside.slice(lineEnd).trim()
  return inside.replace(/^json\b/i, '').trim()
}
