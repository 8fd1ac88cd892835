import { expect, onTestFinished, test } from 'vitest'
import { readEvents, startExample } from './example-process.ts'

test('the editor has both of its team at work at once, shows what they do, and writes from what they bring', async () => {
  const example = await startExample('examples/research-team.ts')
  onTestFinished(async () => {
    expect(await example.stop()).toBe(0)
  })
  const body = { input: 'Write about the moon.', stream: true }
  const events = await readEvents(await example.request('/v1/agents/editor/runs', body))
  const calls = events.filter(({ type }) => type === 'tool.call')
  expect(calls.map(({ name }) => name)).toEqual(['researcher', 'ask_critic'])
  const progress = events.filter(({ type }) => type === 'tool.progress')
  for (const { call_id } of calls) {
    const own = progress.filter((event) => event['call_id'] === call_id)
    expect(own.at(-1)).toMatchObject({ event: { type: 'run.end', stop_reason: 'final' } })
  }
  expect(progress.map(({ event }) => (event as { name?: string }).name)).toContain('search_archive')

  const answer = await (await example.request('/chat', { message: 'Write about the moon.' })).json()
  expect(answer).toMatchObject({
    steps: 2,
    answer:
      'The moon. Armstrong walked there first, in 1969 (archive: On the moon). People often say that one side of the moon is always dark. It is not.',
  })
})
