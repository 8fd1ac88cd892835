import { expect, test } from 'vitest'
import { readEvents, startProgram } from './example-process.ts'

test('an email to somebody outside goes out once the person at the terminal approves it, not before', async () => {
  const desk = await startProgram('examples/approval-desk.ts')
  try {
    const body = { input: 'Send an email to bo@partner.test', stream: true }
    const before = await readEvents(await desk.request('/v1/agents/assistant/runs', body))
    const { run_id: runId } = before[0] as { run_id: string }
    const suspension = before.at(-1) as { type: string; seq: number; approvals: { id: string }[] }
    expect(suspension).toMatchObject({ type: 'run.suspend', approvals: [{ tool: 'send_email' }] })
    const [approval] = suspension.approvals

    expect(await desk.type('list')).toContain(`${approval!.id} send_email {"to":"bo@partner.test"`)
    // A reader that comes back after a suspension waits for what follows.
    const rest = desk.request(`/v1/runs/${runId}/events?after=${suspension.seq}`).then(readEvents)
    expect(await desk.type(`approve ${approval!.id}`)).toBe('send_email: approved\n')
    const after = await rest
    expect(after[0]).toMatchObject({ type: 'approval.resolve', decision: 'approve', by: 'terminal' })
    expect(after.find(({ type }) => type === 'tool.end')).toMatchObject({
      output: 'Sent to bo@partner.test.',
    })
    expect(after.at(-1)).toMatchObject({ type: 'run.end', status: 'completed', stop_reason: 'final' })

    expect(await desk.type(`reject ${approval!.id} too late`)).toBe('The approval was decided before.\n')
    expect(await desk.type('list')).toBe('nothing waits\n')
  } finally {
    expect(await desk.stop()).toBe(0)
  }
})
