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
  const input = [{ type: 'message', role: 'user', content: Array.from({ length: 1000 }, () => ({})) }]
  const { status, json } = await call(server, '/v1/agents/assistant/runs', { input })
  expect(status).toBe(400)
  expect(json.errors).toHaveLength(20)
  const unknown = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`x${i}`, 1]))
  const second = await call(server, '/v1/agents/assistant/runs', { input: 'hi', ...unknown })
  expect(second.json.errors).toHaveLength(20)
})

test('of a list or a map that is too long the length is the one fault that is looked for', async () => {
  const server = await serving(always('x'))
  const content = Array.from({ length: 1001 }, () => 1)
  const metadata = Object.fromEntries(content.map((value, i) => [`k${i}`, value]))
  const faultsOf = async (body: unknown) =>
    (await call(server, '/v1/agents/assistant/runs', body)).json.errors
  expect(await faultsOf({ input: [{ type: 'message', role: 'user', content }] })).toEqual([
    {
      path: ['body', 'input', 0, 'content'],
      message: 'Too big: expected array to have <=1000 items',
    },
  ])
  expect(await faultsOf({ input: 'x', metadata })).toEqual([
    { path: ['body', 'metadata'], message: 'At most 16 entries' },
  ])
  expect(await faultsOf({ input: 'x', metadata: 'a text of more than sixteen characters' })).toEqual([
    { path: ['body', 'metadata'], message: 'Invalid input: expected object, received string' },
  ])
  const resultless = await call(server, '/v1/runs/run_x/tool_results', { results: [{ call_id: 'a' }] })
  expect(resultless.json.errors).toEqual([
    { path: ['body', 'results', 0, 'output'], message: 'Field required' },
  ])
})

test('a body of more values than a schema is worth is refused on every route that reads one', async () => {
  const model = always('x')
  const server = await serving(model)
  const many = Array.from({ length: 50_000 }, () => 1)
  const bodies = [
    ['/v1/agents/assistant/runs', { input: 'x', run_context: { many } }],
    ['/v1/runs/run_x/tool_results', { results: [{ call_id: 'a', output: many }] }],
    ['/v1/runs/run_x/cancel', { many }],
    ['/v1/conversations', { many }],
    ['/v1/conversations/conv_x', { many }],
  ] as const
  for (const [path, body] of bodies) {
    const { status, json } = await call(server, path, body)
    expect({ path, status, code: json.code }).toEqual({ path, status: 400, code: 'invalid_json' })
    expect(json.detail).toContain('Holds more than 50000 values')
  }
  for (const path of ['/chat', '/stream']) {
    const { status, json } = await call(server, path, { message: 'x', many })
    expect({ path, status }).toEqual({ path, status: 422 })
    expect(json.detail[0].ctx.error).toBe('Holds more than 50000 values')
  }
  expect(model.calls).toHaveLength(0)
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
