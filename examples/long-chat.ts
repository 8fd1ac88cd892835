/*
 * A conversation without end on a model with a small window: what no longer fits is replaced by a summary.
 *
 *   npm start -- examples/long-chat.ts
 *   for text in 'I am Ann.' 'I have a cat.' 'It is grey.' 'It sleeps.' 'It snores.' 'What do you know?'; do
 *     curl -s http://127.0.0.1:8080/chat -H 'content-type: application/json' -d "{\"message\":\"$text\",\"session_id\":\"s1\"}"
 *   done
 *
 * Its models are scripted, so that it needs no account: name real ones instead. This one answers with what it was sent.
 */
import { agent, scriptedModel, type ModelRequest } from 'parleykit'

const listener = scriptedModel(repeat, { id: 'scripted/listener' })
const scribe = scriptedModel(condense, { id: 'scripted/scribe' })

// #region agent
export default agent({
  name: 'listener',
  model: listener,
  history: {
    // Four earlier turns are sent. When there is a fifth, all but the newest two become a summary.
    maxTurns: 4,
    summarise: {
      model: scribe,
      keepTurns: 2,
      instructions: 'Note what is known of the user, one fact a line.',
    },
  },
})
// #endregion

function repeat({ items }: ModelRequest): string {
  const texts = textsOf(items)
  return texts.at(-1) === 'What do you know?' ? texts.slice(0, -1).join('\n') : 'I see.'
}

/** What the user said, and the summary before it, without anything else. */
function condense({ items }: ModelRequest): string {
  const told = textsOf(items).join('\n').split('\n')
  return told
    .filter((line) => line !== '' && !line.startsWith('assistant:') && !line.startsWith('Summary of what'))
    .map((line) => line.replace(/^user: /, ''))
    .join('\n')
}

function textsOf(items: ModelRequest['items']): string[] {
  return items.flatMap((item) =>
    item.type === 'message' ? item.content.flatMap((part) => (part.type === 'text' ? [part.text] : [])) : [],
  )
}
