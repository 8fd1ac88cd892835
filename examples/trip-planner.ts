/*
 * An agent that asks the traveller what only the traveller knows. Whoever sits at the terminal answers:
 *
 *   npx node examples/trip-planner.ts
 *
 * Type `list`, `answer <id> <text or JSON>` or `decline <id> <reason>`.
 */
import { createInterface } from 'node:readline'
import { agent, AppError, askUser, createAskUser, serve, tool } from 'parleykit'
import type { Principal } from 'parleykit'
import { z } from 'zod'

const bookings = new Map<string, string>()

// #region create
const askForDates = createAskUser({
  name: 'ask_for_dates',
  description: 'Asks the traveller for the days of the journey out and back.',
  schema: z.object({ out: z.iso.date(), back: z.iso.date().optional() }),
})
// #endregion

// #region ask
const seat = z.object({ class: z.enum(['first', 'second']), window: z.boolean().default(true) })

const bookTrain = tool({
  name: 'book_train',
  description: 'Books a train. The traveller is asked for the seat.',
  input: z.object({ from: z.string(), to: z.string(), date: z.iso.date() }),
  effect: 'write',
  async execute({ from, to, date }, context) {
    const message = `Which seat from ${from} to ${to} on ${date}?`
    const answer = await context.ask({ message, schema: seat })
    if (answer.action === 'decline') return `Not booked: the traveller declined. ${answer.reason ?? ''}`
    if (answer.action === 'cancel') return 'Not booked: the traveller did not answer in time.'
    const wanted = seat.parse(answer.content)
    // The same key after a crash: whoever books must not book twice for it.
    bookings.set(context.idempotencyKey, `${from}-${to}`)
    return `Booked: ${wanted.class} class, ${wanted.window ? 'window' : 'aisle'}.`
  },
})
// #endregion

// #region agent
const planner = agent({
  name: 'trip-planner',
  instructions:
    'You plan journeys by train. Ask for what you do not know; offer choices where there are few.',
  tools: [askUser, askForDates, bookTrain],
  approvalTimeoutMs: 24 * 3_600_000,
})
// #endregion

// #region serve
const parley = await serve({ agents: [planner] })

// Without identity every row belongs to `anonymous`; `name` is who is written down as the one who answered.
const traveller: Principal = { owner: 'anonymous', namespace: '', name: 'traveller' }
// #endregion
console.log(`listens on ${parley.url}`)

// #region answer
async function act(command = '', id = '', words = ''): Promise<string> {
  switch (command) {
    case 'list': {
      const { data } = await parley.approvals.list(traveller, { status: 'pending', limit: 100 })
      const lines = data.map(
        ({ id: one, question }) =>
          `${one} ${question?.message} ${JSON.stringify(question?.schema ?? 'text')}`,
      )
      return lines.join('\n') || 'no questions'
    }
    case 'answer': {
      const { question } = await parley.approvals.get(traveller, id)
      const answer = question?.schema?.['type'] === 'object' ? parseJson(words) : words
      return (await parley.approvals.decide(traveller, id, { decision: 'answer', answer })).status
    }
    case 'decline':
      return (await parley.approvals.decide(traveller, id, { decision: 'reject', reason: words })).status
    default:
      return 'list, answer <id> <text or JSON>, or decline <id> <reason>'
  }
}
// #endregion

/** What is no JSON stays the text it is: the question's schema says what is wrong with it. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command, id, ...words] = line.trim().split(/\s+/)
  const answer = await act(command, id, words.join(' ')).catch(
    (error: unknown) => AppError.from(error).message,
  )
  console.log(answer)
}
