import type { AgentOptions } from '../../src/agent/agent-options.ts'
import { agent } from '../../src/agent/agent.ts'
import type { Agent, AnyTool } from '../../src/agent/definitions.ts'
import type { EventOf, RunEvent } from '../../src/events.ts'
import { scriptedModel, type ScriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'

/** A call of an agent that serves as a tool. */
export const ask = (name: string, task = 'a task') => ({ name, arguments: { task } })

export const call = (name: string, args: Record<string, unknown> = {}) => ({ name, arguments: args })

/** An agent on a script, to serve as a tool. */
export function helper(
  name: string,
  model: ScriptedModel | ScriptedReply[],
  options: Partial<AgentOptions> = {},
): Agent {
  return agent({ name, model: Array.isArray(model) ? scriptedModel(model) : model, ...options })
}

/** The agent `boss`, with others as its tools. */
export function boss(
  model: ScriptedModel | ScriptedReply[],
  team: readonly (Agent | AnyTool)[],
  options: Partial<AgentOptions> = {},
): Agent {
  const tools = team.map((one) => ('asTool' in one ? one.asTool() : one))
  return helper('boss', model, { tools, ...options })
}

/** What agents at work as tools showed: the events within progress, each with the call it belongs to. */
export function shown(events: readonly RunEvent[]): { call_id: string; event: Record<string, unknown> }[] {
  return events
    .filter((event): event is EventOf<'tool.progress'> => event.type === 'tool.progress')
    .flatMap(({ call_id, event }) => (event ? [{ call_id, event }] : []))
}

export const shownTypes = (events: readonly RunEvent[]) => shown(events).map(({ event }) => event.type)
