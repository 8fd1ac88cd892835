/*
 * Serves the assistant from code, and lets whoever sits at the terminal decide about its emails:
 *
 *   npx node examples/approval-desk.ts
 *
 * Type `list`, `approve <id>` or `reject <id> <reason>`.
 */
import { createInterface } from 'node:readline'
// #region serve
import { AppError, serve } from 'parleykit'
import type { Principal } from 'parleykit'
import { assistant } from './assistant.ts'

const parley = await serve({ agents: [assistant] })

// Without identity every row belongs to `anonymous`; `name` is who is written down as the one who decided.
const person: Principal = { owner: 'anonymous', namespace: '', name: 'terminal' }
// #endregion
console.log(`listens on ${parley.url}`)

// #region decide
async function act(command = '', id = '', reason = ''): Promise<string> {
  switch (command) {
    case 'list': {
      const { data } = await parley.approvals.list(person, { status: 'pending', limit: 100 })
      const lines = data.map(
        (approval) => `${approval.id} ${approval.tool} ${JSON.stringify(approval.arguments)}`,
      )
      return lines.join('\n') || 'nothing waits'
    }
    case 'approve':
    case 'reject': {
      const { tool, status } = await parley.approvals.decide(person, id, { decision: command, reason })
      return `${tool}: ${status}`
    }
    default:
      return 'list, approve <id>, or reject <id> <reason>'
  }
}
// #endregion

for await (const line of createInterface({ input: process.stdin })) {
  const [command, id, ...reason] = line.trim().split(/\s+/)
  const answer = await act(command, id, reason.join(' ')).catch(
    (error: unknown) => AppError.from(error).message,
  )
  console.log(answer)
}
