import { afterEach, beforeEach, expect, test } from 'vitest'
import { createDataDir, fixture, startServer, type CliServer } from './cli-server.ts'

let dataDir: Awaited<ReturnType<typeof createDataDir>>
let server: CliServer

beforeEach(async () => {
  dataDir = await createDataDir()
  const args = ['serve', fixture('careless-agent.ts')]
  server = await startServer({ dataDir: dataDir.path, args, environment: { SHUTDOWN_GRACE: '100ms' } })
})
afterEach(async () => {
  server.signal('SIGKILL')
  await server.exited
  await dataDir.remove()
})

test('a rejection that a tool forgets is logged, and the server goes on', async () => {
  const run = await server.json('/v1/agents/forget/runs', { input: 'hi' })
  expect(run).toMatchObject({ status: 'completed', output: 'Went on.' })
  await server.logged(({ msg }) => msg === 'a rejection was not handled')
  expect((await server.request('/ready')).status).toBe(200)
})

test('an exception that nobody can catch ends the process in order: readers are told, and it exits with 1', async () => {
  const stream = await server.request('/v1/agents/explode/runs', { input: 'hi', stream: true })
  expect(await stream.text()).toContain('"code":"draining"')
  await server.logged(({ msg }) => msg === 'an exception was not caught: ending the process')
  expect((await server.exited).code).toBe(1)
})
