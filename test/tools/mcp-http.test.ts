import { expect, test } from 'vitest'
import type { Question } from '../../src/agent/definitions.ts'
import { askedRun, freePort, openSource, startEverything, Suspension } from './mcp-source.ts'

test('a server that was killed and started again on its port serves its tools to a new session', async () => {
  const port = await freePort()
  const first = await startEverything(port)
  const source = openSource({ url: first.url })
  expect(await source.call('get-sum', { a: 1, b: 2 })).toContain('is 3')
  await first.kill()
  await startEverything(port)
  expect(await source.call('get-sum', { a: 3, b: 4 })).toContain('is 7')
  // A write, too: a server that does not know the session has not begun.
  expect(await source.call('toggle-simulated-logging')).toContain('simulated')
})

test('a server that comes back is noticed without a call', async () => {
  const port = await freePort()
  const first = await startEverything(port)
  const source = openSource({ url: first.url })
  await source.tools()
  await first.kill()
  await source.logged('mcp server lost')
  await startEverything(port)
  await source.logged('mcp server connected', 2)
  expect(await source.call('echo', { message: 'again' })).toBe('Echo: again')
})

test('a server that starts after us is waited for', async () => {
  const port = await freePort()
  const source = openSource({ url: `http://127.0.0.1:${port}/mcp` })
  const { fields } = await source.logged('mcp server cannot be reached')
  expect(fields).toMatchObject({ err: { network: `ECONNREFUSED 127.0.0.1:${port}` } })
  expect(source.open.known?.()).toBeUndefined()
  const tools = source.tools()
  await startEverything(port)
  expect((await tools).map(({ name }) => name)).toContain('echo')
  expect(source.open.known?.()).toEqual(await tools)
})

test('a call to a server that stays away fails with words for the model, a write as not made', async () => {
  const port = await freePort()
  const server = await startEverything(port)
  const source = openSource({ url: server.url, name: 'all', connectTimeoutMs: 300 })
  await source.tools()
  await server.kill()
  const message = 'The server of this tool (all) cannot be reached now. The call was not made.'
  await expect(source.call('echo', { message: 'x' })).rejects.toThrow(message)
  await expect(source.call('toggle-simulated-logging')).rejects.toThrow(message)
  expect((await source.tools()).map(({ name }) => name)).toContain('echo')
})

test.for([
  { effect: 'read' as const, starts: 2 },
  { effect: 'write' as const, starts: 1 },
])('a $effect that was cut by the death of the server is made $starts times', async ({ effect, starts }) => {
  const port = await freePort()
  const first = await startEverything(port)
  const source = openSource({ url: first.url, effect: { 'trigger-long-running-operation': effect } })
  let begun = 0
  const progress = ({ progress: step = 0 }) => {
    if (step !== 1 || ++begun > 1) return
    void first.kill().then(() => startEverything(port))
  }
  const call = source.call('trigger-long-running-operation', { duration: 0.4, steps: 4 }, { progress })
  if (effect === 'read') expect(await call).toContain('completed')
  else await expect(call).rejects.toMatchObject({ code: 'outcome_unknown' })
  await source.logged('mcp server connected', 2)
  expect(begun).toBe(starts)
})

test('questions of calls at the same time go each to the call they belong to', async () => {
  const { url } = await startEverything(await freePort())
  const source = openSource({ url })
  const people = ['Ada', 'Grace', 'Barbara', 'Frances']
  const answers = await Promise.all(
    people.map(async (name) => {
      const { asked, context } = askedRun({ action: 'accept', content: { name } })
      const call = () => source.call('trigger-elicitation-request', {}, context())
      await expect(call()).rejects.toBeInstanceOf(Suspension)
      const answer = await call()
      return { answer, asked: asked.length }
    }),
  )
  expect(answers.map(({ asked }) => asked)).toEqual([2, 2, 2, 2])
  for (const [i, name] of people.entries()) expect(answers[i]?.answer).toContain(`- Name: ${name}`)
})

test('a question is asked while other calls of others go on', async () => {
  const { url } = await startEverything(await freePort())
  const source = openSource({ url })
  const asked: Question[] = []
  const long = source.call('trigger-long-running-operation', { duration: 1, steps: 2 })
  const answer = await source.call(
    'trigger-elicitation-request',
    {},
    {
      ask: async (question) => {
        asked.push(question)
        return { action: 'cancel' }
      },
    },
  )
  expect(answer).toContain('cancelled')
  expect(asked).toHaveLength(1)
  expect(await long).toContain('completed')
})

test('headers reach the server and no log', async () => {
  const { createServer } = await import('node:http')
  const seen: (string | undefined)[] = []
  const server = createServer((request, response) => {
    seen.push(request.headers.authorization)
    response.writeHead(401).end(`no: ${request.headers.authorization ?? ''}`)
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const headers = { authorization: 'Bearer sk-very-secret' }
  const source = openSource({
    url: `http://127.0.0.1:${port}/mcp?token=also-secret`,
    headers,
    connectTimeoutMs: 200,
  })
  const line = await source.logged('mcp server cannot be reached')
  expect(line.fields).toMatchObject({ err: { status: 401 } })
  await expect(source.tools()).rejects.toThrow('cannot be reached')
  await source.open.close()
  expect(seen[0]).toBe('Bearer sk-very-secret')
  expect(source.log.text()).not.toMatch(/very-secret|also-secret/)
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})
