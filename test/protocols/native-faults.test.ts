import { expect, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { always, call, serving, type Json } from './server-under-test.ts'

const runs = '/v1/agents/assistant/runs'

const message = { type: 'message', role: 'user', content: 'x' }
const faults: [name: string, body: unknown, path: (string | number)[]][] = [
  ['no input', {}, ['body', 'input']],
  ['a number as input', { input: 5 }, ['body', 'input']],
  ['an empty list', { input: [] }, ['body', 'input']],
  ['no object', [], ['body']],
  ['null', null, ['body']],
  ['an unknown field', { input: 'x', inptu: 1 }, ['body', 'inptu']],
  ['a field named __proto__', JSON.parse('{"input":"x","__proto__":{"a":1}}'), ['body', '__proto__']],
  ['an item of no type', { input: [{ role: 'user', content: 'x' }] }, ['body', 'input', 0, 'type']],
  [
    'a tool result as input',
    { input: [message, { type: 'tool_result', call_id: 'c', output: 'x' }] },
    ['body', 'input', 1, 'type'],
  ],
  ['an unknown role', { input: [{ ...message, role: 'tool' }] }, ['body', 'input', 0, 'role']],
  ['an item with an id', { input: [{ ...message, id: 'item_1' }] }, ['body', 'input', 0, 'id']],
  [
    'a part of no type',
    { input: [{ ...message, content: [{ text: 'x' }] }] },
    ['body', 'input', 0, 'content', 0, 'type'],
  ],
  [
    'a part without its text',
    { input: [{ ...message, content: [{ type: 'text' }] }] },
    ['body', 'input', 0, 'content', 0, 'text'],
  ],
  ['an empty text', { input: '' }, ['body', 'input']],
  ['a text of white space', { input: ' \n' }, ['body', 'input']],
  ['an empty message and nothing else', { input: [{ ...message, content: '' }] }, ['body', 'input']],
  [
    'a message of empty parts and nothing else',
    { input: [{ ...message, content: [{ type: 'text', text: '' }] }] },
    ['body', 'input'],
  ],
  ['a run context that is no object', { input: 'x', run_context: 'a' }, ['body', 'run_context']],
  ['a temperature that is too high', { input: 'x', temperature: 3 }, ['body', 'temperature']],
  ['steps below zero', { input: 'x', max_steps: -1 }, ['body', 'max_steps']],
  ['more steps than the agent allows', { input: 'x', max_steps: 11 }, ['body', 'max_steps']],
  ['another model', { input: 'x', model: 'openai/gpt-4o' }, ['body', 'model']],
  ['metadata that is no text', { input: 'x', metadata: { a: 1 } }, ['body', 'metadata', 'a']],
  ['two conversations', { input: 'x', session_id: 'a', conversation_id: 'b' }, ['body', 'session_id']],
  ['an empty session', { input: 'x', session_id: '' }, ['body', 'session_id']],
  ['a session with control characters', { input: 'x', session_id: 'a\u0000b' }, ['body', 'session_id']],
  ['an unknown conflict policy', { input: 'x', on_conflict: 'wait' }, ['body', 'on_conflict']],
  ['a tool without a name', { input: 'x', tools: [{ parameters: {} }] }, ['body', 'tools', 0, 'name']],
  ['stream as text', { input: 'x', stream: 'yes' }, ['body', 'stream']],
]

test('every fault of a body is refused with its place, and starts nothing', async () => {
  const model = always('x')
  const server = await serving(model)
  for (const [name, body, path] of faults) {
    const { status, json } = await call(server, runs, body)
    expect({ name, status, code: json.code, paths: json.errors?.map((e: Json) => e.path) }).toEqual({
      name,
      status: 400,
      code: 'invalid_request',
      paths: [path],
    })
    expect(json.errors[0].message).toEqual(expect.any(String))
  }
  expect(model.calls).toHaveLength(0)
  expect((await call(server, '/v1/runs')).json.data).toEqual([])
})

test.each([
  [{}, 'body.input: Field required'],
  [{ input: [{ type: 'message', role: 'user' }] }, 'body.input.0.content: Field required'],
  [{ input: [{ role: 'user', content: 'x' }] }, 'body.input.0.type: Field required'],
  [{ input: [{ type: 'message', content: 'x' }] }, 'body.input.0.role: Field required'],
  [{ input: '' }, 'body.input: Must not be empty'],
  [{ input: 5 }, 'body.input: Invalid input: expected string or array'],
  [{ input: 'x', run_context: 'a' }, 'body.run_context: Invalid input: expected object, received string'],
  [{ input: 'x', tools: [{ name: 'a' }] }, 'body.tools.0.parameters: Field required'],
])('the fault of %j is told in words of JSON', async (body, detail) => {
  const server = await serving(always('x'))
  expect((await call(server, runs, body)).json).toMatchObject({ detail })
})

test('a picture needs no text beside it', async () => {
  const server = await serving(always('x'))
  const content = [
    { type: 'text', text: '' },
    { type: 'image', url: 'data:image/png;base64,iVBORw0KGgo=' },
  ]
  const { status } = await call(server, runs, { input: [{ type: 'message', role: 'user', content }] })
  expect(status).toBe(200)
})

test('an empty message among others is taken: a history may hold one', async () => {
  const server = await serving(always('x'))
  const input = [{ ...message, role: 'assistant', content: '' }, message]
  expect((await call(server, runs, { input })).status).toBe(200)
})

test('who asks for an agent that is not served is told which are', async () => {
  const named = (name: string) => agent({ name, instructions: '' })
  const agents = ['storekeeper', ...Array.from({ length: 11 }, (_, i) => `clerk-${i}`)].map(named)
  const server = await serving(always('x'), { agents })
  const names = `storekeeper, ${Array.from({ length: 9 }, (_, i) => `clerk-${i}`).join(', ')}`
  const { json } = await call(server, '/v1/agents/router/runs', { input: 'x' })
  expect(json).toMatchObject({
    code: 'agent_not_found',
    detail: `No agent "router"; served: ${names}, and 2 more.`,
  })
  const long = await call(server, `/v1/agents/${'a'.repeat(1000)}`)
  expect(long.json.detail).toMatch(/^No agent "a{64}…"; served: /)
})

const missing: [method: string, path: string, body: unknown, status: number, code: string][] = [
  ['POST', '/v1/agents/nobody/runs', { input: 'x' }, 404, 'agent_not_found'],
  ['GET', '/v1/agents/nobody', undefined, 404, 'agent_not_found'],
  ['GET', '/v1/agents/%zz', undefined, 404, 'agent_not_found'],
  ['GET', '/v1/runs/run_nothing', undefined, 404, 'run_not_found'],
  ['GET', '/v1/runs/run_nothing/wait', undefined, 404, 'run_not_found'],
  ['GET', '/v1/runs/run_nothing/events', undefined, 404, 'run_not_found'],
  ['POST', '/v1/runs/run_nothing/cancel', undefined, 404, 'run_not_found'],
  [
    'POST',
    '/v1/runs/run_nothing/tool_results',
    { results: [{ call_id: 'c', output: 1 }] },
    404,
    'run_not_found',
  ],
  ['POST', runs, { input: 'x', conversation_id: 'conv_nothing' }, 404, 'conversation_not_found'],
  ['POST', runs, { input: 'x', parent_run_id: 'run_nothing' }, 404, 'run_not_found'],
  ['GET', '/v1/conversations/conv_nothing', undefined, 404, 'conversation_not_found'],
  ['GET', '/v1/conversations/conv_nothing/items', undefined, 404, 'conversation_not_found'],
  ['POST', '/v1/conversations/conv_nothing', { metadata: {} }, 404, 'conversation_not_found'],
  ['DELETE', '/v1/conversations/conv_nothing', undefined, 404, 'conversation_not_found'],
  ['PUT', runs, undefined, 405, 'method_not_allowed'],
  ['GET', '/v1/nothing', undefined, 404, 'not_found'],
  ['GET', '/v1/runs?limit=0', undefined, 400, 'invalid_request'],
  ['GET', '/v1/runs?limit=101', undefined, 400, 'invalid_request'],
  ['GET', '/v1/runs?limit=ten', undefined, 400, 'invalid_request'],
  ['GET', '/v1/runs?status=done', undefined, 400, 'invalid_request'],
  ['GET', '/v1/runs?unknown=1', undefined, 400, 'invalid_request'],
  ['POST', '/v1/conversations', { metadata: { a: 1 } }, 400, 'invalid_request'],
]

test('what is not there, and queries that make no sense, are refused', async () => {
  const server = await serving(always('x'))
  for (const [method, path, body, status, code] of missing) {
    const response = await server.request(path, { method, body })
    const json = (await response.json()) as Json
    expect({ method, path, status: response.status, code: json.code }).toEqual({ method, path, status, code })
    expect(response.headers.get('content-type')).toBe('application/problem+json')
  }
})
