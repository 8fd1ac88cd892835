import { anonymous } from '../../src/identity/principal.ts'
import { serve } from '../../src/serve.ts'
import { AppError } from '../../src/errors.ts'
import app from './fixture-app.ts'
import { tell, type TestMessage } from './fixture-link.ts'

/*
 * The fixture app in a program of its own: what `parley serve` does, and decisions about approvals, which are made in code.
 */
const server = await serve({ agents: app.agents })

process.on('message', (message: TestMessage) => {
  if (message.kind !== 'decide') return
  const { kind: _kind, approvalId, ...decision } = message
  server.approvals.decide(anonymous, approvalId, decision).then(
    () => tell({ kind: 'decided', approvalId, error: null }),
    (error: unknown) => tell({ kind: 'decided', approvalId, error: AppError.from(error).code }),
  )
})

console.log(`listens on ${server.url}`)
