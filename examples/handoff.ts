/*
 * A reception that hands callers over: to billing, which may hand them on to a person's desk, or back.
 *
 *   npm start -- examples/handoff.ts
 *   curl -s http://127.0.0.1:8080/chat -H 'content-type: application/json' \
 *     -d '{"message":"I was charged twice.","session_id":"s1"}'
 *
 * Its models are scripted, so that it needs no account: name real ones instead.
 */
import { agent, scriptedModel, tool, type ModelRequest } from 'parleykit'
import { z } from 'zod'

const findCharges = tool({
  name: 'find_charges',
  description: 'Lists the charges of this month.',
  effect: 'read',
  execute: () => [
    { day: '2026-11-03', amount: 20 },
    { day: '2026-11-03', amount: 20 },
  ],
})

const refund = tool({
  name: 'refund',
  description: 'Pays an amount back.',
  input: z.object({ amount: z.number().positive() }),
  approval: ({ amount }) => amount > 50,
  execute: ({ amount }) => `Paid back: ${amount}.`,
})

// #region agents
const billing = agent({
  name: 'billing',
  description: 'Knows invoices, charges and refunds.',
  model: scriptedModel(settle),
  instructions: 'You settle what is wrong with a bill. Hand over to reception what is none of that.',
  tools: [findCharges, refund],
  // By its name: the two name each other.
  handoffs: ['reception'],
})

const reception = agent({
  name: 'reception',
  model: scriptedModel(receive),
  instructions: 'You greet callers and find out what they want.',
  handoffs: [billing],
  maxHandoffs: 3,
})

export default { agents: [reception] }
// #endregion

/** Stands for a model that knows who does what. */
function receive(request: ModelRequest) {
  if (!/charge|bill|refund/.test(said(request))) return 'Good day. How can I help?'
  return {
    text: 'One moment, please.',
    toolCalls: [{ name: 'transfer_to_billing', arguments: { reason: 'a question about charges' } }],
  }
}

/** Stands for a model that works with its tools. */
function settle(request: ModelRequest) {
  if (/opening hours/.test(said(request))) {
    return { toolCalls: [{ name: 'transfer_to_reception', arguments: { reason: 'opening hours' } }] }
  }
  const lastUser = request.items.findLastIndex((item) => item.type === 'message' && item.role === 'user')
  const called = request.items
    .slice(lastUser)
    .flatMap((item) => (item.type === 'tool_call' ? [item.name] : []))
  if (!called.includes('find_charges')) return { toolCalls: [{ name: 'find_charges', arguments: {} }] }
  if (!called.includes('refund')) return { toolCalls: [{ name: 'refund', arguments: { amount: 20 } }] }
  return 'You were charged twice; 20 are on their way back to you.'
}

function said({ items }: ModelRequest): string {
  const message = items.findLast((item) => item.type === 'message' && item.role === 'user')
  return JSON.stringify(message ?? '').toLowerCase()
}
