import { expect, onTestFinished, test } from 'vitest'
import { createUpstreamServer, streamReply } from '../../src/testing/upstream-server.ts'
import { readEvents, startProgram } from './example-process.ts'

const call = (name: string, input: unknown) =>
  streamReply({ toolCalls: [{ name, arguments: [JSON.stringify(input)] }] })

test('the trip planner asks the traveller at the terminal, and books what was answered', async () => {
  const upstream = await createUpstreamServer()
  onTestFinished(() => upstream.close())
  const program = await startProgram('examples/trip-planner.ts', {
    LLM_BASE_URL: upstream.baseURL,
    LLM_DEFAULT_MODEL: 'test-model',
  })
  try {
    upstream.reply(
      call('ask_user', { question: 'Where to?', choices: ['Rome', 'Oslo'] }),
      call('ask_for_dates', { question: 'When?' }),
      call('book_train', { from: 'Bern', to: 'Rome', date: '2027-03-01' }),
      streamReply({ text: ['Have a good journey.'] }),
    )
    const body = { input: 'I want to get out of Bern.', stream: true }
    let events = await readEvents(await program.request('/v1/agents/trip-planner/runs', body))
    const { run_id: runId } = events[0] as { run_id: string }

    /** The question the run waits for; then what follows once these lines were typed. */
    const answer = async (...lines: ((id: string) => [string, string])[]) => {
      const { seq, approvals } = events.at(-1) as { seq: number; approvals: { id: string }[] }
      const rest = program.request(`/v1/runs/${runId}/events?after=${seq}`).then(readEvents)
      for (const line of lines) {
        const [typed, said] = line(approvals[0]!.id)
        expect(await program.type(typed)).toContain(said)
      }
      events = await rest
      return events.find(({ type }) => type === 'tool.end')?.['output']
    }

    expect(await program.type('list')).toContain('Where to? {"type":"string","enum":["Rome","Oslo"]}')
    expect(
      await answer(
        (id) => [`answer ${id} Paris`, 'answer: Invalid option'],
        (id) => [`answer ${id} Rome`, 'answered'],
      ),
    ).toBe('Rome')
    expect(
      await answer(
        (id) => [`answer ${id} tomorrow`, 'answer: Invalid input'],
        (id) => [`answer ${id} {"out":"soon"}`, 'answer.out: Invalid ISO date'],
        (id) => [`answer ${id} {"out":"2027-03-01"}`, 'answered'],
      ),
    ).toBe('{"out":"2027-03-01"}')
    expect(events.at(-1)).toMatchObject({
      type: 'run.suspend',
      approvals: [
        { tool: 'book_train', question: { message: 'Which seat from Bern to Rome on 2027-03-01?' } },
      ],
    })
    expect(await answer((id) => [`answer ${id} {"class":"second"}`, 'answered'])).toBe(
      'Booked: second class, window.',
    )
    expect(events[0]).toMatchObject({
      type: 'approval.resolve',
      by: 'traveller',
      answer: { class: 'second', window: true },
    })
    expect(events.at(-1)).toMatchObject({ type: 'run.end', status: 'completed', steps: 4 })
    expect(await program.type('list')).toBe('no questions\n')
  } finally {
    expect(await program.stop()).toBe(0)
  }
})

test('the trip planner books nothing where the traveller declines', async () => {
  const upstream = await createUpstreamServer()
  onTestFinished(() => upstream.close())
  const program = await startProgram('examples/trip-planner.ts', {
    LLM_BASE_URL: upstream.baseURL,
    LLM_DEFAULT_MODEL: 'test-model',
  })
  try {
    upstream.reply(
      call('book_train', { from: 'Bern', to: 'Rome', date: '2027-03-01' }),
      streamReply({ text: ['As you like.'] }),
    )
    const body = { input: 'Book me a train.', stream: true }
    const before = await readEvents(await program.request('/v1/agents/trip-planner/runs', body))
    const { run_id: runId } = before[0] as { run_id: string }
    const { seq, approvals } = before.at(-1) as { seq: number; approvals: { id: string }[] }
    const rest = program.request(`/v1/runs/${runId}/events?after=${seq}`).then(readEvents)
    expect(await program.type(`decline ${approvals[0]!.id} Too far.`)).toBe('rejected\n')
    expect((await rest).find(({ type }) => type === 'tool.end')).toMatchObject({
      output: 'Not booked: the traveller declined. Too far.',
    })
  } finally {
    expect(await program.stop()).toBe(0)
  }
})
