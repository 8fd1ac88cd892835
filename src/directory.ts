import { definitionHash } from './agent/agent.ts'
import type { Directory } from './agent/context.ts'
import type { Agent, AnyTool, ModelChoice, OpenToolSource, ToolSource } from './agent/definitions.ts'
import { withFound } from './agent/toolbox.ts'
import type { Clock } from './clock.ts'
import { AppError } from './errors.ts'
import { logFault, type Logger } from './logger.ts'
import { fromAiSdk } from './models/ai-sdk/ai-sdk-model.ts'
import type { Model } from './models/model.ts'
import { costOf } from './models/price.ts'
import type { ModelRegistry } from './models/registry.ts'
import type { KnownTools } from './protocols/protocol.ts'
import type { Definitions } from './store/store.ts'

export interface DirectoryOptions {
  /** Those that are served, by name. */
  agents: ReadonlyMap<string, Agent>
  registry: ModelRegistry
  /** Model of agents that name none. Undefined: there is none but the demo. */
  defaultModel: string | undefined
  /** The demo model, and whether it stands in where nothing is configured. */
  demo: Model
  isDemo: boolean
  stallTimeoutMs: number
  logger: Logger
  clock: Clock
}

export interface OpenDirectory extends Directory {
  definitions: () => Definitions
  knownTools: (agent: Agent) => KnownTools
  /** Ends the connections of tool sources. */
  close(): Promise<void>
}

/**
 * Everything agents refer to: other agents, models, tools that are found while the server runs. Throws `model_not_configured`
 * for an agent one of whose models cannot be had (one that stands in is needed when it is too late to set it up), and a
 * `TypeError` for names that are not served or stand for two agents.
 */
export function openDirectory(options: DirectoryOptions): OpenDirectory {
  const { agents, registry } = options
  const known = collectAgents(agents.values())
  const modelFor = createModelFor(options)
  const modelsOf = createModelsOf(options, modelFor)
  for (const agent of known.values()) {
    warnUnpriced(options, { agent, models: modelsOf(agent, undefined) })
    if (agent.planning?.model !== undefined) modelFor(agent.planning.model)
    if (agent.routing.model !== undefined) modelFor(agent.routing.model)
    const summariser = agent.history.summarise?.model
    if (summariser !== undefined) modelFor(summariser)
  }
  const sources = openSources(known.values(), options)
  const definitions: Definitions = {}
  for (const agent of agents.values()) {
    const model = modelsOf(agent, undefined)[0]?.id ?? ''
    definitions[agent.name] = { definition: definitionHash(agent, model), model }
  }
  return {
    agentNamed: (name) => known.get(name),
    modelsOf,
    modelFor,
    foundTools: (agent, signal) => foundTools(options, { agent, sources, signal }),
    costOf(modelId, usage) {
      const { price } = registry.infoOf(modelId)
      return price && costOf(usage, price)
    },
    takesOutputSchema: (modelId) => registry.infoOf(modelId).takesOutputSchema !== false,
    definitions: () => definitions,
    knownTools: (agent) => knownTools(agent, sources),
    async close() {
      await Promise.allSettled([...sources.values()].map((source) => source.close()))
    },
  }
}

/** A budget for cost does not hold where nobody knows what a call costs. */
function warnUnpriced(
  { registry, logger }: DirectoryOptions,
  { agent, models }: { agent: Agent; models: readonly Model[] },
): void {
  if (agent.budget.cost === undefined) return
  const unpriced = models.filter(({ id }) => !registry.infoOf(id).price).map(({ id }) => id)
  if (unpriced.length === 0) return
  logger.warn({ agent: agent.name, models: unpriced }, 'the budget limits the cost, but these have no price')
}

/** The agents that are served and all that they name. */
function collectAgents(served: Iterable<Agent>): ReadonlyMap<string, Agent> {
  const known = new Map<string, Agent>()
  const named = new Map<string, Agent>()
  const add = (agent: Agent): void => {
    const before = known.get(agent.name)
    if (before === agent) return
    if (before) throw new TypeError(`two agents are named ${agent.name}`)
    known.set(agent.name, agent)
    for (const specialist of agent.specialists) add(specialist.agent)
    for (const target of agent.handoffs) {
      if (typeof target === 'string') named.set(target, agent)
      else add(target)
    }
    for (const tool of agent.tools) if (tool.agent) add(tool.agent)
  }
  for (const agent of served) add(agent)
  for (const [name, { name: from }] of named) {
    if (!known.has(name)) throw new TypeError(`agent ${from} hands over to ${name}, which is not served`)
  }
  return known
}

function createModelFor(options: DirectoryOptions): Directory['modelFor'] {
  const { registry, demo, stallTimeoutMs, clock } = options
  const adapted = new WeakMap<object, Model>()
  return (choice: ModelChoice): Model => {
    if (typeof choice === 'string') return choice === demo.id ? demo : registry.resolve(choice)
    if (!('specificationVersion' in choice)) return choice
    const known = adapted.get(choice)
    if (known) return known
    const { contextWindow, accepts } = registry.infoOf(`${choice.provider}/${choice.modelId}`)
    const model = fromAiSdk(choice, {
      stallTimeoutMs,
      clock,
      ...(contextWindow === undefined ? {} : { contextWindow }),
      ...(accepts ? { accepts } : {}),
    })
    adapted.set(choice, model)
    return model
  }
}

function createModelsOf(
  { defaultModel, demo, isDemo }: DirectoryOptions,
  modelFor: Directory['modelFor'],
): Directory['modelsOf'] {
  const byAgent = new WeakMap<Agent, readonly Model[]>()
  return (agent, override) => {
    if (override !== undefined) return [modelFor(override)]
    const made = byAgent.get(agent)
    if (made) return made
    const models = agent.models.length > 0 ? agent.models.map(modelFor) : [defaultFor(agent)]
    byAgent.set(agent, models)
    return models
  }

  function defaultFor(agent: Agent): Model {
    if (defaultModel !== undefined) return modelFor(defaultModel)
    if (isDemo) return demo
    const message = `The agent ${JSON.stringify(agent.name)} names no model: set LLM_DEFAULT_MODEL.`
    throw new AppError('model_not_configured', { message })
  }
}

function openSources(
  agents: Iterable<Agent>,
  { logger, clock }: DirectoryOptions,
): ReadonlyMap<ToolSource, OpenToolSource> {
  const sources = new Map<ToolSource, OpenToolSource>()
  for (const agent of agents) {
    for (const source of agent.toolSources) {
      if (!sources.has(source)) sources.set(source, source.open({ logger, clock }))
    }
  }
  return sources
}

async function foundTools(
  { logger }: DirectoryOptions,
  input: { agent: Agent; sources: ReadonlyMap<ToolSource, OpenToolSource>; signal: AbortSignal },
): ReturnType<Directory['foundTools']> {
  const { agent, sources, signal } = input
  const missing: string[] = []
  const found = await Promise.all(
    agent.toolSources.map(async (source) => {
      try {
        return (await sources.get(source)?.tools(signal)) ?? []
      } catch (error) {
        signal.throwIfAborted()
        logFault(logger, { error, message: 'tools cannot be reached', fields: { source: source.name } })
        missing.push(source.name)
        return []
      }
    }),
  )
  return { tools: found.flat().toSorted(byName), missing }
}

function knownTools(agent: Agent, sources: ReadonlyMap<ToolSource, OpenToolSource>): KnownTools {
  const known = agent.toolSources.map((source) => ({
    name: source.name,
    tools: sources.get(source)?.known?.() ?? null,
  }))
  const found = known.flatMap(({ tools }) => tools ?? []).toSorted(byName)
  return {
    tools: [...withFound(agent, found).values()],
    sources: known.map(({ name, tools }) => ({ name, count: tools?.length ?? null })),
  }
}

/** Two of one name stay in their order. */
function byName(a: AnyTool, b: AnyTool): number {
  if (a.name === b.name) return 0
  return a.name < b.name ? -1 : 1
}
