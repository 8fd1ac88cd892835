import type { Item } from '../../src/items.ts'
import type { ModelRequest } from '../../src/models/model.ts'
import { scriptedModel, type ScriptedTurn } from '../../src/models/scripted.ts'
import type { Usage } from '../../src/run-state.ts'
import { appendLine } from './fixture-link.ts'
import { pairingFault } from './pairing.ts'
import { createRandom, type Random } from './seeded-random.ts'

/**
 * What one call of each kind of model uses, so that a run's usage tells how many of each there were: replies of the run's own
 * and of agents that serve it in the input, all else in the output.
 */
export const usageOf = {
  reply: usage(1, 0),
  served: usage(100_000, 0),
  choice: usage(0, 1),
  plan: usage(0, 1_000),
  servedPlan: usage(0, 1_000_000),
  summary: usage(0, 1_000_000_000),
} as const

function usage(input_tokens: number, output_tokens: number): Usage {
  return { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens }
}

/** How many calls of each kind a usage is made of. */
export function countCalls({ input_tokens, output_tokens }: Usage): Record<keyof typeof usageOf, number> {
  return {
    reply: input_tokens % 100_000,
    served: Math.floor(input_tokens / 100_000),
    choice: output_tokens % 1_000,
    plan: Math.floor(output_tokens / 1_000) % 1_000,
    servedPlan: Math.floor(output_tokens / 1_000_000) % 1_000,
    summary: Math.floor(output_tokens / 1_000_000_000),
  }
}

/**
 * A model that does what is drawn from the number in its input and the step it is at, so that a rescued run goes the same way:
 * some steps with calls of whatever tools there are, then an answer. It fails now and then, but not where the number is 0.
 */
export function randomModel(kind: 'reply' | 'served', options: { maxSteps?: number; json?: boolean } = {}) {
  return scriptedModel(
    (request) => {
      const fault = pairingFault(request.items)
      if (fault !== undefined) appendLine('faults.jsonl', { fault: `malformed request: ${fault}` })
      const { number, step } = whereIs(request.items)
      const random = createRandom(number * 31 + step)
      const steps = random.between(0, options.maxSteps ?? 3)
      const mayCall = request.tools.length > 0 && request.toolChoice !== 'none'
      const wantsTools = step < steps && mayCall
      const turn: ScriptedTurn = {
        ...(random.chance(0.3) ? { reasoning: ['let ', 'me ', 'see'] } : {}),
        text: Array.from({ length: random.between(1, 20) }, (_, i) => `word${i} `),
        toolCalls: wantsTools ? toolCalls(random, request) : [],
        interleave: random.chance(0.5),
        ...(random.chance(0.7) ? { delayMs: random.between(1, 4) } : {}),
        usage: usageOf[kind],
      }
      const answers = options.json && !wantsTools ? { ...turn, text: jsonAnswer(random, request) } : turn
      return number === 0 ? answers : sometimesFails(answers, random)
    },
    { id: `scripted/${kind}`, record: false },
  )
}

/** A model of an inquiry: its answer, and what that uses. */
export function inquiryModel(
  kind: 'choice' | 'plan' | 'servedPlan' | 'summary',
  answer: (random: Random) => string,
) {
  return scriptedModel(
    (request) => {
      const random = createRandom(whereIs(request.items).number * 17)
      const text = answer(random)
      return sometimesFails({ text, delayMs: random.between(0, 10), usage: usageOf[kind] }, random)
    },
    { id: `scripted/${kind}`, record: false },
  )
}

/** Fails always, before or after its first token. */
export const brokenModel = scriptedModel(
  ({ items }) => ({
    text: ['I ', 'can', 'not'],
    error: { code: 'model_refused', after: whereIs(items).number % 2 },
  }),
  { id: 'scripted/broken', record: false },
)

function toolCalls(random: Random, { tools }: ModelRequest): NonNullable<ScriptedTurn['toolCalls']> {
  return Array.from({ length: random.between(1, 4) }, () => {
    const { name, parameters } = random.pick(tools)
    const drawn = { delayMs: random.chance(0.3) ? 0 : random.between(1, 60), fails: random.chance(0.08) }
    const task = String(random.between(1, 1_000_000))
    const properties = (parameters.properties ?? {}) as object
    const args = 'task' in properties ? { task } : 'reason' in properties ? { reason: 'drawn' } : drawn
    return { name, arguments: args, chunks: 3 }
  })
}

/** Sometimes not what the schema asks for, seldom ever. */
function jsonAnswer(random: Random, { items }: ModelRequest): string {
  const corrections = items.filter((item) => textOf(item).startsWith('Your answer does not satisfy')).length
  const wrong = random.chance(0.1) ? Infinity : random.between(0, 2)
  return corrections < wrong ? 'no JSON' : `{"count":${random.between(0, 9)}}`
}

/** Not drawn from the seed: the next try must not fail for ever. */
function sometimesFails(turn: ScriptedTurn, random: Random): ScriptedTurn {
  if (Math.random() >= 0.06) return turn
  return { ...turn, error: { code: 'model_unavailable', after: random.between(0, 8), retryAfterMs: 5 } }
}

/** The newest message that begins with a number is what the run, or the served agent, was asked. */
function whereIs(items: readonly Item[]): { number: number; step: number } {
  const at = items.findLastIndex((item) => /^\d+( |$)/.test(textOf(item)))
  const rest = items.slice(at + 1)
  const step = rest.filter(
    (item, i) => item.type === 'tool_result' && rest[i + 1]?.type !== 'tool_result',
  ).length
  return { number: at < 0 ? 0 : Number.parseInt(textOf(items[at]), 10), step }
}

function textOf(item: Item | undefined): string {
  if (item?.type !== 'message' || item.role !== 'user') return ''
  return item.content[0]?.type === 'text' ? item.content[0].text : ''
}
