import { expect, test } from 'vitest'
import { agent } from './agent/agent.ts'
import { createParley } from './parley.ts'
import { DefinitionError } from './parse-definition.ts'

const assistant = agent({ name: 'assistant' })

// What a JavaScript author can write, and the compiler would refuse.
test.for<[options: Record<string, unknown>, says: string]>([
  [{ agents: undefined }, 'createParley: agents: must be a list, not undefined'],
  [{ agents: [] }, 'createParley: agents: give at least one agent'],
  [{ agents: [{ name: 'bare' }] }, 'createParley: agents.0: must be made with agent()'],
  [{ agents: [assistant, assistant] }, 'createParley: two agents are named assistant'],
  [{ agents: [{ ...assistant, model: 'demo' }] }, 'createParley: agent assistant: use "models"'],
  [{ portt: 1 }, 'createParley: no such option: "portt"; there are agents, host, port, '],
  [{ port: '8080' }, 'createParley: port: must be a number, not text'],
  [{ runTimeoutMs: Number.NaN }, 'createParley: runTimeoutMs: must be a number, not NaN'],
  [{ dataDir: 5 }, 'createParley: dataDir: must be text, not a number'],
  [{ logLevel: 'loud' }, 'createParley: logLevel: must be one of debug, info'],
  [{ llmBaseUrl: 'localhost:11434' }, 'createParley: llmBaseUrl: must be an http or https URL'],
  [{ webSearchApiKey: 'x' }, 'createParley: no such option: "webSearchApiKey"'],
  [{ clock: Date }, 'createParley: clock: must be a clock'],
  [{ providers: [] }, 'createParley: providers: must be an object, not a list'],
])('%o is refused at the start', async ([options, says]) => {
  const start = createParley({ agents: [assistant], ...options } as never)
  await expect(start).rejects.toThrow(says)
  await expect(start).rejects.toThrow(DefinitionError)
})
