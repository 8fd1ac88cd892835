import { EventSource } from 'eventsource'
import { createParser } from 'eventsource-parser'
import { expect, onTestFinished, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import type { RunEvent } from '../../src/events.ts'
import type { Model } from '../../src/models/model.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createCutFetch } from './cut-fetch.ts'
import { always, call, serving, type Json } from './server-under-test.ts'

function eventsIn(wire: string): RunEvent[] {
  const events: RunEvent[] = []
  createParser({ onEvent: ({ data }) => events.push(JSON.parse(data)) }).feed(wire)
  return events
}

const runs = '/v1/agents/assistant/runs'

/** A model that says its first word and then waits for the test. */
function held() {
  const release = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  const aborted = Promise.withResolvers<void>()
  const script = scriptedModel([
    {
      text: ['Hello', ' there'],
      gate: (index) => {
        if (index === 0) return undefined
        started.resolve()
        return release.promise
      },
    },
  ])
  const model: Model = {
    ...script,
    stream(request, options) {
      options.signal.addEventListener('abort', () => aborted.resolve())
      return script.stream(request, options)
    },
  }
  return { model, release: () => release.resolve(), started: started.promise, aborted: aborted.promise }
}

const approved = (name = 'send') =>
  tool({ name, description: 'Sends.', approval: 'required', execute: () => 'sent' })

function suspending(options: { tools?: ReturnType<typeof approved>[]; name: string }) {
  const model = scriptedModel([
    { text: 'Wait.', toolCalls: [{ name: options.name, arguments: {} }] },
    'Done.',
  ])
  return agent({ name: 'assistant', model, tools: options.tools ?? [] })
}

test('a run is answered whole', async () => {
  const server = await serving(always('Hello there.'))
  const { response, status, json } = await call(server, runs, { input: 'hi', metadata: { a: 'b' } })
  expect(status).toBe(200)
  expect(response.headers.get('content-location')).toBe(`/v1/runs/${json.id}`)
  const date = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  expect(json).toEqual({
    id: expect.stringMatching(/^run_[0-9a-f]{32}$/),
    object: 'run',
    status: 'completed',
    agent: 'assistant',
    active_agent: 'assistant',
    conversation_id: null,
    parent_run_id: null,
    output: 'Hello there.',
    output_parsed: null,
    stop_reason: 'final',
    steps: 1,
    usage: expect.objectContaining({ total_tokens: expect.any(Number) }),
    cost: null,
    error: null,
    warnings: [],
    cancel: null,
    approvals: [],
    tool_calls: [],
    plan: null,
    metadata: { a: 'b' },
    created_at: date,
    started_at: date,
    ended_at: date,
  })
  expect((await call(server, `/v1/runs/${json.id}`)).json).toEqual(json)
  expect((await call(server, `/v1/runs/${json.id}/wait`)).json).toEqual(json)
})

test('a streamed run is its log, and reads the same afterwards from any event', async () => {
  const server = await serving(always('Hello there you.'))
  const response = await server.request(runs, { body: { input: 'hi', stream: true } })
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const wire = await response.text()
  const events = eventsIn(wire)
  expect(events.map(({ type }) => type)).toEqual([
    'run.start',
    'step.start',
    'text.start',
    'text.delta',
    'text.delta',
    'text.delta',
    'text.end',
    'step.end',
    'run.end',
  ])
  const [start] = events
  if (start?.type !== 'run.start') throw new Error('no run.start')
  const path = `/v1/runs/${start.run_id}/events`
  expect(response.headers.get('content-location')).toBe(`/v1/runs/${start.run_id}`)
  expect(await (await server.request(path)).text()).toBe(wire)
  const frames = wire.split('\n\n').slice(0, -1)
  for (let seq = 1; seq <= frames.length; seq++) {
    const rest = frames.slice(seq).map((frame) => `${frame}\n\n`)
    const byHeader = await server.request(`${path}?after=0`, { headers: { 'last-event-id': String(seq) } })
    expect(await byHeader.text()).toBe(rest.join(''))
    const byQuery = await server.request(`${path}?after=${start.run_id}:${seq}`)
    expect(await byQuery.text()).toBe(rest.join(''))
  }
})

test('an item list is taken, text and parts', async () => {
  const model = always('ok')
  const server = await serving(model)
  const input = [
    { type: 'message', role: 'user', content: 'one' },
    { type: 'message', role: 'assistant', content: [{ type: 'text', text: 'two' }] },
    { type: 'message', role: 'user', content: [{ type: 'text', text: 'three' }] },
  ]
  expect((await call(server, runs, { input })).status).toBe(200)
  expect(model.calls[0]!.items).toMatchObject([
    { role: 'user', content: [{ type: 'text', text: 'one' }] },
    { role: 'assistant', content: [{ type: 'text', text: 'two' }] },
    { role: 'user', content: [{ type: 'text', text: 'three' }] },
  ])
})

test('a position that is not one is refused', async () => {
  const server = await serving(always('x'))
  const { json: run } = await call(server, runs, { input: 'x' })
  const path = `/v1/runs/${run.id}/events`
  for (const after of ['x', '-1', '1.5', 'run_other:1', '1:2', '9'.repeat(20)]) {
    const { status, json } = await call(server, path, undefined, { 'last-event-id': after })
    expect({ after, status, path: json.errors?.[0].path }).toEqual({
      after,
      status: 400,
      path: ['header', 'last-event-id'],
    })
  }
})

test('a background run is accepted and can be waited for', async () => {
  const { model, release, started } = held()
  const server = await serving(model)
  const { response, status, json } = await call(server, runs, { input: 'x', background: true })
  expect(status).toBe(202)
  expect(response.headers.get('location')).toBe(`/v1/runs/${json.id}`)
  await started
  const early = await call(server, `/v1/runs/${json.id}/wait?timeout_ms=0`)
  expect(early).toMatchObject({ status: 200, json: { status: 'running', output: null, ended_at: null } })
  const wait = call(server, `/v1/runs/${json.id}/wait`)
  release()
  expect(await wait).toMatchObject({ status: 200, json: { status: 'completed', output: 'Hello there' } })
})

test('a request whose wait is over is answered 202, and its run goes on', async () => {
  const { model, release } = held()
  const server = await serving(model, { requestWaitMs: 1 })
  const { response, status, json } = await call(server, runs, { input: 'x' })
  expect(status).toBe(202)
  expect(response.headers.get('location')).toBe(`/v1/runs/${json.id}`)
  expect(response.headers.get('retry-after')).toBe('1')
  release()
  const events = eventsIn(await (await server.request(`/v1/runs/${json.id}/events`)).text())
  expect(events.at(-1)).toMatchObject({ type: 'run.end', status: 'completed' })
})

test('a run that fails is an answer', async () => {
  const model = scriptedModel([{ text: 'par', error: { code: 'model_refused' } }])
  const server = await serving(model)
  const { status, json } = await call(server, runs, { input: 'x' })
  expect(status).toBe(200)
  expect(json).toMatchObject({
    status: 'failed',
    stop_reason: 'error',
    error: { code: 'model_refused', message: expect.any(String) },
  })
})

test('a run that needs approval is answered with it', async () => {
  const server = await serving(always(''), { agents: [suspending({ name: 'send', tools: [approved()] })] })
  const { status, json } = await call(server, runs, { input: 'x', session_id: 's' })
  expect(status).toBe(200)
  expect(json).toMatchObject({
    status: 'suspended',
    ended_at: null,
    approvals: [{ id: expect.stringMatching(/^appr_/), tool: 'send', arguments: {}, reason: 'policy' }],
  })
  const read = await call(server, `/v1/runs/${json.id}`)
  expect(read.json.approvals).toEqual(json.approvals)
  const behind = await call(server, runs, { input: 'y', session_id: 's' })
  expect(behind).toMatchObject({ status: 409, json: { code: 'conversation_suspended', run_id: json.id } })
})

test("the caller's tools suspend the run, and their results go on with it", async () => {
  const server = await serving(always(''), { agents: [suspending({ name: 'look' })] })
  const tools = [{ name: 'look', description: 'Looks.', parameters: { type: 'object' } }]
  const { json: run } = await call(server, runs, { input: 'x', tools })
  expect(run).toMatchObject({ status: 'suspended', tool_calls: [{ name: 'look', arguments: {} }] })
  const path = `/v1/runs/${run.id}/tool_results`
  const unknown = await call(server, path, { results: [{ call_id: 'call_x', output: '' }] })
  expect(unknown).toMatchObject({ status: 404, json: { code: 'call_not_found' } })
  const [{ call_id }] = run.tool_calls
  expect((await call(server, path, { results: [{ call_id, output: { seen: 1 } }] })).status).toBe(200)
  const { json } = await call(server, `/v1/runs/${run.id}/wait`)
  expect(json).toMatchObject({ status: 'completed', output: 'Done.', tool_calls: [] })
  const late = await call(server, path, { results: [{ call_id, output: 'x' }] })
  expect(late).toMatchObject({ status: 409, json: { code: 'run_not_suspended' } })
  const events = eventsIn(await (await server.request(`/v1/runs/${run.id}/events`)).text())
  expect(events.find(({ type }) => type === 'tool.end')).toMatchObject({ output: '{"seen":1}' })
  expect(events.at(-1)!.type).toBe('run.end')
})

test('what a run was warned of stands in every answer that shows it, through suspension and resumption', async () => {
  const warnings = [{ code: 'careful', message: 'The input is odd.' }]
  const model = scriptedModel(() => ({ toolCalls: [{ name: 'look', arguments: {} }] }))
  const desk = agent({
    name: 'assistant',
    model,
    maxSteps: 2,
    forceAnswer: false,
    hooks: {
      beforeModel(_request, { warn }) {
        warn('careful', 'The input is odd.')
        return undefined
      },
    },
  })
  const server = await serving(always(''), { agents: [desk] })
  const tools = [{ name: 'look', description: 'Looks.', parameters: { type: 'object' } }]
  const { json: run } = await call(server, runs, { input: 'x', tools })
  expect(run).toMatchObject({ status: 'suspended', warnings })
  const path = `/v1/runs/${run.id}`
  const results = (json: Json) => [{ call_id: json.tool_calls[0].call_id, output: 'seen' }]
  const resumed = await call(server, `${path}/tool_results`, { results: results(run) })
  expect(resumed.json).toMatchObject({ warnings })
  const again = (await call(server, `${path}/wait`)).json
  expect(again).toMatchObject({ status: 'suspended', steps: 2, warnings })
  await call(server, `${path}/tool_results`, { results: results(again) })
  const all = [...warnings, { code: 'max_steps', message: expect.stringContaining('limit of 2 steps') }]
  const ended = (await call(server, `${path}/wait`)).json
  expect(ended).toMatchObject({ status: 'completed', stop_reason: 'max_steps', warnings: all })
  expect((await call(server, path)).json).toEqual(ended)
  expect((await call(server, '/v1/runs')).json.data).toEqual([ended])
  expect((await call(server, `${path}/cancel`, {})).json).toEqual(ended)
  const { json: accepted } = await call(server, runs, { input: 'x', background: true })
  expect(accepted).toMatchObject({ status: 'running', warnings: [] })
})

test('a run is cancelled, once', async () => {
  const { model, started } = held()
  const server = await serving(model)
  const stream = await server.request(runs, { body: { input: 'x', stream: true } })
  const body = stream.text()
  await started
  const path = `${stream.headers.get('content-location')}/cancel`
  const cancelled = await call(server, path, { reason: 'enough' })
  expect(cancelled).toMatchObject({ status: 200, json: { status: 'cancelled', stop_reason: 'cancelled' } })
  expect(eventsIn(await body).at(-1)).toMatchObject({ type: 'run.end', status: 'cancelled' })
  expect((await call(server, path, {})).json).toEqual(cancelled.json)
  const bare = await server.request(path, { method: 'POST' })
  expect(bare.status).toBe(200)
})

test.for([{ stream: true }, { stream: false }])(
  'a client that leaves cancels its run, stream: $stream',
  async ({ stream }) => {
    const { model, started, aborted } = held()
    const server = await serving(model)
    const leave = new AbortController()
    const answer = fetch(server.url + runs, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ input: 'x', stream }),
      signal: leave.signal,
    })
    await started
    if (stream) await answer
    else answer.catch(() => {})
    leave.abort()
    await aborted
    const { json } = await call(server, '/v1/runs')
    const ended = await call(server, `/v1/runs/${json.data[0].id}/wait`)
    expect(ended.json).toMatchObject({ status: 'cancelled', stop_reason: 'cancelled' })
  },
)

test('a run that is to continue does so without its client', async () => {
  const { model, started, release } = held()
  const server = await serving(model)
  const response = await server.request(runs, {
    body: { input: 'x', stream: true, on_disconnect: 'continue' },
  })
  await started
  await response.body!.cancel()
  release()
  const ended = await call(server, `${response.headers.get('content-location')}/wait`)
  expect(ended.json).toMatchObject({ status: 'completed', output: 'Hello there' })
})

test('an EventSource that loses its connection goes on where it was', async () => {
  const { model, release, started } = held()
  const server = await serving(model)
  const { json: run } = await call(server, runs, { input: 'x', background: true })
  await started
  const connection = createCutFetch()
  const source = new EventSource(`${server.url}/v1/runs/${run.id}/events`, {
    fetch: (url, init) => connection.fetch(url, init as RequestInit),
  })
  onTestFinished(() => source.close())
  const seen: number[] = []
  const ended = new Promise<void>((resolve) => {
    source.addEventListener('message', ({ data }) => {
      const event = JSON.parse(data as string) as RunEvent
      if ('seq' in event) seen.push(event.seq)
      if (event.type === 'text.delta') connection.cut()
      if (event.type === 'run.end') resolve()
    })
  })
  source.addEventListener('error', release, { once: true })
  await ended
  source.close()
  expect(connection.asked).toEqual([null, '4'])
  expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
})

test('an idempotency key runs once and answers twice, also as a stream', async () => {
  const model = scriptedModel(['once'])
  const server = await serving(model)
  const key = { 'idempotency-key': '"k1"' }
  const first = await call(server, runs, { input: 'x' }, key)
  const again = await call(server, runs, { input: 'x' }, key)
  expect(again.json).toEqual(first.json)
  const other = await call(server, runs, { input: 'y' }, key)
  expect(other).toMatchObject({ status: 422, json: { code: 'idempotency_key_reused' } })
  expect(model.calls).toHaveLength(1)
})

test('a conversation is made, used, read, changed and deleted', async () => {
  const server = await serving(always('Hello.'))
  const { json: made } = await call(server, '/v1/conversations', { metadata: { topic: 'a' }, key: 'mine' })
  expect(made).toMatchObject({
    id: expect.stringMatching(/^conv_/),
    object: 'conversation',
    created_at: expect.any(Number),
    metadata: { topic: 'a' },
    key: 'mine',
    expires_at: null,
  })
  const path = `/v1/conversations/${made.id}`
  const { json: run } = await call(server, runs, { input: 'hi', conversation_id: made.id })
  expect(run.conversation_id).toBe(made.id)
  const { json: next } = await call(server, runs, { input: 'and?', session_id: 'mine' })
  expect(next).toMatchObject({ conversation_id: made.id, parent_run_id: run.id })
  const { json: items } = await call(server, `${path}/items?order=asc&limit=3`)
  expect(items.data).toMatchObject([
    { type: 'message', role: 'user', content: [{ text: 'hi' }], run_id: run.id },
    { type: 'message', role: 'assistant', content: [{ text: 'Hello.' }] },
    { type: 'message', role: 'user', content: [{ text: 'and?' }], run_id: next.id },
  ])
  expect(items.has_more).toBe(true)
  expect((await call(server, path, { metadata: { topic: 'b' } })).json.metadata).toEqual({ topic: 'b' })
  expect((await call(server, path)).json).toMatchObject({ metadata: { topic: 'b' }, head_run_id: next.id })
  expect((await call(server, '/v1/conversations')).json.data).toMatchObject([{ id: made.id }])
  const gone = await server.request(path, { method: 'DELETE' })
  expect(await gone.json()).toEqual({ id: made.id, object: 'conversation.deleted', deleted: true })
  expect((await call(server, path)).status).toBe(404)
  expect((await call(server, `/v1/runs/${run.id}`)).status).toBe(404)
})

test('a draining server refuses new runs and ends its streams', async () => {
  const { model, started } = held()
  const server = await serving(model)
  const stream = await fetch(server.url + runs, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: 'x', stream: true }),
  })
  const body = stream.text()
  await started
  const closing = server.close(0)
  const refused = await call(server, runs, { input: 'y' })
  expect(refused).toMatchObject({ status: 503, json: { code: 'draining', retryable: true } })
  expect(eventsIn(await body).map(({ type }) => type)).not.toContain('run.end')
  await closing
})
