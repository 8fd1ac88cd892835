import { expect, test } from 'vitest'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import type { AnyTool, ToolSource } from '../../src/agent/definitions.ts'
import { tool } from '../../src/agent/tool.ts'
import { always, call, serving, type Json } from './server-under-test.ts'

const runs = '/v1/agents/assistant/runs'

test('runs are listed, newest first, in pages and by what they are', async () => {
  const server = await serving(always('x'))
  const ids: string[] = []
  for (let i = 0; i < 3; i++) ids.unshift((await call(server, runs, { input: 'x' })).json.id)
  const first = await call(server, '/v1/runs?limit=2')
  expect(first.json).toMatchObject({
    object: 'list',
    has_more: true,
    first_id: ids[0],
    last_id: ids[1],
    data: [{ id: ids[0], output: 'x' }, { id: ids[1] }],
  })
  const second = await call(server, `/v1/runs?limit=2&after=${first.json.last_id}`)
  expect(second.json).toMatchObject({ has_more: false, data: [{ id: ids[2] }] })
  expect((await call(server, '/v1/runs?status=failed')).json.data).toEqual([])
  expect((await call(server, '/v1/runs?agent=assistant&status=completed')).json.data).toHaveLength(3)
})

test('a page of large entries ends early, and the next goes on behind it', async () => {
  const text = 'y'.repeat(1_500_000)
  const server = await serving(always(text))
  for (let i = 0; i < 3; i++) await call(server, runs, { input: `x${i}`, session_id: 's' })
  const readAll = async (path: string) => {
    const pages: string[][] = []
    for (let after = '', more = true; more;) {
      const { json } = await call(server, `${path}${after}`)
      pages.push(json.data.map(({ id }: Json) => id))
      more = json.has_more
      after = `&after=${json.last_id}`
    }
    return pages
  }
  const { json: conversations } = await call(server, '/v1/conversations')
  const items = await readAll(`/v1/conversations/${conversations.data[0].id}/items?limit=100`)
  expect(items.map((page) => page.length)).toEqual([4, 2])
  const listed = await readAll('/v1/runs?limit=100')
  expect(listed.map((page) => page.length)).toEqual([2, 1])
  expect(new Set([...items, ...listed].flat()).size).toBe(9)
})

test('a page after what no list gives is refused', async () => {
  const server = await serving(always('x'))
  const { json: run } = await call(server, runs, { input: 'x', session_id: 's' })
  for (const [path, after] of [
    ['/v1/runs', 'nonsense'],
    ['/v1/runs', ''],
    ['/v1/runs', run.conversation_id],
    ['/v1/conversations', run.id],
  ]) {
    const { status, json } = await call(server, `${path}?after=${after}`)
    expect({ path, status, code: json.code, at: json.errors?.[0].path }).toEqual({
      path,
      status: 400,
      code: 'invalid_request',
      at: ['query', 'after'],
    })
  }
  expect((await call(server, `/v1/conversations?after=${run.conversation_id}`)).json.data).toEqual([])
})

test('an agent is shown with what its answers must be and its limits', async () => {
  const output = z.object({ total: z.number() })
  const plain = agent({ name: 'plain', model: always('x') })
  const bounded = agent({ name: 'bounded', model: always('x'), output, budget: { seconds: 5, toolCalls: 0 } })
  const server = await serving(always('x'), { agents: [plain, bounded] })
  expect((await call(server, '/v1/agents/plain')).json).toMatchObject({
    tools: [],
    tool_sources: [],
    output_schema: null,
    budget: { tokens: null, cost: null, seconds: null, tool_calls: null },
  })
  expect((await call(server, '/v1/agents/bounded')).json).toMatchObject({
    output_schema: { type: 'object', required: ['total'] },
    budget: { tokens: null, cost: null, seconds: 5, tool_calls: 0 },
  })
})

test('an agent is shown with the tools its sources have found by now, and which have found none', async () => {
  const named = (name: string) => tool({ name, description: 'Does.', effect: 'read', execute: () => 'done' })
  let found: AnyTool[] | undefined
  const source = (name: string, known?: () => AnyTool[] | undefined): ToolSource => ({
    kind: 'tool-source',
    name,
    open: () => ({ tools: async () => [], close: async () => {}, ...(known && { known }) }),
  })
  const tools = [named('own'), source('files', () => found), source('silent')]
  const server = await serving(always('x'), { agents: [agent({ name: 'clerk', model: always('x'), tools })] })
  const before = (await call(server, '/v1/agents/clerk')).json
  expect(before.tools.map(({ name }: Json) => name)).toEqual(['own'])
  expect(before.tool_sources).toEqual([
    { name: 'files', count: null },
    { name: 'silent', count: null },
  ])
  // One whose name is taken is not offered, and not shown.
  found = [named('read'), named('own'), named('list')]
  const after = (await call(server, '/v1/agents/clerk')).json
  expect(after.tools.map(({ name }: Json) => name)).toEqual(['own', 'list', 'read'])
  expect(after.tools[1]).toMatchObject({
    description: 'Does.',
    effect: 'read',
    parameters: { type: 'object' },
  })
  expect(after.tool_sources).toEqual([
    { name: 'files', count: 3 },
    { name: 'silent', count: null },
  ])
})

test('agents are listed without their instructions', async () => {
  const send = tool({ name: 'send', description: 'Sends.', execute: () => 'sent' })
  const server = await serving(always('x'), {
    agents: [
      agent({ name: 'assistant', instructions: 'secret', model: always('x'), tools: [send] }),
      agent({ name: 'other', model: always('x') }),
    ],
  })
  const { json } = await call(server, '/v1/agents')
  expect(json.data).toMatchObject([
    { id: 'assistant', object: 'agent', model: 'scripted/model', tools: [{ name: 'send' }], max_steps: 10 },
    { id: 'other' },
  ])
  expect(JSON.stringify(json)).not.toContain('secret')
  expect((await call(server, '/v1/agents/other')).json).toEqual(json.data[1])
})
