import { EventSource } from 'eventsource'
import { createParser } from 'eventsource-parser'
import { expect, onTestFinished, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import type { Model } from '../../src/models/model.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createCutFetch } from './cut-fetch.ts'
import type { TestServer } from '../../src/testing/test-server.ts'
import { always, call, serving, type Json } from './server-under-test.ts'

const eventStream = { accept: 'text/event-stream' }

function framesIn(wire: string): { id?: string; event?: string; data: Json }[] {
  const frames: { id?: string; event?: string; data: Json }[] = []
  createParser({
    onEvent: ({ id, event, data }) => frames.push({ id, event, data: JSON.parse(data) }),
  }).feed(wire)
  return frames
}

const typesIn = (wire: string) => framesIn(wire).map(({ data }) => data.type)

const sendTool = tool({ name: 'send', description: 'Sends.', approval: 'required', execute: () => 'sent' })
const suspendingAgent = (calls = 1) =>
  agent({
    name: 'assistant',
    tools: [sendTool],
    model: scriptedModel([
      { text: 'Wait.', toolCalls: Array.from({ length: calls }, () => ({ name: 'send', arguments: {} })) },
      'Sent.',
    ]),
  })

test('a chat is answered with the fields of all its dialects', async () => {
  const server = await serving(always('Paris.'))
  const { response, status, json } = await call(server, '/chat', { message: 'Capital?' })
  expect(status).toBe(200)
  expect(json).toEqual({
    output: 'Paris.',
    response: 'Paris.',
    conversation_id: expect.stringMatching(/^conv_/),
    tokens_used: expect.any(Number),
    timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
    answer: 'Paris.',
    session_id: json.conversation_id,
    steps: 1,
    completed: true,
    plan: null,
    run_id: expect.stringMatching(/^run_/),
  })
  expect(response.headers.get('content-location')).toBe(`/v1/runs/${json.run_id}`)
  expect((await call(server, '/chat', { input: 'Capital?' })).json.output).toBe('Paris.')
})

test('a chat remembers its session, under the name its client chose or the one it got', async () => {
  const model = always('ok')
  const server = await serving(model)
  const first = await call(server, '/chat', { message: 'one' })
  await call(server, '/chat', { message: 'two', session_id: first.json.session_id })
  expect(model.calls[1]!.items).toHaveLength(3)
  const own = await call(server, '/chat', { message: 'one', conversation_id: 'my session/ä' })
  expect(own.json).toMatchObject({ conversation_id: 'my session/ä', session_id: 'my session/ä' })
  await call(server, '/chat', { message: 'two', session_id: 'my session/ä' })
  expect(model.calls[3]!.items).toHaveLength(3)
})

test('what a chat says of its execution reaches the model', async () => {
  const model = always('ok')
  const server = await serving(model, {
    agents: [agent({ name: 'assistant', model, instructions: 'Be kind.' })],
  })
  const body = { message: 'x', system_prompt: 'Be brief.', temperature: 0.5, max_tokens: 100, other: 1 }
  expect((await call(server, '/chat', body)).status).toBe(200)
  const [request] = model.calls
  expect(request!.instructions).toMatch(/Be kind\.[^]*Be brief\./)
  expect(request!.settings).toMatchObject({ temperature: 0.5, maxOutputTokens: 100 })
})

test('null counts as absent', async () => {
  const server = await serving(always('ok'))
  const body = { message: 'x', input: null, session_id: null, temperature: null, max_steps: null }
  expect((await call(server, '/chat', body)).status).toBe(200)
})

const looping = () => {
  const model = scriptedModel(({ toolChoice }) =>
    toolChoice === 'none' ? 'Forced.' : { toolCalls: [{ name: 'look', arguments: {} }] },
  )
  const look = tool({ name: 'look', description: 'Looks.', effect: 'read', execute: () => 'seen' })
  return [agent({ name: 'assistant', model, tools: [look] })]
}

test('at its last step an answer is forced unless the request says not to', async () => {
  const server = await serving(always(''), { agents: looping() })
  const forced = await call(server, '/chat', { message: 'x', max_steps: 1 })
  expect(forced.json).toMatchObject({ answer: 'Forced.', completed: false, stop_reason: 'max_steps' })
  const bare = await call(server, '/chat', { message: 'x', max_steps: 1, force_provide_answer: false })
  expect(bare.json).toMatchObject({ answer: null, output: '', completed: false, steps: 1 })
})

test('an answer that is not whole says why, also where it is streamed as text', async () => {
  const refuse = { refuse: { code: 'content_filter' as const, message: 'No talking about that.' } }
  const desk = agent({
    name: 'assistant',
    model: scriptedModel([{ text: 'x' }]),
    hooks: { beforeModel: () => refuse },
  })
  const server = await serving(always(''), { agents: [desk] })
  const { json } = await call(server, '/chat', { message: 'x' })
  expect(json).toMatchObject({
    answer: null,
    completed: false,
    stop_reason: 'content_filter',
    warnings: [{ code: 'content_filter', message: 'No talking about that.' }],
  })
  const stream = await server.request('/stream', { body: { message: 'x' } })
  expect(await stream.text()).toBe(
    'event: stopped\ndata: {"stop_reason":"content_filter","message":"No talking about that."}\n\nevent: done\ndata: [DONE]\n\n',
  )
  const whole = await serving(always('Yes.'))
  const answer = (await call(whole, '/chat', { message: 'x' })).json
  expect(answer).not.toHaveProperty('stop_reason')
  expect(answer).not.toHaveProperty('warnings')
})

test('a text that stops early says so in the words of what stopped it, whatever else it was warned of', async () => {
  const model = scriptedModel([
    { toolCalls: [{ name: 'look', arguments: {} }] },
    { text: 'Forced.', usage: null },
    { text: 'Cut', usage: null, finishReason: 'length' },
  ])
  const look = tool({ name: 'look', description: 'Looks.', effect: 'read', execute: () => 'seen' })
  const server = await serving(always(''), { agents: [agent({ name: 'assistant', model, tools: [look] })] })
  const stopped = async (body: object) => {
    const wire = await (await server.request('/stream', { body })).text()
    return JSON.parse(/^event: stopped\ndata: (.*)$/m.exec(wire)?.[1] ?? 'null') as Json
  }
  expect(await stopped({ message: 'x', max_steps: 1 })).toEqual({
    stop_reason: 'max_steps',
    message: expect.stringContaining('limit of 1 steps') as string,
  })
  expect(await stopped({ message: 'x' })).toEqual({ stop_reason: 'max_output_tokens', message: null })
})

const missingMessage = { type: 'missing', loc: ['body', 'message'], msg: 'Field required' }
const faults: [name: string, body: unknown, fault: Record<string, unknown>][] = [
  ['neither message nor input', {}, { ...missingMessage, input: {} }],
  ['both message and input', { message: 'a', input: 'b' }, { loc: ['body', 'input'], type: 'value_error' }],
  [
    'a number as message',
    { message: 1 },
    { type: 'string_type', loc: ['body', 'message'], msg: 'Input should be a valid string', input: 1 },
  ],
  [
    'too high a temperature',
    { message: 'x', temperature: 3 },
    {
      type: 'less_than_equal',
      loc: ['body', 'temperature'],
      msg: 'Input should be less than or equal to 2',
      input: 3,
      ctx: { le: 2 },
    },
  ],
  [
    'too few tokens',
    { message: 'x', max_tokens: 0 },
    {
      type: 'greater_than_equal',
      loc: ['body', 'max_tokens'],
      msg: 'Input should be greater than or equal to 1',
      input: 0,
      ctx: { ge: 1 },
    },
  ],
  [
    'too many tokens',
    { message: 'x', max_tokens: 5000 },
    { msg: 'Input should be less than or equal to 4000', ctx: { le: 4000 } },
  ],
  ['half a step', { message: 'x', max_steps: 5.5 }, { type: 'int_type', loc: ['body', 'max_steps'] }],
  ['more steps than the agent allows', { message: 'x', max_steps: 99 }, { loc: ['body', 'max_steps'] }],
  [
    'a word for a flag',
    { message: 'x', force_provide_answer: 'maybe' },
    { type: 'bool_type', loc: ['body', 'force_provide_answer'] },
  ],
  [
    'two sessions',
    { message: 'x', session_id: 'a', conversation_id: 'b' },
    { loc: ['body', 'conversation_id'] },
  ],
  ['an array', [], { type: 'model_attributes_type', loc: ['body'] }],
  [
    'broken JSON',
    '{bad',
    {
      type: 'json_invalid',
      loc: ['body', 1],
      msg: 'JSON decode error',
      input: {},
      ctx: { error: 'Expecting property name enclosed in double quotes' },
    },
  ],
]

test('every fault of a chat is 422, worded as FastAPI does, and starts nothing', async () => {
  const model = always('x')
  const server = await serving(model)
  for (const [name, body, fault] of faults) {
    const { status, json } = await call(server, '/chat', body)
    expect({ name, status, faults: json.detail?.length }).toEqual({ name, status: 422, faults: 1 })
    expect(Object.keys(json)).toEqual(['detail'])
    expect(json.detail[0], name).toMatchObject(fault)
  }
  expect(model.calls).toHaveLength(0)
})

test('other errors keep their status and say what happened in detail', async () => {
  const server = await serving(always('x'), { maxBodyBytes: 1024 })
  const cases: [init: Parameters<TestServer['request']>[1], path: string, status: number, code: string][] = [
    [{ method: 'GET' }, '/chat', 405, 'method_not_allowed'],
    [{ body: '{}', headers: { 'content-type': 'text/plain' } }, '/chat', 415, 'unsupported_media_type'],
    [{ body: { message: 'x'.repeat(2000) } }, '/chat', 413, 'body_too_large'],
    [{ body: { message: 'x' }, headers: { origin: 'null' } }, '/chat', 403, 'origin_not_allowed'],
    [{ headers: { 'sec-fetch-site': 'cross-site' } }, '/stream?message=x', 403, 'origin_not_allowed'],
    [{ headers: { 'sec-fetch-site': 'same-site' } }, '/stream?message=x', 403, 'origin_not_allowed'],
    [{ headers: { origin: 'http://localhost:3000' } }, '/stream?message=x', 403, 'origin_not_allowed'],
    [{ method: 'DELETE' }, '/stream', 405, 'method_not_allowed'],
    [{ body: { message: 'x' }, headers: { 'idempotency-key': '' } }, '/chat', 400, 'invalid_request'],
  ]
  for (const [init, path, status, code] of cases) {
    const response = await server.request(path, init)
    const json = (await response.json()) as Json
    expect({ path, status: response.status, code: json.code }).toEqual({ path, status, code })
    expect(json).toMatchObject({
      detail: expect.any(String),
      request_id: response.headers.get('x-request-id'),
    })
  }
})

test('a chat whose run fails has the status of its code and one text under two names', async () => {
  const server = await serving(scriptedModel([{ error: { code: 'model_refused' } }]))
  const { status, json } = await call(server, '/chat', { message: 'x' })
  expect(status).toBe(502)
  expect(json).toEqual({
    output: '',
    error: expect.stringMatching(/./),
    detail: json.error,
    code: 'model_refused',
    run_id: expect.stringMatching(/^run_/),
    request_id: expect.any(String),
  })
})

test('a chat that needs approval says so in its own shape', async () => {
  const server = await serving(always(''), { agents: [suspendingAgent()] })
  const { status, json } = await call(server, '/chat', { message: 'x', session_id: 's' })
  expect(status).toBe(200)
  expect(json).toMatchObject({
    answer: null,
    output: '',
    completed: false,
    status: 'suspended',
    approvals: [{ id: expect.stringMatching(/^appr_/), tool: 'send' }],
    run_id: expect.stringMatching(/^run_/),
  })
  const behind = await call(server, '/chat', { message: 'y', session_id: 's' })
  expect(behind).toMatchObject({ status: 409, json: { code: 'conversation_suspended' } })
})

test('an idempotency key gives one run to two chats', async () => {
  const model = scriptedModel(['once'])
  const server = await serving(model)
  const key = { 'idempotency-key': 'k' }
  const first = await call(server, '/chat', { message: 'x' }, key)
  const again = await call(server, '/chat', { message: 'x' }, key)
  expect(again.json.run_id).toBe(first.json.run_id)
  expect(again.json.answer).toBe('once')
  expect((await call(server, '/chat', { message: 'y' }, key)).status).toBe(422)
})

test('a chat whose wait is over says where its run is', async () => {
  const release = Promise.withResolvers<void>()
  const server = await serving(scriptedModel([{ text: 'late', gate: () => release.promise }]), {
    requestWaitMs: 1,
  })
  const { response, status, json } = await call(server, '/chat', { message: 'x' })
  expect(status).toBe(202)
  expect(response.headers.get('location')).toBe(`/v1/runs/${json.run_id}`)
  release.resolve()
  const events = await server.request(`/v1/runs/${json.run_id}/events`)
  expect(typesIn(await events.text()).at(-1)).toBe('run.end')
})

test('POST /stream is the text, then done', async () => {
  const server = await serving(scriptedModel([{ text: ['Quantum', ' computing', '\nis', ' fun\r\n'] }]))
  const response = await server.request('/stream', { body: { input: 'x', session_id: 'a/ä' } })
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  expect(response.headers.get('x-session-id')).toBe('a%2F%C3%A4')
  expect(response.headers.get('content-location')).toBe(`/v1/runs/${response.headers.get('x-run-id')}`)
  expect(await response.text()).toBe(
    'data: Quantum\n\ndata:  computing\n\ndata: \ndata: is\n\ndata:  fun\ndata: \n\nevent: done\ndata: [DONE]\n\n',
  )
})

test('POST /stream that fails ends with an error and no text of the provider', async () => {
  const server = await serving(
    scriptedModel([{ text: ['par'], error: { throw: new Error('the secret cause') } }], { atEnd: 'repeat' }),
  )
  const wire = await (await server.request('/stream', { body: { input: 'x' } })).text()
  expect(wire).toMatch(/event: error\ndata: [^\n]+\n\n$/)
  expect(wire).not.toContain('secret')
  expect(wire).not.toContain('[DONE]')
})

test('POST /stream needs its input', async () => {
  const server = await serving(always('x'))
  const { status, json } = await call(server, '/stream', {})
  expect(status).toBe(422)
  expect(json.detail).toMatchObject([{ type: 'missing', loc: ['body', 'input'] }])
})

test('GET /stream is data lines alone, unless an EventSource asks', async () => {
  const server = await serving(always('42'))
  const path = '/stream?message=What%3F&session_id=s'
  const bare = await (await server.request(path)).text()
  for (const line of bare.split('\n').filter(Boolean)) expect(line).toMatch(/^data: \{/)
  expect(typesIn(bare)).toEqual(['run_start', 'step_start', 'run_end'])
  const source = await server.request(path, { headers: eventStream })
  const run = source.headers.get('x-run-id')
  const frames = framesIn(await source.text())
  expect(frames.map(({ id }) => id)).toEqual([`${run}:1`, `${run}:2`, expect.stringMatching(`^${run}:\\d+$`)])
  expect(frames[0]!.data.data).toMatchObject({ prompt: 'What?', session_id: 's', run_id: run })
  expect(frames.at(-1)!.data.data).toEqual({ answer: '42' })
})

test('GET /stream tells calls and results of tools', async () => {
  const server = await serving(always(''), { agents: looping() })
  const wire = await (await server.request('/stream?message=x&max_steps=1')).text()
  const frames = framesIn(wire).map(({ data }) => data)
  expect(frames.find(({ type }) => type === 'tool_call').data).toEqual({
    tool_name: 'look',
    tool_arguments: {},
  })
  expect(frames.find(({ type }) => type === 'tool_result').data).toEqual({
    tool_name: 'look',
    tool_result: 'seen',
  })
  expect(frames.at(-1)).toMatchObject({ type: 'run_end', data: { answer: 'Forced.' } })
})

const queries: [query: string, fault: Record<string, unknown>][] = [
  ['', { type: 'missing', loc: ['query', 'message'], msg: 'Field required', input: null }],
  ['message=x&max_steps=abc', { type: 'int_parsing', loc: ['query', 'max_steps'], input: 'abc' }],
  ['message=x&max_steps=5.5', { type: 'int_parsing', loc: ['query', 'max_steps'] }],
  ['message=x&max_steps=100000', { type: 'less_than_equal', loc: ['query', 'max_steps'] }],
  ['message=x&force_provide_answer=maybe', { type: 'bool_parsing', loc: ['query', 'force_provide_answer'] }],
]
test('every fault of a query is 422 with its place', async () => {
  const server = await serving(always('x'))
  for (const [query, fault] of queries) {
    const { status, json } = await call(server, `/stream?${query}`)
    expect({ query, status }).toEqual({ query, status: 422 })
    expect(json.detail).toMatchObject([fault])
  }
})

test('HEAD /stream starts nothing', async () => {
  const model = always('x')
  const server = await serving(model)
  const response = await server.request('/stream?message=x', { method: 'HEAD' })
  expect(response.status).toBe(200)
  expect((await call(server, '/v1/runs')).json.data).toEqual([])
})

test('GET /stream with an id of ours attaches and never starts a run', async () => {
  const model = scriptedModel(['42'])
  const server = await serving(model)
  const path = '/stream?message=x'
  const whole = framesIn(await (await server.request(path, { headers: eventStream })).text())
  const from = (id: string) => server.request(path, { headers: { ...eventStream, 'last-event-id': id } })
  expect(framesIn(await (await from(whole[0]!.id!)).text()).map(({ id, data }) => [id, data.type])).toEqual(
    whole.slice(1).map(({ id, data }) => [id, data.type]),
  )
  const done = await from(whole.at(-1)!.id!)
  expect(done.status).toBe(204)
  for (const id of [`run_${'0'.repeat(32)}:3`, '17', 'something']) expect((await from(id)).status).toBe(204)
  expect(model.calls).toHaveLength(1)
})

test('an EventSource that loses its connection gets the whole answer of the same run, and is told to stop', async () => {
  const release = Promise.withResolvers<void>()
  const model = scriptedModel([{ text: ['4', '2'], gate: (i) => (i === 0 ? undefined : release.promise) }])
  const server = await serving(model)
  const connection = createCutFetch()
  const source = new EventSource(`${server.url}/stream?message=x&on_disconnect=continue`, {
    fetch: (url, init) => connection.fetch(url, init as RequestInit),
  })
  onTestFinished(() => source.close())
  const frames: Json[] = []
  source.addEventListener('message', ({ data }) => {
    const frame = JSON.parse(data as string)
    frames.push(frame)
    if (frame.type === 'step_start') connection.cut()
  })
  const stopped = new Promise<void>((resolve) => {
    source.addEventListener('error', () => {
      release.resolve()
      if (connection.statuses.at(-1) === 204) resolve()
    })
  })
  await stopped
  expect(source.readyState).toBe(source.CLOSED)
  expect(frames.map(({ type }) => type)).toEqual(['run_start', 'step_start', 'run_end'])
  expect(frames.at(-1).data).toEqual({ answer: '42' })
  expect(connection.statuses).toEqual([200, 200, 204])
  expect(model.calls).toHaveLength(1)
}, 30_000)

test('a client that leaves GET /stream ends the run, unless it said that it may come back', async () => {
  const aborted = Promise.withResolvers<string>()
  const model: Model = {
    provider: 'test',
    id: 'test/silent',
    stream: ({ items }, { signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          aborted.resolve(JSON.stringify(items))
          reject(signal.reason)
        })
      }),
  }
  const server = await serving(model)
  const startAndLeave = async (query: string) => {
    const controller = new AbortController()
    const { signal } = controller
    const response = await fetch(`${server.url}/stream?${query}`, { headers: eventStream, signal })
    controller.abort()
    return response.headers.get('x-run-id') ?? ''
  }
  const kept = await startAndLeave('message=kept&on_disconnect=continue')
  await startAndLeave('message=left')
  expect(await aborted.promise).toContain('left')
  expect((await server.runs.get(anonymous, kept)).status).toBe('running')
})

test('an EventSource that comes back to a suspended run waits for what follows', async () => {
  const server = await serving(always(''), { agents: [suspendingAgent()] })
  const path = '/stream?message=x'
  const frames = framesIn(await (await server.request(path, { headers: eventStream })).text())
  const { id, data } = frames.at(-1)!
  expect(data).toMatchObject({ type: 'run_end', data: { answer: null, status: 'suspended' } })
  const back = await server.request(path, { headers: { ...eventStream, 'last-event-id': id! } })
  const [approval] = data.data.approvals
  await server.approvals.decide({ owner: 'anonymous', namespace: '', name: 'anonymous' }, approval.id, {
    decision: 'approve',
  })
  const rest = framesIn(await back.text())
  expect(rest.map((frame) => frame.data.type)).toEqual(['tool_result', 'step_start', 'run_end'])
  expect(rest.at(-1)!.data.data).toEqual({ answer: 'Sent.' })
})

test('an EventSource that has seen a suspension waits on, while only some of it is decided', async () => {
  const server = await serving(always(''), { agents: [suspendingAgent(2)] })
  const path = '/stream?message=x'
  const frames = framesIn(await (await server.request(path, { headers: eventStream })).text())
  const { id, data } = frames.at(-1)!
  const [first, second] = data.data.approvals
  const approve = (approvalId: string) =>
    server.approvals.decide(anonymous, approvalId, { decision: 'approve' })
  await approve(first.id)
  const back = await server.request(path, { headers: { ...eventStream, 'last-event-id': id! } })
  await approve(second.id)
  const rest = framesIn(await back.text())
  expect(rest.map((frame) => frame.data.type)).toEqual([
    'tool_result',
    'tool_result',
    'step_start',
    'run_end',
  ])
})

test('a session can be read and deleted, by the name its client knows', async () => {
  const server = await serving(always('ok'))
  await call(server, '/chat', { message: 'x', session_id: 'mine' })
  const read = await call(server, '/sessions/mine')
  const date = expect.stringMatching(/^\d{4}-.*Z$/)
  expect(read.json).toEqual({ session_id: 'mine', created_at: date, last_accessed: date, message_count: 2 })
  const deleted = await server.request('/sessions/mine', { method: 'DELETE' })
  expect(await deleted.json()).toEqual({ session_id: 'mine', deleted: true })
  for (const method of ['GET', 'DELETE']) {
    const gone = await server.request('/sessions/mine', { method })
    expect(gone.status).toBe(404)
    expect(await gone.json()).toMatchObject({ detail: 'Session not found' })
  }
  const { json } = await call(server, '/chat', { message: 'x' })
  expect((await call(server, `/sessions/${json.session_id}`)).json.session_id).toBe(json.session_id)
})
