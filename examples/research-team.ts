/*
 * An editor with a team: two agents are its tools. They work side by side, each with its own model and tools, and the editor
 * writes from what they bring.
 *
 *   npm start -- examples/research-team.ts
 *   curl -sN http://127.0.0.1:8080/v1/agents/editor/runs -H 'content-type: application/json' \
 *     -d '{"input":"Write about the moon.","stream":true}'
 *
 * Their models are scripted, so that it needs no account: name real ones instead.
 */
import { agent, scriptedModel, tool, type ModelRequest } from 'parleykit'
import { z } from 'zod'

const searchArchive = tool({
  name: 'search_archive',
  description: 'Searches the archive of the paper.',
  input: z.object({ words: z.string() }),
  effect: 'read',
  execute: ({ words }) => [{ title: `On ${words}`, year: 1969 }],
})

// #region team
const researcher = agent({
  name: 'researcher',
  description: 'Finds facts and names the sources. Tell it exactly what is to be found out.',
  model: scriptedModel(research),
  instructions: 'You find facts in the archive. Answer with the facts and their sources only.',
  tools: [searchArchive],
  maxSteps: 8,
  budget: { seconds: 120, tokens: 50_000 },
})

const critic = agent({
  name: 'critic',
  description: 'Reads a text or a topic and says what is likely to be wrong about it.',
  model: scriptedModel(['People often say that one side of the moon is always dark. It is not.'], {
    atEnd: 'repeat',
  }),
  instructions: 'You are strict and short.',
})
// #endregion

// #region editor
export default agent({
  name: 'editor',
  model: scriptedModel(edit),
  instructions: 'You write short articles. Have facts found and checked before you write.',
  tools: [researcher.asTool(), critic.asTool({ name: 'ask_critic' })],
})
// #endregion

/** Stands for a model that asks its team first, both at once. */
function edit({ items }: ModelRequest) {
  const lastUser = items.findLastIndex((item) => item.type === 'message' && item.role === 'user')
  const found = items.slice(lastUser).flatMap((item) => (item.type === 'tool_result' ? [item.output] : []))
  if (found.length > 0) return `The moon. ${found.join(' ')}`
  return {
    toolCalls: [
      { name: 'researcher', arguments: { task: 'Who walked on the moon first, and when?' } },
      { name: 'ask_critic', arguments: { task: 'What do people get wrong about the moon?' } },
    ],
  }
}

/** Stands for a model that searches before it answers. */
function research({ items }: ModelRequest) {
  const found = items.findLast((item) => item.type === 'tool_result')
  if (!found) return { toolCalls: [{ name: 'search_archive', arguments: { words: 'the moon' } }] }
  return 'Armstrong walked there first, in 1969 (archive: On the moon).'
}
