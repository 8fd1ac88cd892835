import type { AgentOptions } from '../../src/agent/agent-options.ts'
import { agent } from '../../src/agent/agent.ts'
import type { Agent } from '../../src/agent/definitions.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import type { StartInput } from './engine-under-test.ts'

/** An agent that says its own name, whatever it is asked. */
export function speaker(name: string, options: Partial<AgentOptions> = {}): Agent {
  return agent({
    name,
    description: `Knows ${name}.`,
    model: scriptedModel(() => name, { id: `scripted/${name}` }),
    ...options,
  })
}

/** A router with a coder and a writer. */
export function office(options: Partial<AgentOptions> = {}): Agent {
  return agent({
    name: 'office',
    model: scriptedModel(() => 'office', { id: 'scripted/office' }),
    specialists: [
      { agent: speaker('coder'), keywords: ['code', { word: 'stack trace', weight: 3 }] },
      { agent: speaker('writer'), keywords: ['poem', 'api'] },
    ],
    ...options,
  })
}

/** A request to the office within a session. */
export const inSession = (session: string, input: string, more: StartInput = {}): StartInput => ({
  agent: 'office',
  conversation: { session },
  input,
  ...more,
})
