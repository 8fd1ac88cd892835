import type { EventDraft } from '../events.ts'
import { textOf } from '../items.ts'
import { askModel, inquiryMessage } from './ask-model.ts'
import { callAuthor } from './author-code.ts'
import type { RunContext } from './context.ts'
import type { Agent, Specialist } from './definitions.ts'
import { instructionsContext } from './instructions.ts'
import { limitsOf, totalsOf } from './totals.ts'

/**
 * Chooses who answers, before the first step of a run whose agent has specialists, and commits the choice: it stays for the
 * run, and for the conversation until it is routed again. `current`: who answered in the conversation before.
 */
export async function route(context: RunContext, current: Agent | null): Promise<void> {
  const router = context.agent
  if (router.specialists.length === 0) {
    if (current && current !== router) await switchAgent(context, { to: current, why: 'conversation' })
    return
  }
  const choice = await choose(context, { router, current })
  await switchAgent(context, choice)
}

/** The run goes on under another agent, with its models. Durable when it resolves. */
async function switchAgent(context: RunContext, { to, why }: { to: Agent; why: string }): Promise<void> {
  const from = context.agent
  const models = context.directory.modelsOf(to, undefined)
  const event: EventDraft = { type: 'agent.switch', from: from.name, to: to.name, why }
  const events = to === from ? [] : [event]
  // Also where the agent itself was chosen: another attempt must not choose again. With what the choice used up.
  await context.log.commit({ agent: to.name, events, ...totalsOf(context) })
  if (to === from) return
  switchTo(context, { agent: to, models })
}

/** From now on that agent works, within its own limits too. */
export function switchTo(context: RunContext, { agent, models }: Pick<RunContext, 'agent' | 'models'>): void {
  context.agent = agent
  context.models = models
  context.budgets = [...context.budgets, ...limitsOf(agent)]
}

interface Choice {
  to: Agent
  why: string
}

async function choose(
  context: RunContext,
  { router, current }: { router: Agent; current: Agent | null },
): Promise<Choice> {
  const { by, fallback } = router.routing
  const input = newestInput(context)
  const name = await chooseName(context, { router, current, input })
  const chosen = name === undefined ? undefined : memberNamed(router, name)
  if (chosen) return { to: chosen, why: typeof by === 'function' ? 'function' : by }
  if (name !== undefined) {
    const message = `The router chose ${JSON.stringify(name.slice(0, 100))}, which is none of the specialists.`
    context.log.defer({ events: [{ type: 'warning', code: 'route_unknown', message }] })
  }
  if (current) return { to: current, why: 'conversation' }
  return { to: memberNamed(router, fallback) ?? router, why: 'fallback' }
}

function chooseName(
  context: RunContext,
  input: { router: Agent; current: Agent | null; input: string },
): Promise<string | undefined> | string | undefined {
  const { router, current } = input
  const { by } = router.routing
  if (by === 'keywords') return byKeywords(router.specialists, input.input)
  if (by === 'model') return byModel(context, input)
  const { signal } = context
  return callAuthor(signal, () =>
    by(input.input, { ...instructionsContext(context), current: current?.name ?? null, signal }),
  )
}

/**
 * The specialist with the greatest weight of words that stand in the text; the first of equals. Whole words, in any case:
 * "capital" does not speak for "api".
 */
export function byKeywords(specialists: readonly Specialist[], text: string): string | undefined {
  const said = ` ${wordsOf(text)} `
  let best: string | undefined
  let most = 0
  for (const { agent, keywords } of specialists) {
    let weight = 0
    for (const keyword of keywords) if (said.includes(` ${wordsOf(keyword.word)} `)) weight += keyword.weight
    if (weight > most) {
      most = weight
      best = agent.name
    }
  }
  return best
}

/** The words of a text with one space between them, in one case. A letter, a digit, `_`, `+` and `#` make words: "C++". */
function wordsOf(text: string): string {
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}_+#]+/gu) ?? []
  ).join(' ')
}

async function byModel(
  context: RunContext,
  { router, current, input }: { router: Agent; current: Agent | null; input: string },
): Promise<string | undefined> {
  const members = membersOf(router)
  const names = members.map(({ name }) => name)
  const list = members.map(({ name, description }) => `- ${name}${description ? `: ${description}` : ''}`)
  const now = current
    ? `\n\nUp to now ${current.name} answered; stay with it unless another fits better.`
    : ''
  const instructions = `Choose who should answer the user's message. Do not answer it.\n\n${list.join('\n')}${now}\n\nReply with JSON: {"agent": "<one of the names>"}`
  const outputSchema = {
    type: 'object',
    properties: { agent: { type: 'string', enum: names } },
    required: ['agent'],
    additionalProperties: false,
  }
  const reply = await askModel(context, {
    instructions,
    items: [inquiryMessage(input)],
    outputSchema,
    model: router.routing.model,
  })
  return readChoice(reply, names)
}

/** The name in the reply: as asked for, or as models put it that were not held to it. */
function readChoice(reply: string, names: readonly string[]): string | undefined {
  const quoted = /"agent"\s*:\s*"([^"]*)"/.exec(reply)?.[1]
  const said = (quoted ?? reply).trim().replace(/^["'`]|["'`.]$/g, '')
  return names.find((name) => name.toLowerCase() === said.toLowerCase()) ?? said
}

function membersOf(router: Agent): Agent[] {
  const members = router.specialists.map(({ agent }) => agent)
  return router.routing.fallback === router.name ? [...members, router] : members
}

function memberNamed(router: Agent, name: string): Agent | undefined {
  return membersOf(router).find((agent) => agent.name === name)
}

/** What the caller said last. */
function newestInput(context: RunContext): string {
  const message = context.items.findLast(({ item }) => item.type === 'message' && item.role === 'user')?.item
  return message?.type === 'message' ? textOf(message) : ''
}
