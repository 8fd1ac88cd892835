import { expect, onTestFinished, test } from 'vitest'
import { createUpstreamServer, streamReply } from '../../src/testing/upstream-server.ts'
import { readEvents, startProgram } from './example-process.ts'

test('a program of its own serves its page beside an agent on a provider of its own', async () => {
  const upstream = await createUpstreamServer()
  onTestFinished(() => upstream.close())
  upstream.replyAlways(streamReply({ text: ['Turn', ' left.'] }))
  const program = await startProgram('examples/embedded.ts', {
    GATEWAY_URL: upstream.baseURL,
    GATEWAY_KEY: 'secret-1',
  })
  onTestFinished(async () => {
    expect(await program.stop()).toBe(0)
  })

  expect(await (await program.request('/')).text()).toBe('My own page.')
  const answer = await program.request('/chat', { message: 'Where to?' })
  expect(await answer.json()).toMatchObject({ answer: 'Turn left.' })
  const events = await readEvents(
    await program.request('/v1/agents/guide/runs', { input: 'Where to?', stream: true }),
  )
  expect(events.filter(({ type }) => type === 'text.delta').map(({ delta }) => delta)).toEqual([
    'Turn',
    ' left.',
  ])
  expect(upstream.requests[0]).toMatchObject({
    headers: { authorization: 'Bearer secret-1', 'x-team': 'docs' },
    body: { model: 'small' },
  })
})
