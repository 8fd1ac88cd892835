import { expect, onTestFinished, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel, type ReplyFunction } from '../../src/models/scripted.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import { mcpTools } from '../../src/tools/mcp/mcp-tools.ts'
import type { McpToolsOptions } from '../../src/tools/mcp/options.ts'
import { createLogCapture } from '../agent/log-capture.ts'
import { everything, freePort, isAlive, startEverything } from './mcp-source.ts'

interface Run {
  id: string
  status: string
  output: string
  approvals: { id: string; tool: string; reason: string; question?: { message: string } }[]
}

/** Calls the tool that the message names, then says what it answered. */
const obedient: ReplyFunction = ({ items }) => {
  const last = items.at(-1)
  if (last?.type === 'tool_result') return last.output
  const text =
    last?.type === 'message'
      ? last.content.map((part) => (part.type === 'text' ? part.text : '')).join('')
      : ''
  // Where no tools are offered results are told in words.
  if (text.startsWith('[')) return text
  const [name = '', json = '{}'] = text.split(/ (.*)/)
  return { toolCalls: [{ name, arguments: json }] }
}

async function serveTools(options: Omit<McpToolsOptions, 'name'>) {
  const log = createLogCapture()
  const clerk = agent({
    name: 'clerk',
    model: scriptedModel(obedient),
    tools: [mcpTools({ name: 'all', prefix: '', ...options })],
  })
  const server = await createTestServer({ agents: [clerk], logger: log.logger })
  onTestFinished(() => server.close())
  return {
    log,
    server,
    run: async (input: string): Promise<Run> => {
      const response = await server.request('/v1/agents/clerk/runs', { body: { input } })
      expect(response.status).toBe(200)
      return (await response.json()) as Run
    },
    joined: async (id: string): Promise<Run> => {
      return (await (await server.request(`/v1/runs/${id}/wait`)).json()) as Run
    },
  }
}

test('an agent uses the tools of a program that is killed and starts again', async () => {
  const { run, log, server } = await serveTools({ command: process.execPath, args: [everything, 'stdio'] })
  expect(await run('get-sum {"a":1,"b":2}')).toMatchObject({
    status: 'completed',
    output: 'The sum of 1 and 2 is 3.',
  })
  const connected = log.lines().find(({ message }) => message === 'mcp server connected')
  process.kill(Number(connected?.fields['pid']), 'SIGKILL')
  expect(await run('get-sum {"a":3,"b":4}')).toMatchObject({ output: 'The sum of 3 and 4 is 7.' })
  const second = log.lines().findLast(({ message }) => message === 'mcp server connected')
  await server.close()
  expect(isAlive(Number(second?.fields['pid']))).toBe(false)
})

test('an agent uses the tools of a server over HTTP that is killed and starts again on its port', async () => {
  const port = await freePort()
  const first = await startEverything(port)
  const { run } = await serveTools({ url: first.url })
  expect(await run('echo {"message":"one"}')).toMatchObject({ output: 'Echo: one' })
  await first.kill()
  await startEverything(port)
  expect(await run('echo {"message":"two"}')).toMatchObject({ status: 'completed', output: 'Echo: two' })
})

test('a run waits for the answer to a question of the server, and goes on with it', async () => {
  const { run, joined, server } = await serveTools({ command: process.execPath, args: [everything, 'stdio'] })
  const waiting = await run('trigger-elicitation-request')
  expect(waiting).toMatchObject({
    status: 'suspended',
    approvals: [{ tool: 'trigger-elicitation-request', reason: 'question' }],
  })
  const [approval] = waiting.approvals
  expect(approval?.question?.message).toBe('Please provide inputs for the following fields:')
  await server.approvals.decide(anonymous, approval?.id ?? '', {
    decision: 'answer',
    answer: { name: 'Ada' },
  })
  const done = await joined(waiting.id)
  expect(done.status).toBe('completed')
  expect(done.output).toContain('- Name: Ada')
})

test('an agent whose server is away answers without its tools', async () => {
  const { run } = await serveTools({ command: 'no-such-program-here', connectTimeoutMs: 200 })
  const { output } = await run('echo {"message":"one"}')
  expect(output).toContain('There is no tool named "echo"')
})
