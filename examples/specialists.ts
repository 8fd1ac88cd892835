/*
 * One address, three agents: whoever a message speaks for answers it, and keeps the conversation until another is spoken for.
 *
 *   npm start -- examples/specialists.ts
 *   curl -s http://127.0.0.1:8080/chat -H 'content-type: application/json' \
 *     -d '{"message":"Debug this stack trace, please.","session_id":"s1"}'
 *
 * Their models are scripted, so that it needs no account: name real ones instead.
 */
import { agent, calculator, scriptedModel, type ModelRequest } from 'parleykit'

// #region specialists
const coder = agent({
  name: 'coder',
  description: 'Writes and mends code.',
  model: standIn('coder'),
  instructions: 'You are a careful programmer. Answer with code first.',
  settings: { temperature: 0.1 },
})

const researcher = agent({
  name: 'researcher',
  description: 'Finds things out and names its sources.',
  model: standIn('researcher'),
  instructions: 'You look things up and say where you found them.',
  tools: [calculator],
  maxSteps: 20,
})
// #endregion

// #region router
export default agent({
  name: 'general',
  model: standIn('general'),
  instructions: 'You help with everything that needs no specialist.',
  specialists: [
    {
      agent: coder,
      keywords: ['code', 'function', 'bug', 'api', 'C++', { word: 'stack trace', weight: 3 }],
    },
    {
      agent: researcher,
      keywords: ['research', 'source', 'study', { word: 'find out', weight: 2 }],
    },
  ],
})
// #endregion

/** Stands for a language model: says who it is and what it was asked. */
function standIn(name: string) {
  return scriptedModel(({ items }: ModelRequest) => {
    const asked = items.findLast((item) => item.type === 'message' && item.role === 'user')
    const text =
      asked?.type === 'message' ? asked.content.map((part) => (part.type === 'text' ? part.text : '')) : []
    return `The ${name} here. You said: ${text.join('')}`
  })
}
