/*
 * A tool that is tried again when its service fails, and does not ask it twice for the same:
 *
 *   npx parley serve examples/exchange-rates.ts
 */
import { agent, AppError, tool } from 'parleykit'
import { z } from 'zod'

const bank = process.env['RATES_URL'] ?? 'https://api.frankfurter.dev/v1/latest'

const currency = z.string().regex(/^[A-Z]{3}$/, 'Three capital letters, such as EUR')
const reply = z.object({ date: z.string(), rates: z.record(z.string(), z.number()) })

// #region tool
const exchangeRate = tool({
  name: 'exchange_rate',
  description: 'How much of one currency a unit of another buys.',
  input: z.object({ from: currency, to: currency }),
  effect: 'read',
  timeoutMs: 5_000,
  retries: { times: 3, delayMs: 200 },
  cache: { ttlMs: 3_600_000 },
  async execute({ from, to }, { signal }) {
    const response = await fetch(`${bank}?base=${from}&symbols=${to}`, { signal })
    if (response.status === 404) {
      // Trying again would not help.
      throw new AppError('tool_failed', { message: `The bank does not know ${from} or ${to}.` })
    }
    if (!response.ok) throw new Error(`The bank answers with ${response.status}.`)
    const { date, rates } = reply.parse(await response.json())
    return { rate: rates[to], date }
  },
})
// #endregion

export default agent({
  name: 'money-changer',
  instructions: 'You convert amounts of money. Look rates up; never guess them.',
  tools: [exchangeRate],
})
