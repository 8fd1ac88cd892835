/*
 * A support desk: it knows which customer asks (from the request's `run_context`, not from what the model says), keeps its
 * tickets once however often a call is tried again, and never lets a card number reach the model.
 *
 *   LLM_BASE_URL=http://127.0.0.1:11434/v1 LLM_DEFAULT_MODEL=qwen3 npm start -- examples/support-desk.ts
 */
import { agent, tool } from 'parleykit'
import type { Hooks, ModelItem, ToolContext } from 'parleykit'
import { z } from 'zod'

interface Order {
  id: string
  customer: string
  item: string
  status: 'packed' | 'sent' | 'delivered'
  courier_phone: string
}

const orders: readonly Order[] = [
  { id: 'A-17', customer: 'c-1', item: 'Lamp', status: 'sent', courier_phone: '+49 30 1234567' },
  { id: 'A-18', customer: 'c-2', item: 'Chair', status: 'packed', courier_phone: '+49 30 7654321' },
]

// #region run-context
const findOrder = tool({
  name: 'find_order',
  description: 'Finds an order of the customer who asks.',
  input: z.object({ order_id: z.string() }),
  effect: 'read',
  execute: ({ order_id }, { runContext }) =>
    orders.find(({ id, customer }) => id === order_id && customer === runContext['customer_id']) ??
    'This customer has no such order.',
})
// #endregion

/** Stands for a ticket system that keeps the first of equal keys. */
const tickets = new Map<string, { number: number; subject: unknown; urgency: unknown }>()

// #region json-schema-tool
const openTicket = tool({
  name: 'open_ticket',
  description: 'Opens a ticket for a colleague.',
  input: {
    type: 'object',
    properties: {
      subject: { type: 'string', minLength: 3 },
      urgency: { type: 'string', enum: ['low', 'high'] },
    },
    required: ['subject', 'urgency'],
    additionalProperties: false,
  },
  effect: 'idempotent',
  execute: (input, context) => ({ ticket: ticketOf(input, context).number }),
})
// #endregion

function ticketOf(input: Record<string, unknown>, { idempotencyKey }: ToolContext) {
  const known = tickets.get(idempotencyKey)
  if (known) return known
  const ticket = { number: tickets.size + 1, subject: input['subject'], urgency: input['urgency'] }
  tickets.set(idempotencyKey, ticket)
  return ticket
}

const cardNumber = /\b(?:\d[ -]?){15}\d\b/g
const phoneNumber = /\+\d[\d ]{6,}\d/g

// #region hooks
const hooks: Hooks = {
  // Changes what the model reads, not what is stored.
  beforeModel: (request) => ({ ...request, items: request.items.map(withoutCardNumbers) }),
  beforeTool({ item, input }, context) {
    if (item.name !== 'open_ticket') return undefined
    const { subject, urgency } = input as { subject: string; urgency: string }
    if (/refund/i.test(subject)) {
      return { refuse: { code: 'tool_refused', message: 'Refunds have their own form: /refunds.' } }
    }
    if (urgency === 'high') context.warn('urgent_ticket', 'A ticket of high urgency is being opened.')
    return undefined
  },
  afterTool: ({ result }) => ({ output: result.output.replace(phoneNumber, '[phone number]') }),
}
// #endregion

function withoutCardNumbers(item: ModelItem): ModelItem {
  if (item.type !== 'message') return item
  const content = item.content.map((part) =>
    part.type === 'text' ? { ...part, text: part.text.replace(cardNumber, '[card number]') } : part,
  )
  return { ...item, content }
}

// #region agent
export default agent({
  name: 'support-desk',
  instructions: ({ runContext: { customer_name: name } }) =>
    `You are the support desk of a furniture shop. The customer is ${typeof name === 'string' ? name : 'unknown'}.`,
  tools: [findOrder, openTicket],
  history: { maxTurns: 20 },
  hooks,
})
// #endregion
