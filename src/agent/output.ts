import { z } from 'zod'
import { createId } from '../ids.ts'
import { textOf, type Item, type NoteItem } from '../items.ts'
import { maxJsonDepth, nestsDeeperThan } from '../json-depth.ts'
import type { RunContext } from './context.ts'
import type { JsonSchema, Output } from './definitions.ts'
import { parseWith } from './schema.ts'

/** How often the model is told what is wrong with its answer. */
export const maxCorrections = 2

const requested = new WeakMap<JsonSchema, Output>()

/** What the answer of this run must be: what the request asks for, else the agent's own. */
export function outputOf(context: RunContext): Output | null {
  const schema = context.options.output_schema
  if (schema === undefined) return context.agent.output
  const known = requested.get(schema)
  if (known) return known
  const made = toOutput(schema)
  requested.set(schema, made)
  return made
}

/** Throws where a JSON Schema holds what cannot be checked. */
export function toOutput(schema: JsonSchema): Output {
  const checked = z.fromJSONSchema(schema)
  return { schema, parse: (value) => parseWith(checked, value) }
}

export type Verdict = { ok: true; value: unknown } | { ok: false; message: string }

/** Whether an answer is what was asked for. */
export function checkAnswer(output: Output, items: readonly Item[]): Verdict {
  const text = items.map((item) => (item.type === 'message' ? textOf(item) : '')).join('')
  const json = withoutFence(text)
  if (json === '') return { ok: false, message: 'The answer is empty.' }
  if (nestsDeeperThan(json, maxJsonDepth)) return { ok: false, message: 'The JSON nests too deep.' }
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (error) {
    return { ok: false, message: `The answer is not JSON: ${error instanceof Error ? error.message : ''}` }
  }
  return output.parse(value)
}

/** What the model is told about an answer that does not do. */
export function correction(output: Output, message: string): NoteItem {
  const text = `Your answer does not satisfy the required JSON Schema: ${message.slice(0, 2000)}\nAnswer again with the corrected JSON only, nothing else. The schema: ${JSON.stringify(output.schema)}`
  return { type: 'note', id: createId('item'), kind: 'correction', text }
}

/** Corrections that were made in this run. */
export function countCorrections(context: RunContext): number {
  return context.items.filter(({ item }) => item.type === 'note' && item.kind === 'correction').length
}

/** What a model is told where its provider may not hold it to the schema. */
export function outputInstructions(output: Output): string {
  return `When you give your final answer, give it as JSON only, without any other text, that satisfies this JSON Schema:\n${JSON.stringify(output.schema)}`
}

/** Models like to wrap JSON in a Markdown fence. */
function withoutFence(text: string): string {
  const trimmed = text.trim()
  const fenced = /^```[a-z]*\s*\n([\s\S]*?)\n?```$/i.exec(trimmed)
  return (fenced?.[1] ?? trimmed).trim()
}
