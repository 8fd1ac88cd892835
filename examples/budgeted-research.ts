/*
 * Research that must not get out of hand: so many tokens, so much money, so many seconds, so many calls. What is near its end
 * is told the model; what is over ends the run with what it has. An assistant that the researcher asks works within the same.
 *
 *   LLM_BASE_URL=http://127.0.0.1:11434/v1 npx node examples/budgeted-research.ts
 *   curl -s http://127.0.0.1:8080/v1/agents/researcher/runs -H 'content-type: application/json' \
 *     -d '{"input":"What do we know of the moons of Neptune?","budget":{"tool_calls":2}}'
 */
import { agent, serve, tool } from 'parleykit'
import { z } from 'zod'

/** Stands for a search that is paid by the call. */
const library: Readonly<Record<string, string>> = {
  neptune: 'Neptune has sixteen known moons. The largest is Triton.',
  triton: 'Triton goes round Neptune against its spin.',
}

const search = tool({
  name: 'search',
  description: 'Looks one word up in the library.',
  input: z.object({ word: z.string() }),
  effect: 'read',
  execute: ({ word }) => library[word.toLowerCase()] ?? 'Nothing is known of that.',
})

// #region budget
const assistant = agent({
  name: 'assistant',
  description: 'Looks up one question in the library.',
  model: 'llm/small',
  tools: [search],
  // Counted from each call of it, within what the run has left.
  budget: { toolCalls: 5 },
})

const researcher = agent({
  name: 'researcher',
  model: 'llm/large',
  instructions: 'You answer from the library. Say what you could not find out.',
  tools: [search, assistant.asTool()],
  budget: { tokens: 50_000, cost: 0.05, seconds: 120, toolCalls: 20 },
})

const server = await serve({
  agents: [researcher],
  models: {
    'llm/large': { price: { input: 2, output: 8, cachedInput: 0.5 } },
    'llm/small': { price: { input: 0.2, output: 0.8 } },
  },
})
// #endregion

console.log(`listens on ${server.url}`)
