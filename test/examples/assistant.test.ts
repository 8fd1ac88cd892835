import { expect, test } from 'vitest'
import { startExample, type ExampleProcess } from './example-process.ts'

interface Answer {
  answer: string | null
  status?: string
  run_id: string
  approvals?: { id: string; tool: string; arguments: unknown; reason: string }[]
}

async function chat(example: ExampleProcess, message: string, session: string) {
  const response = await example.request('/chat', { message, session_id: session })
  expect(response.status).toBe(200)
  return (await response.json()) as Answer
}

test('the assistant looks up, sends what needs no approval, waits with what does, and remembers', async () => {
  const example = await startExample('examples/assistant.ts')
  try {
    expect((await chat(example, 'Find the contact of Ann', 'one')).answer).toContain(
      'The tool find_contact answered: [{"name":"Ann","email":"ann@example.com"}]',
    )
    expect((await chat(example, 'Send an email to ann@example.com', 'one')).answer).toContain(
      'The tool send_email answered: Sent to ann@example.com.',
    )
    expect((await chat(example, 'Thank you', 'one')).answer).toContain(
      'Before that you said: “Send an email to ann@example.com”.',
    )

    const waiting = await chat(example, 'Send an email to bo@partner.test', 'two')
    expect(waiting).toMatchObject({
      answer: null,
      status: 'suspended',
      approvals: [{ tool: 'send_email', arguments: { to: 'bo@partner.test' }, reason: 'policy' }],
    })
    const busy = await example.request('/chat', { message: 'Still there?', session_id: 'two' })
    expect(busy.status).toBe(409)
    expect(await busy.json()).toMatchObject({ code: 'conversation_suspended', run_id: waiting.run_id })

    const cancelled = await example.request(`/v1/runs/${waiting.run_id}/cancel`, {})
    expect(await cancelled.json()).toMatchObject({ status: 'cancelled', stop_reason: 'cancelled' })
    expect((await chat(example, 'Hello again', 'two')).answer).toContain('Hello again')
  } finally {
    expect(await example.stop()).toBe(0)
  }
  expect(example.output()).toContain('"msg":"email sent"')
  expect(example.output()).not.toContain('bo@partner.test')
})
