import { expect, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { always, call, serving } from './server-under-test.ts'

test('a reader that has seen the end is told not to come back, one beyond the log that there is no such place', async () => {
  const server = await serving(always('x'))
  const { json: run } = await call(server, '/v1/agents/assistant/runs', { input: 'hi' })
  const { last_seq } = await server.runs.get(anonymous, run.id)
  const events = `/v1/runs/${run.id}/events`
  expect((await server.request(`${events}?after=${last_seq}`)).status).toBe(204)
  expect((await server.request(`${events}?after=${last_seq - 1}`)).status).toBe(200)
  const { status, json } = await call(server, `${events}?after=99999999`)
  expect({ status, place: json.errors[0].path }).toEqual({ status: 400, place: ['query', 'after'] })
})

test('an error names at most twenty places, however many faults there are', async () => {
  const server = await serving(always('x'))
  const input = [{ type: 'message', role: 'user', content: Array.from({ length: 5000 }, () => ({})) }]
  const { status, json } = await call(server, '/v1/agents/assistant/runs', { input })
  expect(status).toBe(400)
  expect(json.errors).toHaveLength(20)
  const unknown = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`x${i}`, 1]))
  const second = await call(server, '/v1/agents/assistant/runs', { input: 'hi', ...unknown })
  expect(second.json.errors).toHaveLength(20)
})

test('arguments of a model that nest too deeply are an error the model reads, and break no stream', async () => {
  const look = tool({ name: 'look', description: 'Looks.', input: { type: 'object' }, execute: () => 'seen' })
  const deep = '{"a":'.repeat(50_000) + '1' + '}'.repeat(50_000)
  const model = scriptedModel([{ toolCalls: [{ name: 'look', arguments: deep }] }, 'Sorry.'])
  const server = await serving(model, { agents: [agent({ name: 'assistant', model, tools: [look] })] })
  const stream = await server.request('/v1/agents/assistant/runs', {
    method: 'POST',
    body: { input: 'hi', stream: true },
  })
  const text = await stream.text()
  expect(text).toContain('"code":"tool_bad_arguments"')
  expect(text).toContain('"type":"run.end","status":"completed"')
})
