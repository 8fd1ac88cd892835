import { agent } from '../agent/agent.ts'
import { calculator } from '../tools/calculator.ts'

/** What `parley serve` serves when it is given nothing. */
export const assistant = agent({
  name: 'assistant',
  description: 'A helpful assistant that can calculate.',
  instructions: 'You are a helpful assistant. Use the calculator for arithmetic.',
  tools: [calculator],
})
