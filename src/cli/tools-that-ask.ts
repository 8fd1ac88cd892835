import type { Agent } from '../agent/definitions.ts'

/** Names of the tools that are made to wait for people, of these agents and all they work with. */
export function toolsThatAsk(agents: readonly Agent[]): string[] {
  const names = new Set<string>()
  const seen = new Set<Agent>()
  const look = (agent: Agent) => {
    if (seen.has(agent)) return
    seen.add(agent)
    for (const tool of agent.tools) {
      if (tool.asksPeople) names.add(tool.name)
      if (tool.agent) look(tool.agent)
    }
    for (const { agent: specialist } of agent.specialists) look(specialist)
    for (const other of agent.handoffs) if (typeof other !== 'string') look(other)
  }
  for (const agent of agents) look(agent)
  return [...names]
}
