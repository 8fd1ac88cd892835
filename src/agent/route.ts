import { AppError } from '../errors.ts'
import type { EventDraft } from '../events.ts'
import { textOf } from '../items.ts'
import { logOutcome } from '../logger.ts'
import type { Model } from '../models/model.ts'
import { askModel, inquiryMessage } from './ask-model.ts'
import { callAuthor, isAuthorFault } from './author-code.ts'
import type { Directory, RunContext } from './context.ts'
import { cutEnd } from './cut-text.ts'
import type { Agent } from './definitions.ts'
import { bringsResults } from './history.ts'
import { instructionsContext } from './instructions.ts'
import { byKeywords } from './keywords.ts'
import { limitsOfRun, totalsOf } from './totals.ts'
import { warn } from './warn.ts'

/** How much a routing model reads of what was said before: so many messages, each up to so many characters. */
const maxSaid = 6
const maxSaidChars = 1_000

/**
 * Chooses who answers, before the first step of a run whose agent has specialists, and commits the choice: it stays for the
 * run, and for the conversation until it is routed again.
 */
export async function route(
  context: RunContext,
  { current, gone }: NonNullable<RunContext['unrouted']>,
): Promise<void> {
  const router = context.agent
  if (gone !== null) warn(context, 'agent_changed', `The agent ${gone} is not served any more.`)
  const isAnswer = current !== null && bringsResults(context.items)
  if (router.specialists.length > 0 && !isAnswer) {
    await switchAgent(context, await choose(context, { router, current }))
  } else if (current) {
    await switchAgent(context, { to: current, why: 'conversation' })
  } else if (gone !== null) {
    await switchAgent(context, { to: router, why: 'fallback' })
  }
}

/** The run goes on under another agent. Durable when it resolves. */
async function switchAgent(context: RunContext, { to, why }: Choice): Promise<void> {
  const from = context.agent
  const event: EventDraft = { type: 'agent.switch', from: from.name, to: to.name, why }
  const events = to === from ? [] : [event]
  // Also where the agent itself was chosen: another attempt must not choose again. With what the choice used up.
  await context.log.commit({ agent: to.name, events, ...totalsOf(context) })
  if (to !== from) switchTo(context, to)
}

/** From now on that agent works: as itself, and within the limits of the run and its own. */
export function switchTo(context: RunContext, agent: Agent): void {
  const { directory, options } = context
  context.agent = agent
  context.models = modelsAtWork(directory, { agent, options })
  context.budgets = limitsOfRun(context)
  context.stepsBefore = context.steps
}

/** The models of an agent; a request's own where that agent lets requests choose. */
export function modelsAtWork(
  directory: Directory,
  { agent, options }: Pick<RunContext, 'agent' | 'options'>,
): readonly Model[] {
  return directory.modelsOf(agent, agent.overrides.model ? options.model : undefined)
}

interface Asked {
  router: Agent
  current: Agent | null
}

interface Choice {
  to: Agent
  why: string
}

async function choose(context: RunContext, { router, current }: Asked): Promise<Choice> {
  const { by, fallback } = router.routing
  const name = (await chooseName(context, { router, current })) ?? undefined
  const chosen = choicesOf({ router, current }).find((agent) => agent.name === name)
  if (chosen) return { to: chosen, why: typeof by === 'function' ? 'function' : by }
  if (name !== undefined) {
    const message = `The router chose ${JSON.stringify(cutEnd(name, 100))}, which is none of the specialists.`
    warn(context, 'route_unknown', message)
  }
  if (current) return { to: current, why: 'conversation' }
  return { to: membersOf(router).find((agent) => agent.name === fallback) ?? router, why: 'fallback' }
}

function chooseName(
  context: RunContext,
  { router, current }: Asked,
): Promise<string | undefined> | string | undefined {
  const { by } = router.routing
  if (by === 'model') return byModel(context, { router, current })
  const input = newestInput(context)
  if (by === 'keywords') return byKeywords(router.specialists, input)
  const { signal } = context
  return callAuthor(signal, () =>
    by(input, { ...instructionsContext(context), current: current?.name ?? null, signal }),
  )
}

async function byModel(context: RunContext, { router, current }: Asked): Promise<string | undefined> {
  const choices = choicesOf({ router, current })
  const names = choices.map(({ name }) => name)
  const list = choices.map(({ name, description }) => `- ${name}${description ? `: ${description}` : ''}`)
  const now = current
    ? `\n\nUp to now ${current.name} answered; stay with it unless another fits better.`
    : ''
  const instructions = `Choose who should answer the user's newest message. Do not answer it.\n\n${list.join('\n')}${now}\n\nReply with JSON: {"agent": "<one of the names>"}`
  const outputSchema = {
    type: 'object',
    properties: { agent: { type: 'string', enum: names } },
    required: ['agent'],
    additionalProperties: false,
  }
  try {
    const items = [inquiryMessage(await conversationText(context))]
    const { model } = router.routing
    return readChoice(await askModel(context, { instructions, items, outputSchema, model }), names)
  } catch (error) {
    // Somebody can answer without it: only a hook's refusal and the end of the run are more than a warning.
    if (context.signal.aborted || !AppError.is(error) || isAuthorFault(error)) throw error
    logOutcome(context.logger, { error, message: 'the routing model failed' })
    warn(context, 'route_failed', `Who should answer could not be chosen (${error.code}).`)
    return undefined
  }
}

/** What the choice is about: the newest message, behind the last ones before it where there are any. */
async function conversationText(context: RunContext): Promise<string> {
  const newest = newestInput(context)
  const { items: earlier } = await context.history()
  const said = [...earlier, ...context.items]
    .flatMap(({ item }) => (item.type === 'message' && item.role !== 'system' ? [item] : []))
    .slice(-maxSaid - 1, -1)
    .map((message) => `${message.role}: ${cutEnd(textOf(message), maxSaidChars)}`)
  return said.length === 0 ? newest : `Said before:\n${said.join('\n')}\n\nNewest message:\n${newest}`
}

/** The name in the reply: as asked for, or as models put it that were not held to it. */
function readChoice(reply: string, names: readonly string[]): string | undefined {
  const quoted = /"agent"\s*:\s*"([^"]*)"/.exec(reply)?.[1]
  const said = (quoted ?? reply).trim().replace(/^["'`]|["'`.]$/g, '')
  return names.find((name) => name.toLowerCase() === said.toLowerCase()) ?? said
}

/** Who may be chosen: also the one who answers now, whoever that is. */
function choicesOf({ router, current }: Asked): Agent[] {
  const members = membersOf(router)
  return current && !members.includes(current) ? [...members, current] : members
}

function membersOf(router: Agent): Agent[] {
  const members = router.specialists.map(({ agent }) => agent)
  return router.routing.fallback === router.name ? [...members, router] : members
}

/** What the caller said last. */
function newestInput(context: RunContext): string {
  const message = context.items.findLast(({ item }) => item.type === 'message' && item.role === 'user')?.item
  return message?.type === 'message' ? textOf(message) : ''
}
