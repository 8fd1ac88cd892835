import type { ModelTool } from '../models/model.ts'
import { handoffNames, transferToolName } from './agent.ts'
import type { RunContext } from './context.ts'
import type { Agent, AnyTool } from './definitions.ts'
import { warnOnce } from './warn.ts'

/**
 * The agent's own tools and those of its sources, by name. Where two have one name its own stand first, and its handoffs; then
 * its sources, in their order. Sources are asked once a step: a call of it is of the tool that was offered.
 */
export async function toolsOf(context: RunContext): Promise<ReadonlyMap<string, AnyTool>> {
  const { agent, directory, signal, steps: step } = context
  const own = ownTools(agent)
  if (agent.toolSources.length === 0) return own
  const { toolsFound: before } = context
  if (before?.step === step && before.agent === agent) return before.tools
  const found = await directory.foundTools(agent, signal)
  const tools = withFound(agent, found.tools)
  for (const name of found.missing) {
    const message = `The tools of ${name} cannot be reached now.`
    warnOnce(context, { code: 'tools_unavailable', message }, 'message')
  }
  context.toolsFound = { agent, step, tools }
  return tools
}

/** An agent's own tools, and those of its sources whose names are free. */
export function withFound(agent: Agent, found: readonly AnyTool[]): ReadonlyMap<string, AnyTool> {
  const tools = new Map(ownTools(agent))
  const taken = new Set(handoffNames(agent).map(transferToolName))
  for (const tool of found) if (!tools.has(tool.name) && !taken.has(tool.name)) tools.set(tool.name, tool)
  return tools
}

/** What the model is offered: tools, handoffs, and the caller's own. What is missing is in the log before what is made without it. */
export async function offeredTools(context: RunContext): Promise<ModelTool[]> {
  const offered: ModelTool[] = []
  const { length: told } = context.warned
  const tools = await toolsOf(context)
  if (context.warned.length > told) await context.runLog.commit({ recovery: true })
  for (const { name, description, parameters } of tools.values()) {
    offered.push({ name, description, parameters })
  }
  for (const target of targetsOf(context)) offered.push(handoffTool(target))
  if (context.options.tools) {
    const taken = new Set(offered.map(({ name }) => name))
    offered.push(...context.options.tools.filter(({ name }) => !taken.has(name)))
  }
  return offered
}

/** The agents this one may hand the run to. One that is not served any more is left out. */
export function targetsOf(context: RunContext): Agent[] {
  return context.agent.handoffs.flatMap((target) => {
    if (typeof target !== 'string') return [target]
    return context.directory.agentNamed(target) ?? []
  })
}

/** The agent that the tool of a handoff leads to. */
export function handoffTarget(context: RunContext, toolName: string): Agent | undefined {
  return targetsOf(context).find(({ name }) => transferToolName(name) === toolName)
}

function handoffTool({ name, description }: Agent): ModelTool {
  return {
    name: transferToolName(name),
    description: `Hands the conversation over to ${name}, who answers from then on.${description ? ` ${description}` : ''}`,
    parameters: {
      type: 'object',
      properties: { reason: { type: 'string', description: 'Why, in a few words.' } },
      additionalProperties: false,
    },
  }
}

const ownByAgent = new WeakMap<Agent, ReadonlyMap<string, AnyTool>>()

/** Asked in every step: kept with the definition, which never changes. */
function ownTools(agent: Agent): ReadonlyMap<string, AnyTool> {
  const known = ownByAgent.get(agent)
  if (known) return known
  const tools = new Map(agent.tools.map((tool) => [tool.name, tool]))
  ownByAgent.set(agent, tools)
  return tools
}
