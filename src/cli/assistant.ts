import { agent } from '../agent/agent.ts'
import { calculator } from '../tools/calculator.ts'
import { webSearch } from '../tools/web-search.ts'

/** What `parley serve` serves when it is given nothing. */
export const assistant = agent({
  name: 'assistant',
  description: 'A helpful assistant that can calculate and search the web.',
  instructions:
    'You are a helpful assistant. Use the calculator for arithmetic, and search the web for what you cannot know.',
  tools: [calculator, webSearch],
})
