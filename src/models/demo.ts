import { z } from 'zod'
import { type Clock, sleep, systemClock } from '../clock.ts'
import { type Item, type MessageItem, textOf, type ToolCallItem, type ToolResultItem } from '../items.ts'
import { clockSchema, parseDefinition } from '../parse-definition.ts'
import { type DemoSource, demoValue } from './demo-values.ts'
import type { Model, ModelPart, ModelReply, ModelRequest, ModelStreamOptions, ModelTool } from './model.ts'

export interface DemoModelOptions {
  /** Between two words. Default 15. 0: all at once. */
  delayMs?: number
  clock?: Clock
}

const optionsSchema = z.strictObject({
  delayMs: z.number().min(0).optional(),
  clock: clockSchema.optional(),
})

/**
 * The model of a server that has none: a few rules, and it says so. It streams word by word, asks the calculator for sums,
 * calls a tool the user names (so that approvals can be seen), answers with JSON where a schema is given, and remembers the
 * message before.
 */
export function demoModel(options: DemoModelOptions = {}): Model {
  parseDefinition({ what: 'demoModel', schema: optionsSchema, options })
  const { delayMs = 15, clock = systemClock } = options
  return {
    provider: 'demo',
    id: 'demo',
    async stream(request, streamOptions) {
      await Promise.resolve()
      return play({ parts: replyTo(request, clock), request, delayMs, clock, ...streamOptions })
    },
  }
}

const whatIsMissing =
  'Set OPENAI_API_KEY, or LLM_BASE_URL with LLM_DEFAULT_MODEL, and a real model answers here.'

async function play(
  input: { parts: ModelPart[]; request: ModelRequest; delayMs: number; clock: Clock } & ModelStreamOptions,
): Promise<ModelReply> {
  const { parts, request, delayMs, clock, emit, signal } = input
  for (const part of parts) {
    if (delayMs > 0) await sleep({ clock, ms: delayMs, signal })
    signal.throwIfAborted()
    emit(part)
  }
  const input_tokens = countWords(JSON.stringify([request.instructions ?? '', request.items, request.tools]))
  const output_tokens = parts.length
  return {
    finishReason: parts.some((part) => part.type === 'tool_call') ? 'tool_calls' : 'stop',
    usage: { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens },
  }
}

function replyTo(request: ModelRequest, clock: Clock): ModelPart[] {
  const { items, outputSchema } = request
  const lastUser = items.findLastIndex((item) => isMessage(item, 'user'))
  const source: DemoSource = { message: userText(items[lastUser]), clock }
  const results = items.slice(lastUser + 1).filter((item) => item.type === 'tool_result')
  const call = results.length === 0 ? chooseCall(request, source) : undefined
  if (call) return callTool(call)
  if (outputSchema) return say(JSON.stringify(demoValue(outputSchema, source)))
  return say(results.length > 0 ? answerWith(results, items) : smallTalk(items, lastUser))
}

interface Call {
  name: string
  arguments: unknown
}

function chooseCall(request: ModelRequest, source: DemoSource): Call | undefined {
  const { tools, toolChoice = 'auto' } = request
  const { message } = source
  if (toolChoice === 'none') return undefined
  const expression = findExpression(message)
  if (expression !== undefined && isAllowed(toolChoice, 'calculator') && tools.some(isCalculator)) {
    return { name: 'calculator', arguments: { expression } }
  }
  const wanted = tools.find((tool) => isAllowed(toolChoice, tool.name) && isAskedFor(tool, message))
  const forced = toolChoice === 'auto' ? undefined : tools.find(({ name }) => isAllowed(toolChoice, name))
  const tool = wanted ?? forced
  return tool && { name: tool.name, arguments: demoValue({ ...tool.parameters, type: 'object' }, source) }
}

function isAllowed(choice: NonNullable<ModelRequest['toolChoice']>, name: string): boolean {
  return typeof choice === 'string' || choice.name === name
}

function isCalculator(tool: ModelTool): boolean {
  return tool.name === 'calculator'
}

/** All words of its name are in the message: "send_email" in "Please send an email to ann@example.com". */
function isAskedFor(tool: ModelTool, message: string): boolean {
  const said = message.toLowerCase()
  return (
    !isCalculator(tool) &&
    tool.name
      .toLowerCase()
      .split(/[_-]+/)
      .every((word) => said.includes(word))
  )
}

/** More would take long to look through: the time grows with the square. */
const maxSearchedChars = 1_000

/** The first stretch of the message that reads as arithmetic: numbers with at least one operator between them. */
function findExpression(message: string): string | undefined {
  const beginning = message.slice(0, maxSearchedChars)
  const stretches = beginning.match(/(?:(?:sqrt|abs|ln|log)\s*\(|[-(\d.])[\d\s.,+\-*/^%()×÷−]*[\d)%]/gi) ?? []
  const isSum = (text: string) => /[\d)%]\s*(?:[-+*/^%×÷−]|\*\*)\s*[-(]*[\d.]|[a-z]\s*\(/i.test(text)
  const isDate = (text: string) => /\d{4}-\d{2}-\d{2}/.test(text)
  return stretches.find((text) => isSum(text) && !isDate(text))?.trim()
}

function answerWith(results: ToolResultItem[], items: readonly Item[]): string {
  const sentences = results.map((result) => {
    const call = items.find(
      (item): item is ToolCallItem => item.type === 'tool_call' && item.call_id === result.call_id,
    )
    if (result.error) return `The tool ${call?.name ?? ''} did not run: ${result.output}.`
    const expression = call?.name === 'calculator' ? expressionOf(call) : undefined
    if (expression !== undefined && /^-?\d/.test(result.output)) return `${expression} = ${result.output}.`
    return `The tool ${call?.name ?? ''} answered: ${result.output}`
  })
  return `${sentences.join(' ')} (I am Parley's built-in demo model: I chose the tool by a simple rule. ${whatIsMissing})`
}

function expressionOf(call: ToolCallItem): string | undefined {
  return /^\{"expression":"(.*)"\}$/.exec(call.arguments)?.[1]
}

function smallTalk(items: readonly Item[], lastUser: number): string {
  const said = userText(items[lastUser])
  const before = items.slice(0, Math.max(0, lastUser)).findLast((item) => isMessage(item, 'user'))
  return [
    "I am Parley's built-in demo model: a few rules, no language model.",
    said === '' ? '' : `You said: “${excerpt(said)}”.`,
    before ? `Before that you said: “${excerpt(userText(before))}”.` : '',
    whatIsMissing,
    'Until then, ask me something like “What is 1337 * 42?”.',
  ]
    .filter((sentence) => sentence !== '')
    .join(' ')
}

function say(text: string): ModelPart[] {
  return (text.match(/\s*\S+|\s+/gu) ?? []).map((delta) => ({ type: 'text', delta }))
}

function callTool(call: Call): ModelPart[] {
  return [
    { type: 'tool_call', index: 0, name: call.name },
    { type: 'tool_input', index: 0, delta: JSON.stringify(call.arguments) },
  ]
}

function isMessage(item: Item, role: MessageItem['role']): item is MessageItem {
  return item.type === 'message' && item.role === role
}

function userText(item: Item | undefined): string {
  return item?.type === 'message' ? textOf(item).trim() : ''
}

function excerpt(text: string): string {
  const characters = Array.from(text)
  return characters.length <= 200 ? text : `${characters.slice(0, 200).join('')}…`
}

function countWords(text: string): number {
  return text.match(/\w+/g)?.length ?? 0
}
