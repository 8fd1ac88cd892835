import { expect, onTestFinished, test } from 'vitest'
import { readEvents, startExample } from './example-process.ts'

test('each message is answered by whom it speaks for, who keeps the conversation until another is spoken for', async () => {
  const example = await startExample('examples/specialists.ts')
  onTestFinished(async () => {
    expect(await example.stop()).toBe(0)
  })
  const answers: string[] = []
  for (const message of [
    'Hello, what is the capital of France?',
    'Debug this stack trace from a study, please.',
    'And what then?',
    'Find out who wrote it.',
  ]) {
    const answer = await (await example.request('/chat', { message, session_id: 's1' })).json()
    answers.push(String((answer as { answer: string }).answer).split(' here')[0] ?? '')
  }
  expect(answers).toEqual(['The general', 'The coder', 'The coder', 'The researcher'])

  const body = { input: 'Is this a bug?', stream: true }
  const events = await readEvents(await example.request('/v1/agents/general/runs', body))
  expect(events.find(({ type }) => type === 'agent.switch')).toMatchObject({
    from: 'general',
    to: 'coder',
    why: 'keywords',
  })
})
