/*
 * Reads invoices: text in, data out. The answer must satisfy a schema; where it does not (here also: where the sum is wrong),
 * the model is told what is wrong with it and answers again.
 *
 *   LLM_BASE_URL=http://127.0.0.1:11434/v1 LLM_DEFAULT_MODEL=qwen3 npm start -- examples/extract-invoice.ts
 *   curl -s http://127.0.0.1:8080/v1/agents/invoice-reader/runs -H 'content-type: application/json' \
 *     -d '{"input":"Invoice 2026-117 of 3 November 2026. Two chairs 160.00, delivery 12.50. To pay: EUR 172.50"}'
 */
import { agent } from 'parleykit'
import { z } from 'zod'

// #region agent
const invoice = z
  .object({
    number: z.string(),
    date: z.iso.date().describe('Day of issue.'),
    currency: z.enum(['EUR', 'GBP', 'USD']),
    lines: z.array(z.object({ text: z.string(), amount: z.number() })).min(1),
    total: z.number(),
    note: z.string().nullable().describe('What else is to be known; null where there is nothing.'),
  })
  .refine(({ lines, total }) => cents(total) === cents(sumOf(lines)), {
    path: ['total'],
    message: 'is not the sum of the lines',
  })

export default agent({
  name: 'invoice-reader',
  instructions: 'You read invoices. Copy what is there; make nothing up.',
  output: invoice,
})
// #endregion

function sumOf(lines: readonly { amount: number }[]): number {
  return lines.reduce((sum, { amount }) => sum + amount, 0)
}

function cents(amount: number): number {
  return Math.round(amount * 100)
}
