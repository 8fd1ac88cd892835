import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { EventType, RunEvent } from '../../src/events.ts'
import {
  chunkOf,
  createUpstreamServer,
  doneStep,
  finishOf,
  streamReply,
  type UpstreamReply,
  type UpstreamRequest,
  type UpstreamServer,
  type UpstreamStep,
} from '../../src/testing/upstream-server.ts'
import { deferred, type Deferred } from '../agent/deferred.ts'
import { readFrames, type Frame } from '../runs/frame-client.ts'
import { createDataDir, fixture, startServer, upstreamKey, type CliServer } from './cli-server.ts'
import { openRequest } from './socket-client.ts'

interface UpstreamBody {
  model: string
  stream: boolean
  messages: {
    role: string
    content: string | null
    tool_calls?: { id: string; type: string; function: { name: string; arguments: string } }[]
    tool_call_id?: string
  }[]
  tools: { type: string; function: { name: string; parameters: Record<string, unknown> } }[]
}

const nativeRuns = '/v1/agents/assistant/runs'

// A process takes most of a second to start, so the tests of this file share two. They run one after the other.
let upstream: UpstreamServer
let dataDir: Awaited<ReturnType<typeof createDataDir>>
let waitingDir: Awaited<ReturnType<typeof createDataDir>>
let server: CliServer
let waitingServer: CliServer

beforeAll(async () => {
  ;[upstream, dataDir, waitingDir] = await Promise.all([
    createUpstreamServer(),
    createDataDir(),
    createDataDir(),
  ])
  const waiting = ['serve', fixture('waiting-agent.ts')]
  ;[server, waitingServer] = await Promise.all([
    startServer({ dataDir: dataDir.path, upstream }),
    startServer({ dataDir: waitingDir.path, upstream, args: waiting }),
  ])
})

afterAll(async () => {
  const codes = await Promise.all([server.stop(), waitingServer.stop()])
  await Promise.all([upstream.close(), dataDir.remove(), waitingDir.remove()])
  expect(codes).toEqual([0, 0])
})

/** Has the upstream give these replies to the next requests; resolves with each request when it is there. */
function expectRequests(...replies: UpstreamReply[]): Promise<UpstreamRequest>[] {
  const first = upstream.requests.length
  upstream.reply(...replies)
  return replies.map((_reply, i) => upstream.request(first + i))
}

function bodyOf({ body }: UpstreamRequest): UpstreamBody {
  return body as UpstreamBody
}

/** A reply of text whose deltas after the first wait for their gate: gate 0 stands before delta 1. */
function gatedText(deltas: readonly string[]): { reply: UpstreamReply; gates: Deferred[] } {
  const gates = deltas.slice(1).map(() => deferred())
  const before = (i: number): UpstreamStep | undefined =>
    i === 0 ? undefined : { type: 'wait', until: gates[i - 1]!.promise }
  return { reply: streamReply({ text: deltas, before }), gates }
}

/** A reply that says a word and then nothing more, until its socket is closed. */
const hanging: UpstreamReply = { steps: [chunkOf({ content: 'word' }), { type: 'silence' }] }

async function newestRun(at: CliServer): Promise<string> {
  const { data } = await at.json('/v1/runs?limit=1')
  return (data as { id: string }[])[0]!.id
}

function runOf(response: string): string {
  return /\b(run_\w+)/.exec(response)![1]!
}

function typesOf(frames: readonly Frame[]): EventType[] {
  return frames.map(({ event }) => event.type)
}

describe('POST /chat with the built-in assistant', () => {
  test('calculates, answers, remembers, and asks the provider as its API wants to be asked', async () => {
    const first = expectRequests(
      streamReply({
        text: ['Let me ', 'see.'],
        toolCalls: [
          { name: 'calculator', arguments: ['{"expression":', ' "1337 * 42"}'], id: 'theirs' },
          { name: 'calculator', arguments: ['{"expression":"1+1"}'], id: 'theirs_too' },
        ],
      }),
      streamReply({ text: ['It is ', '56154.'] }),
    )
    const answer = await server.json('/chat', { message: 'What is 1337 * 42?', session_id: 'sums' })
    expect(answer).toMatchObject({
      answer: 'It is 56154.',
      response: 'It is 56154.',
      session_id: 'sums',
      steps: 2,
      completed: true,
      tokens_used: 30,
    })

    const [third] = expectRequests(streamReply({ text: ['You asked for a product.'] }))
    const again = await server.json('/chat', { message: 'What did I ask?', session_id: 'sums' })
    expect(again).toMatchObject({ answer: 'You asked for a product.', steps: 1, completed: true })

    const requests = await Promise.all([...first, third!])
    for (const request of requests) {
      expect(request).toMatchObject({ method: 'POST', path: '/v1/chat/completions' })
      expect(request.headers.authorization).toBe(`Bearer ${upstreamKey}`)
      expect(request.headers['content-type']).toMatch(/^application\/json/)
      expect(bodyOf(request)).toMatchObject({ model: 'test-model', stream: true })
      expect(bodyOf(request).tools).toEqual([
        {
          type: 'function',
          function: {
            name: 'calculator',
            description: expect.stringContaining('arithmetic'),
            parameters: expect.objectContaining({
              type: 'object',
              properties: { expression: expect.objectContaining({ type: 'string' }) },
              required: ['expression'],
            }),
          },
        },
        { type: 'function', function: expect.objectContaining({ name: 'web_search' }) },
      ])
      const roles = bodyOf(request).messages.map(({ role }) => role)
      expect(roles.indexOf('system')).toBe(0)
      expect(roles.lastIndexOf('system')).toBe(0)
    }

    const { messages } = bodyOf(requests[2]!)
    expect(messages.slice(1)).toEqual([
      { role: 'user', content: 'What is 1337 * 42?' },
      {
        role: 'assistant',
        content: 'Let me see.',
        tool_calls: [
          {
            id: expect.stringMatching(/^call_/),
            type: 'function',
            function: { name: 'calculator', arguments: '{"expression": "1337 * 42"}' },
          },
          {
            id: expect.stringMatching(/^call_/),
            type: 'function',
            function: { name: 'calculator', arguments: '{"expression":"1+1"}' },
          },
        ],
      },
      { role: 'tool', content: '56154', tool_call_id: messages[2]!.tool_calls![0]!.id },
      { role: 'tool', content: '2', tool_call_id: messages[2]!.tool_calls![1]!.id },
      { role: 'assistant', content: 'It is 56154.' },
      { role: 'user', content: 'What did I ask?' },
    ])
    expect(new Set(messages[2]!.tool_calls!.map(({ id }) => id)).size).toBe(2)
    // The same history as the second request of the first turn, so that a provider's cache can serve it.
    expect(messages.slice(0, 5)).toEqual(bodyOf(requests[1]!).messages)
  })
})

describe('each delta reaches the client before the provider sends the next', () => {
  const deltas = ['One ', 'two ', 'three ', '日本', '🎉']

  test('in POST /stream', async () => {
    const { reply, gates } = gatedText(deltas)
    upstream.reply(reply)
    const client = await openRequest(server.port, '/stream', { body: { input: 'Count' } })
    for (const [i, delta] of deltas.entries()) {
      await client.until((text) => text.includes(`data: ${delta}\n\n`))
      gates[i]?.resolve()
    }
    const frames = deltas.map((delta) => `data: ${delta}\n\n`).join('')
    expect(await client.body()).toBe(`${frames}event: done\ndata: [DONE]\n\n`)
  })

  test('in a native stream, whether it is text, reasoning or the arguments of a tool', async () => {
    const call = (index: number, delta: object) => chunkOf({ tool_calls: [{ index, ...delta }] })
    const begin = (index: number) =>
      call(index, { id: `c${index}`, type: 'function', function: { name: 'calculator', arguments: '' } })
    const input = (index: number, text: string) => call(index, { function: { arguments: text } })
    /** What the provider says, and the event that shows it. */
    const script: [UpstreamStep, Partial<RunEvent>][] = [
      [chunkOf({ reasoning_content: 'I should ' }), { type: 'reasoning.delta', delta: 'I should ' }],
      [chunkOf({ reasoning_content: 'calculate.' }), { type: 'reasoning.delta', delta: 'calculate.' }],
      [chunkOf({ content: 'One ' }), { type: 'text.delta', delta: 'One ' }],
      [chunkOf({ content: 'moment.' }), { type: 'text.delta', delta: 'moment.' }],
      [begin(0), { type: 'tool.start', name: 'calculator' }],
      [input(0, '{"expression":'), { type: 'tool.input', delta: '{"expression":' }],
      [begin(1), { type: 'tool.start', name: 'calculator' }],
      [input(1, '{"expression":"2'), { type: 'tool.input', delta: '{"expression":"2' }],
      [input(0, '"1+1"}'), { type: 'tool.input', delta: '"1+1"}' }],
      [input(1, '+2"}'), { type: 'tool.input', delta: '+2"}' }],
    ]
    const gates = script.map(() => deferred())
    const steps = script.flatMap(([step], i): UpstreamStep[] => [
      step,
      { type: 'wait', until: gates[i]!.promise },
    ])
    upstream.reply(
      { steps: [...steps, finishOf('tool_calls'), doneStep] },
      streamReply({ text: ['Two and four.'] }),
    )
    const shown: Partial<RunEvent>[] = []
    const { frames, ended } = await readFrames({
      url: server.url,
      method: 'POST',
      path: nativeRuns,
      body: { input: 'Calculate', stream: true },
      onFrame: ({ event }) => {
        if (!['reasoning.delta', 'text.delta', 'tool.start', 'tool.input'].includes(event.type)) return
        gates[shown.length]?.resolve()
        shown.push(event)
      },
    })
    expect(ended).toBe(true)
    expect(shown).toMatchObject([
      ...script.map(([, event]) => event),
      { type: 'text.delta', delta: 'Two and four.' },
    ])
    const results = frames.flatMap(({ event }) => (event.type === 'tool.end' ? [event.output] : []))
    expect(results.toSorted()).toEqual(['2', '4'])
    expect(frames.at(-1)?.event).toMatchObject({ type: 'run.end', status: 'completed', steps: 2 })
  })
})

describe("a client that leaves closes the provider's socket", () => {
  const clients: [string, string, object | undefined][] = [
    ['POST /chat', '/chat', { message: 'hi' }],
    ['a native request', nativeRuns, { input: 'hi' }],
    ['POST /stream', '/stream', { input: 'hi' }],
    ['GET /stream', '/stream?message=hi', undefined],
    ['a native stream', nativeRuns, { input: 'hi', stream: true }],
  ]

  test.each(clients)('%s', async (_name, path, body) => {
    const [asked] = expectRequests(hanging)
    const client = await openRequest(server.port, path, { body })
    const { outcome } = await asked!
    // What streams has begun to.
    if (path.includes('stream') || (body && 'stream' in body))
      await client.until((text) => /^data: /m.test(text))
    await client.leave()
    expect(await outcome).toBe('closed')
    const id = await newestRun(server)
    expect(await server.json(`/v1/runs/${id}/wait`)).toMatchObject({
      status: 'cancelled',
      stop_reason: 'cancelled',
      error: { code: 'run_cancelled' },
    })
    expect(await server.logged((line) => line['run_id'] === id && line['status'] === 499)).toMatchObject({
      level: 'info',
      msg: 'request',
    })
  })
})

describe('a run survives its client', () => {
  test.each([
    ['in the background', { background: true }],
    ['with on_disconnect: continue', { on_disconnect: 'continue', stream: true }],
  ])('%s', async (_name, how) => {
    const { reply, gates } = gatedText(['So far', ' and on.'])
    const [asked] = expectRequests(reply)
    const client = await openRequest(server.port, nativeRuns, { body: { input: 'hi', ...how } })
    const { outcome } = await asked!
    const id = runOf(await client.until((text) => /"run_id":"run_|"id":"run_/.test(text)))
    const watcher = await openRequest(server.port, `/v1/runs/${id}/events`)
    await watcher.until((text) => text.includes('So far'))
    await Promise.all([client.leave(), watcher.leave()])
    // The server has seen the watcher leave before the provider goes on.
    await server.logged((line) => line['run_id'] === id && line['status'] === 499)
    gates[0]!.resolve()
    expect(await server.json(`/v1/runs/${id}/wait`)).toMatchObject({
      status: 'completed',
      output: 'So far and on.',
    })
    expect(await outcome).toBe('ended')
  })

  test('on POST /stream and GET /stream that ask for it', async () => {
    for (const [path, body] of [
      ['/stream', { input: 'hi', on_disconnect: 'continue' }],
      ['/stream?message=hi&on_disconnect=continue', undefined],
    ] as const) {
      const { reply, gates } = gatedText(['So far', ' and on.'])
      const [asked] = expectRequests(reply)
      const client = await openRequest(server.port, path, { body })
      const { outcome } = await asked!
      const id = runOf(await client.until((text) => text.includes('\r\n\r\n')))
      await client.leave()
      await server.logged((line) => line['run_id'] === id && line['status'] === 499)
      gates[0]!.resolve()
      expect(await server.json(`/v1/runs/${id}/wait`)).toMatchObject({ status: 'completed' })
      expect(await outcome).toBe('ended')
    }
  })
})

describe('POST /v1/runs/{id}/cancel', () => {
  test("closes the provider's socket, and every reader sees the one end there is", async () => {
    const [asked] = expectRequests(hanging)
    const { id } = await server.json(nativeRuns, { input: 'hi', background: true })
    const { outcome } = await asked!
    const path = `/v1/runs/${String(id)}/events`
    const begun = Array.from({ length: 3 }, () => deferred())
    const readings = begun.map(({ resolve }) =>
      readFrames({
        url: server.url,
        path,
        onFrame: ({ event }) => {
          if (event.type === 'text.delta') resolve()
        },
      }),
    )
    await Promise.all(begun.map(({ promise }) => promise))

    const cancelled = await server.request(`/v1/runs/${String(id)}/cancel`, { reason: 'enough' })
    expect(cancelled.status).toBe(200)
    expect(await cancelled.json()).toMatchObject({ status: 'cancelled', output: 'word' })
    expect(await outcome).toBe('closed')
    const whole = await readFrames({ url: server.url, path })
    for (const { frames, ended } of await Promise.all(readings)) {
      expect(ended).toBe(true)
      expect(typesOf(frames)).toEqual([
        'run.start',
        'step.start',
        'text.start',
        'text.delta',
        'text.end',
        // Nobody said what the broken reply used.
        'warning',
        'run.end',
      ])
      expect(frames.at(-1)?.event).toMatchObject({ status: 'cancelled', stop_reason: 'cancelled' })
      expect(frames.map(({ bytes }) => bytes)).toEqual(whole.frames.map(({ bytes }) => bytes))
    }

    const again = await server.request(`/v1/runs/${String(id)}/cancel`, {})
    expect(again.status).toBe(200)
    expect(await again.json()).toMatchObject({ status: 'cancelled' })
  })

  test('tells a tool that runs to stop', async () => {
    upstream.reply(streamReply({ toolCalls: [{ name: 'wait', arguments: ['{"file":"stopped"}'] }] }))
    const { id } = await waitingServer.json(nativeRuns, { input: 'Wait', background: true })
    await waitingServer.logged((line) => line.msg === 'waiting, then stopped')
    const cancelled = await waitingServer.request(`/v1/runs/${String(id)}/cancel`, {})
    expect(cancelled.status).toBe(200)
    expect(await cancelled.json()).toMatchObject({ status: 'cancelled' })
    expect(existsSync(join(waitingDir.path, 'stopped'))).toBe(true)
    // What the tool logged names its run, once.
    const logged = waitingServer
      .errors()
      .split('\n')
      .find((line) => line.includes('waiting, then stopped'))
    expect(logged!.match(/"run_id":/g)).toHaveLength(1)
  })
})

test('a client that leaves while a tool runs stops the tool', async () => {
  upstream.reply(streamReply({ toolCalls: [{ name: 'wait', arguments: ['{"file":"left"}'] }] }))
  const client = await openRequest(waitingServer.port, '/chat', { body: { message: 'Wait' } })
  const { run_id: id } = await waitingServer.logged((line) => line.msg === 'waiting, then left')
  await client.leave()
  // Not before the server has seen it: who waits for a run is a client of it, and keeps it alive.
  await waitingServer.logged((line) => line['run_id'] === id && line['status'] === 499)
  expect(await waitingServer.json(`/v1/runs/${String(id)}/wait`)).toMatchObject({ status: 'cancelled' })
  expect(existsSync(join(waitingDir.path, 'left'))).toBe(true)
})
