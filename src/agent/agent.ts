import { createHash } from 'node:crypto'
import { z } from 'zod'
import { agentOptionsSchema, isAgent, isToolSource, type AgentOptions } from './agent-options.ts'
import type { Agent, AnyTool, AsToolOptions, History, Output, Routing, Specialist } from './definitions.ts'
import { definitionName, DefinitionError, parseDefinition } from '../parse-definition.ts'
import { wordsOf } from './keywords.ts'
import { parseWaiting, readOutputSchema } from './schema.ts'
import { tool } from './tool.ts'

const week = 7 * 24 * 3600 * 1000

/**
 * Defines an agent. Throws a `DefinitionError` at once on what is not one of its options, on two tools of one name and on
 * limits that make no sense.
 *
 * @example
 * export default agent({ name: 'assistant', model: 'openai/gpt-4o-mini', tools: [calculator] })
 */
export function agent(options: AgentOptions): Agent {
  parseDefinition({ what: 'agent', schema: agentOptionsSchema, options })
  const { name, model, hooks } = options
  const given = options.tools ?? []
  const tools = given.filter((one): one is AnyTool => !isToolSource(one))
  const maxSteps = options.maxSteps ?? 10
  const specialists = toSpecialists(options)
  const made: Agent = Object.freeze({
    name,
    description: options.description ?? '',
    models: model === undefined ? [] : Array.isArray(model) ? model : [model],
    instructions: options.instructions ?? '',
    tools,
    toolSources: given.filter(isToolSource),
    maxSteps,
    forceAnswer: options.forceAnswer ?? true,
    toolConcurrency: options.toolConcurrency ?? 8,
    modelTries: options.modelTries ?? 3,
    history: toHistory(options.history),
    planning: options.planning ? { instructions: undefined, model: undefined, ...options.planning } : null,
    output: options.output ? toOutput(name, options.output) : null,
    specialists,
    routing: toRouting(options, specialists),
    handoffs: options.handoffs ?? [],
    maxHandoffs: options.maxHandoffs ?? 5,
    budget: options.budget ?? {},
    approvalTimeoutMs: options.approvalTimeoutMs === undefined ? week : options.approvalTimeoutMs,
    settings: options.settings ?? {},
    hooks: hooks === undefined ? [] : 'length' in hooks ? hooks : [hooks],
    overrides: {
      instructions: options.overrides?.instructions ?? 'append',
      model: options.overrides?.model ?? false,
      maxStepsUpTo: options.overrides?.maxStepsUpTo ?? maxSteps,
    },
    asTool: (asToolOptions?: AsToolOptions) => toTool(made, asToolOptions),
  })
  checkNames(made)
  return made
}

export function handoffNames({ handoffs }: Agent): string[] {
  return handoffs.map((target) => (typeof target === 'string' ? target : target.name))
}

/** The tool by which an agent transfers its run to another. Cut to what providers accept. */
export function transferToolName(agentName: string): string {
  return `transfer_to_${agentName}`.slice(0, 64)
}

function checkNames(made: Agent): void {
  const names = new Set<string>()
  const add = (name: string, what: string) => {
    if (names.has(name)) throw new DefinitionError(`agent ${made.name}: two ${what} are named ${name}`)
    names.add(name)
  }
  for (const { name } of made.tools) add(name, 'tools')
  for (const target of handoffNames(made)) {
    if (target === made.name) throw new DefinitionError(`agent ${made.name}: it hands over to itself`)
    add(transferToolName(target), 'tools')
  }
  names.clear()
  for (const { agent: one, keywords } of made.specialists) {
    add(one.name, 'specialists')
    const empty = keywords.find(({ word }) => wordsOf(word) === '')
    if (!empty) continue
    const which = `the keyword ${JSON.stringify(empty.word)} of ${one.name}`
    throw new DefinitionError(`agent ${made.name}: specialists: ${which} has neither a letter nor a digit`)
  }
  const { fallback } = made.routing
  if (fallback !== made.name && !names.has(fallback)) {
    throw new DefinitionError(`agent ${made.name}: routing.fallback: ${fallback} is none of its specialists`)
  }
}

function toSpecialists({ specialists = [] }: AgentOptions): Specialist[] {
  return specialists.map((one) => {
    if (isAgent(one)) return { agent: one, keywords: [] }
    const keywords = (one.keywords ?? []).map((word) =>
      typeof word === 'string' ? { word, weight: 1 } : word,
    )
    return { agent: one.agent, keywords }
  })
}

function toRouting({ name, routing = {} }: AgentOptions, specialists: readonly Specialist[]): Routing {
  const hasKeywords = specialists.some(({ keywords }) => keywords.length > 0)
  return {
    by: routing.by ?? (hasKeywords ? 'keywords' : 'model'),
    fallback: routing.fallback ?? name,
    model: routing.model,
  }
}

function toHistory({ summarise, ...limits }: NonNullable<AgentOptions['history']> = {}): History {
  if (!summarise) return limits
  const { instructions, model, keepTurns = 4 } = summarise === true ? {} : summarise
  return { ...limits, summarise: { instructions, model, keepTurns } }
}

function toOutput(name: string, given: NonNullable<AgentOptions['output']>): Output {
  try {
    const { schema, jsonSchema } = readOutputSchema(given)
    return { schema: jsonSchema, parse: (value) => parseWaiting(schema, value) }
  } catch (error) {
    throw new DefinitionError(
      `agent ${name}: output: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

const asToolSchema = z.strictObject({ name: definitionName.optional(), description: z.string().optional() })

function toTool(made: Agent, options: AsToolOptions = {}): ReturnType<Agent['asTool']> {
  parseDefinition({ what: `agent ${made.name}: asTool`, schema: asToolSchema, options })
  if (made.specialists.length > 0 || made.handoffs.length > 0) {
    throw new DefinitionError(`agent ${made.name}: an agent that routes or hands over cannot serve as a tool`)
  }
  const plain = tool({
    name: options.name ?? made.name,
    description: options.description ?? made.description,
    input: z.object({ task: z.string().describe('What to do, with everything that must be known for it.') }),
    // Its own tools are in the ledger: started again, it goes on where it was.
    effect: 'idempotent',
    execute: () => {
      throw new TypeError(`The agent ${made.name} can be a tool of agents only.`)
    },
  })
  return Object.freeze({ ...plain, timeoutMs: null, agent: made })
}

/**
 * Hash of what a run depends on: 16 hexadecimal digits over model, instructions, tools and limits, and over the agents it may
 * be routed or handed to or that serve it.
 */
export function definitionHash(definition: Agent, modelId: string): string {
  const shape = { ...shapeOf(definition), model: modelId }
  return createHash('sha256').update(JSON.stringify(shape)).digest('hex').slice(0, 16)
}

function shapeOf(definition: Agent): Record<string, unknown> {
  const { name, instructions, maxSteps, output, specialists, handoffs } = definition
  return {
    name,
    instructions: typeof instructions === 'function' ? instructions.toString() : instructions,
    maxSteps,
    tools: definition.tools.map((one) => ({
      name: one.name,
      description: one.description,
      parameters: one.parameters,
      effect: one.effect,
      ...(one.agent ? { agent: shapeOf(one.agent) } : {}),
    })),
    ...(output ? { output: output.schema } : {}),
    ...(specialists.length > 0 ? { specialists: specialists.map(({ agent: one }) => shapeOf(one)) } : {}),
    // Those that are named only may name this one again.
    ...(handoffs.length > 0
      ? { handoffs: handoffs.map((one) => (typeof one === 'string' ? one : shapeOf(one))) }
      : {}),
  }
}
