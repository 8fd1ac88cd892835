import { onTestFinished, expect, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import type { Agent } from '../../src/agent/definitions.ts'
import { tool } from '../../src/agent/tool.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import { ask, boss, call, helper, shown, shownTypes } from '../agent/team.ts'

async function serving(agents: readonly Agent[]) {
  const server = await createTestServer({ agents })
  onTestFinished(() => server.close())
  return server
}

const look = tool({ name: 'look', description: 'Looks.', effect: 'read', execute: () => 'seen' })

/** An agent with an expert as its tool. */
function team() {
  const expert = helper('expert', [{ text: 'Hm.', toolCalls: [call('look')] }, 'Forty two.'], {
    tools: [look],
  })
  const asking = scriptedModel([{ toolCalls: [ask('expert')] }, 'They say 42.', 'As I said.'])
  return { asking, agents: [boss(asking, [expert])] }
}

interface Page {
  data: { type: string; role?: string; run_id: string }[]
}

test('what an agent as a tool does is streamed as progress of the call, without ids', async () => {
  const server = await serving(team().agents)
  const response = await server.request('/v1/agents/boss/runs', { body: { input: 'go', stream: true } })
  const frames = (await response.text()).split('\n\n').filter((frame) => frame !== '')
  const events = frames.map((frame) => JSON.parse(frame.slice(frame.indexOf('data: ') + 6)))
  expect(shownTypes(events)).toEqual([
    'step.start',
    'text.start',
    'text.delta',
    'text.end',
    'tool.start',
    'tool.input',
    'tool.call',
    'step.end',
    'tool.end',
    'step.start',
    'text.start',
    'text.delta',
    'text.delta',
    'text.end',
    'step.end',
    'run.end',
  ])
  const called = events.find(({ type }) => type === 'tool.call')
  expect(new Set(shown(events).map(({ call_id }) => call_id))).toEqual(new Set([called.call_id]))
  const progress = frames.filter((frame) => frame.includes('"tool.progress"'))
  expect(progress.every((frame) => frame.startsWith('data: '))).toBe(true)
  // Its end is not the stream's.
  expect(events.at(-1)).toMatchObject({ type: 'run.end', output: [expect.stringMatching(/^item_/)] })
})

test('its work is in no listing, no count and no later request of the conversation', async () => {
  const { asking, agents } = team()
  const server = await serving(agents)
  const body = { input: 'go', session_id: 's' }
  const first = await (await server.request('/v1/agents/boss/runs', { body })).json()
  const path = `/v1/conversations/${first.conversation_id}`
  const listed = (await (await server.request(`${path}/items?limit=100`)).json()) as Page
  expect(listed.data.map(({ type, role }) => role ?? type).toSorted()).toEqual([
    'assistant',
    'tool_call',
    'tool_result',
    'user',
  ])
  const session = await (await server.request('/sessions/s')).json()
  expect(session.message_count).toBe(2)
  await server.request('/v1/agents/boss/runs', { body })
  expect(asking.calls[2]?.items.map((item) => item.type)).toEqual([
    'message',
    'tool_call',
    'tool_result',
    'message',
    'message',
  ])
})

test('the plain answer and the usage hold all of it', async () => {
  const server = await serving(team().agents)
  const response = await server.request('/v1/agents/boss/runs', { body: { input: 'go' } })
  const run = await response.json()
  expect(run).toMatchObject({ output: 'They say 42.', steps: 2, agent: 'boss', active_agent: 'boss' })
  expect(run.usage.total_tokens).toBeGreaterThan(10)
})

test('a run tells who is at work, and its stream who took over and why', async () => {
  const billing = agent({ name: 'billing', model: scriptedModel(['Paid.']) })
  const router = agent({
    name: 'desk',
    model: scriptedModel([]),
    specialists: [{ agent: billing, keywords: ['bill'] }],
  })
  const server = await serving([router])
  const run = await (await server.request('/v1/agents/desk/runs', { body: { input: 'my bill' } })).json()
  expect(run).toMatchObject({ agent: 'desk', active_agent: 'billing', output: 'Paid.' })
  const events = await (await server.request(`/v1/runs/${run.id}/events`, {})).text()
  expect(events).toContain('"type":"agent.switch","from":"desk","to":"billing","why":"keywords"')
})

test('a transfer is listed as every call and result is', async () => {
  const reception = helper('reception', [{ toolCalls: [call('transfer_to_billing')] }], {
    handoffs: [helper('billing', ['Paid.'])],
  })
  const server = await serving([reception])
  const body = { input: 'go', session_id: 's' }
  const run = await (await server.request('/v1/agents/reception/runs', { body })).json()
  const path = `/v1/conversations/${run.conversation_id}/items?limit=100`
  const listed = (await (await server.request(path)).json()) as Page
  const result = listed.data.find(({ type }) => type === 'tool_result')
  expect(Object.keys(result ?? {}).toSorted()).toEqual(['call_id', 'id', 'output', 'run_id', 'type'])
})

test('an agent is shown with its specialists and those it may hand over to', async () => {
  const coder = agent({ name: 'coder', description: 'Codes.', model: scriptedModel([]) })
  const helping = agent({ name: 'helping', model: scriptedModel([]) })
  const desk = agent({
    name: 'desk',
    model: scriptedModel([]),
    specialists: [coder],
    handoffs: [helping, 'other'],
  })
  const other = agent({ name: 'other', model: scriptedModel([]) })
  const server = await serving([desk, other])
  expect(await (await server.request('/v1/agents/desk')).json()).toMatchObject({
    specialists: [{ name: 'coder', description: 'Codes.' }],
    handoffs: ['helping', 'other'],
  })
  expect(await (await server.request('/v1/agents/other')).json()).toMatchObject({
    specialists: [],
    handoffs: [],
  })
  // Only what is served may be called.
  expect((await server.request('/v1/agents/coder/runs', { body: { input: 'x' } })).status).toBe(404)
})
