import { expect, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { always, call, serving } from './server-under-test.ts'

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
