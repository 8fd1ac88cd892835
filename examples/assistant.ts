/*
 * An assistant that looks people up by itself, and asks a person before it writes to somebody outside.
 *
 *   npm start -- examples/assistant.ts
 *
 * It names no model: it uses LLM_DEFAULT_MODEL, or the demo model, which picks a tool when all words of its name are said.
 */
import { agent, tool } from 'parleykit'
import { z } from 'zod'

const contacts = [
  { name: 'Ann', email: 'ann@example.com' },
  { name: 'Bo', email: 'bo@partner.test' },
]

// #region read-tool
export const findContact = tool({
  name: 'find_contact',
  description: 'Finds people in the address book by name.',
  input: z.object({ name: z.string().min(1).describe('One or more names, for example: Ann') }),
  effect: 'read',
  execute: ({ name }) => {
    const wanted = name.toLowerCase().split(/\W+/)
    const found = contacts.filter((contact) => wanted.includes(contact.name.toLowerCase()))
    return found.length > 0 ? found : 'Nobody of that name.'
  },
})
// #endregion

/** Stands for a mail server: what was sent, by idempotency key, so that the same call never sends twice. */
const sent = new Map<string, { to: string; body: string }>()

// #region write-tool
export const sendEmail = tool({
  name: 'send_email',
  description: 'Sends an email.',
  input: z.object({ to: z.email(), body: z.string().min(1).max(5000) }),
  effect: 'write',
  approval: ({ to }) => !to.endsWith('@example.com'),
  timeoutMs: 10_000,
  execute: ({ to, body }, context) => {
    context.signal.throwIfAborted()
    sent.set(context.idempotencyKey, { to, body })
    context.log('email sent', { to })
    return `Sent to ${to}.`
  },
})
// #endregion

// #region agent
export const assistant = agent({
  name: 'assistant',
  description: 'Finds contacts and sends them email.',
  instructions: 'You are a helpful assistant. Look addresses up before you write to somebody.',
  tools: [findContact, sendEmail],
  maxSteps: 6,
})

export default { agents: [assistant] }
// #endregion
