import { describe, expect, onTestFinished, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { isTerminal } from '../../src/run-state.ts'
import { createTestServer, type TestServer } from '../../src/testing/test-server.ts'
import { deferred } from '../agent/deferred.ts'

/** A server whose model streams a word and then waits for `letGo`, or for its signal. */
async function slowServer(options: { maxConcurrentRuns?: number } = {}) {
  const letGo = deferred()
  const asked = deferred()
  const model = scriptedModel(() => ({
    text: ['word', ' and the rest'],
    gate: (part) => {
      if (part === 1) asked.resolve()
      return part === 1 ? letGo.promise : undefined
    },
  }))
  const server = await createTestServer({ agents: [agent({ name: 'assistant', model })], ...options })
  onTestFinished(() => server.close())
  return { server, model, asked: asked.promise, letGo: () => letGo.resolve() }
}

/** A request through a socket, whose client can leave. */
function client(server: TestServer, path: string, body?: Record<string, unknown>) {
  const controller = new AbortController()
  const response = fetch(new URL(path, server.url), {
    signal: controller.signal,
    ...(body && {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  })
  const settled = response.then(
    () => {},
    () => {},
  )
  return {
    response,
    async leave() {
      controller.abort()
      await settled
    },
  }
}

async function onlyRun(server: TestServer) {
  const { data } = await server.runs.list(anonymous, { limit: 10 })
  const [run] = data
  if (!run || data.length !== 1) throw new Error(`there are ${data.length} runs`)
  return run
}

/** Looks until the run has ended. Not a reader: one that is attached would keep the run alive. */
async function endOf(server: TestServer, runId: string) {
  for (;;) {
    const run = await server.runs.get(anonymous, runId)
    if (isTerminal(run.status)) return run
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function firstChunk(response: Promise<Response>) {
  const body = (await response).body
  if (!body) throw new Error('the response has no body')
  const reader = body.getReader()
  await reader.read()
  return reader
}

/** Looks until nobody reads and nothing runs. Hangs where something leaks. */
async function idle(server: TestServer) {
  while (Object.values(server.gauges()).some((count) => count > 0)) {
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('the run of a client that leaves is cancelled, and the model sees its signal', () => {
  test.each([
    ['POST /chat', '/chat', { message: 'hi' }],
    ['a native request', '/v1/agents/assistant/runs', { input: 'hi' }],
  ])('%s that waits for the answer', async (_name, path, body) => {
    const { server, model, asked } = await slowServer()
    const request = client(server, path, body)
    await asked
    await request.leave()
    const run = await endOf(server, (await onlyRun(server)).id)
    expect(run).toMatchObject({ status: 'cancelled', cancel: { actor: 'client', reason: 'disconnected' } })
    expect(await server.runs.outputText(run)).toBe('word')
    expect(model.aborted).toBe(1)
    await idle(server)
  })

  test.each([
    ['GET /stream', '/stream?message=hi', undefined],
    ['POST /stream', '/stream', { input: 'hi' }],
    ['a native stream', '/v1/agents/assistant/runs', { input: 'hi', stream: true }],
  ])('%s', async (_name, path, body) => {
    const { server, model, asked } = await slowServer()
    const request = client(server, path, body)
    await firstChunk(request.response)
    await asked
    await request.leave()
    const run = await endOf(server, (await onlyRun(server)).id)
    expect(run).toMatchObject({ status: 'cancelled', cancel: { actor: 'client', reason: 'disconnected' } })
    expect(model.aborted).toBe(1)
  })

  test('also while it is queued', async () => {
    const { server, model, asked, letGo } = await slowServer()
    const session = { session_id: 's' }
    const first = client(server, '/chat', { message: 'first', ...session })
    await asked
    const second = client(server, '/v1/agents/assistant/runs', { input: 'second', stream: true, ...session })
    const queuedId = (await second.response).headers.get('content-location')?.split('/').at(-1) ?? ''
    expect((await server.runs.get(anonymous, queuedId)).status).toBe('queued')
    await second.leave()
    expect(await endOf(server, queuedId)).toMatchObject({ status: 'cancelled', started_at: null })
    letGo()
    expect((await first.response).status).toBe(200)
    expect(model.calls).toHaveLength(1)
  })

  test('and its conversation can be used again', async () => {
    const { server, asked, letGo } = await slowServer()
    const first = client(server, '/chat', { message: 'first', session_id: 's' })
    await asked
    await first.leave()
    letGo()
    const next = await server.request('/chat', { body: { message: 'next', session_id: 's' } })
    expect(await next.json()).toMatchObject({ session_id: 's' })
  })
})

describe('a run survives its client', () => {
  test.each([
    ['in the background', { background: true }],
    ['with on_disconnect: continue', { on_disconnect: 'continue', stream: true }],
  ])('%s', async (_name, how) => {
    const { server, model, asked, letGo } = await slowServer()
    const request = client(server, '/v1/agents/assistant/runs', { input: 'hi', ...how })
    const id = (await onlyRunOf(request.response, server)).id
    const watching = client(server, `/v1/runs/${id}/events`)
    await firstChunk(watching.response)
    await asked
    await watching.leave()
    await request.leave()
    letGo()
    expect(await endOf(server, id)).toMatchObject({ status: 'completed', cancel: null })
    expect(model.aborted).toBe(0)
  })

  test('with an idempotency key', async () => {
    const { server, asked, letGo } = await slowServer()
    const controller = new AbortController()
    const response = fetch(new URL('/v1/agents/assistant/runs', server.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'k' },
      body: JSON.stringify({ input: 'hi' }),
      signal: controller.signal,
    })
    await asked
    controller.abort()
    await expect(response).rejects.toThrow()
    letGo()
    expect((await endOf(server, (await onlyRun(server)).id)).status).toBe('completed')
  })

  async function onlyRunOf(response: Promise<Response>, server: TestServer) {
    await response
    return onlyRun(server)
  }
})

describe('several readers', () => {
  test('only the last one that leaves cancels the run', async () => {
    const { server, model, asked } = await slowServer()
    const first = client(server, '/v1/agents/assistant/runs', { input: 'hi', stream: true })
    await firstChunk(first.response)
    await asked
    const { id } = await onlyRun(server)
    const second = client(server, `/v1/runs/${id}/events`)
    const reading = await firstChunk(second.response)
    await first.leave()
    // The server knows that the first has left when only one stream is open.
    while (server.gauges().streams > 1) await new Promise((resolve) => setImmediate(resolve))
    expect((await server.runs.get(anonymous, id)).cancel).toBeNull()
    expect(model.aborted).toBe(0)
    await reading.cancel().catch(() => {})
    await second.leave()
    expect((await endOf(server, id)).status).toBe('cancelled')
    expect(model.aborted).toBe(1)
  })

  test('one that leaves after the end changes nothing', async () => {
    const { server, asked, letGo } = await slowServer()
    const request = client(server, '/v1/agents/assistant/runs', { input: 'hi', stream: true })
    await asked
    letGo()
    await (await request.response).text()
    await request.leave()
    expect(await onlyRun(server)).toMatchObject({ status: 'completed', cancel: null })
  })
})

describe('nothing is left behind', () => {
  test('300 streams whose clients left leave nothing', async () => {
    const count = 300
    const model = scriptedModel(() => ({ text: 'so far', hang: true }), { record: false })
    const server = await createTestServer({ model, maxConcurrentRuns: count })
    onTestFinished(() => server.close())
    const leave = async (i: number) => {
      const request = client(server, '/v1/agents/assistant/runs', { input: `${i}`, stream: true })
      if (i % 3 !== 0) await firstChunk(request.response)
      await request.leave()
    }
    for (let at = 0; at < count; at += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, i) => leave(at + i)))
    }
    // Requests that left before they were read may still be on their way in.
    let after: string | undefined
    do {
      const { data, has_more } = await server.runs.list(anonymous, { limit: 100, ...(after && { after }) })
      for (const run of data) expect((await endOf(server, run.id)).status).toBe('cancelled')
      after = has_more ? data.at(-1)?.id : undefined
    } while (after !== undefined)
    await idle(server)
  })

  test('a hundred of everything leaves nothing', async () => {
    const model = scriptedModel((_request, index) =>
      index % 4 === 0
        ? { text: 'Oh no', error: { code: 'model_refused' } }
        : { toolCalls: index % 4 === 1 ? [{ name: 'none', arguments: {} }] : [], text: 'fine' },
    )
    const server = await createTestServer({ model })
    onTestFinished(() => server.close())
    await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const body = { input: 'hi', stream: i % 2 === 0, ...(i % 5 === 0 && { session_id: 's' }) }
        const response = await server.request('/v1/agents/assistant/runs', { body })
        await response.text()
        expect(response.status).toBe(200)
      }),
    )
    await idle(server)
  })
})
