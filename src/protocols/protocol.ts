import type { Agent, AnyTool } from '../agent/definitions.ts'
import type { Clock } from '../clock.ts'
import type { Mount } from '../http/app.ts'
import type { Streams } from '../http/streams.ts'
import type { Conversations, Runs } from '../runs/runs.ts'

/** What a protocol works with. */
export interface ProtocolDeps {
  runs: Runs
  conversations: Conversations
  /** The agents that are served, by name. */
  agents: ReadonlyMap<string, Agent>
  knownTools: (agent: Agent) => KnownTools
  /** The agent of routes that name none: the first one served. */
  defaultAgent: string
  /** Model of agents that name none, as it is shown. */
  defaultModel: string
  clock: Clock
  streams: Streams
  /** How long a request waits for its run. */
  requestWaitMs: number
}

/** An agent's tools as far as they are known without a wait. `count`: how many the source has found; null while it has not. */
export interface KnownTools {
  tools: readonly AnyTool[]
  sources: readonly { name: string; count: number | null }[]
}

/** A wire format: a pair of translations behind a few routes. Holds no state. */
export interface Protocol {
  /** For people and logs. */
  name: string
  mount(deps: ProtocolDeps): Mount
}

/** The model's name of an agent, as clients see it. */
export function modelNameOf(agent: Agent, defaultModel: string): string {
  const [model] = agent.models
  if (model === undefined) return defaultModel
  if (typeof model === 'string') return model
  return 'id' in model ? model.id : `${model.provider}/${model.modelId}`
}
