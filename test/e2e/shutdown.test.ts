import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { attemptGap, type EventType } from '../../src/events.ts'
import {
  chunkOf,
  createUpstreamServer,
  streamReply,
  type UpstreamReply,
  type UpstreamServer,
} from '../../src/testing/upstream-server.ts'
import { root } from '../architecture/source-files.ts'
import { deferred } from '../agent/deferred.ts'
import { readFrames, type Frame, type Reading } from '../runs/frame-client.ts'
import { createDataDir, startServer, type CliServer } from './cli-server.ts'
import { startProcess } from './program-process.ts'
import { openRequest } from './socket-client.ts'

const nativeRuns = '/v1/agents/assistant/runs'

let upstream: UpstreamServer
let dataDir: Awaited<ReturnType<typeof createDataDir>>
const started: CliServer[] = []

beforeEach(async () => {
  ;[upstream, dataDir] = await Promise.all([createUpstreamServer(), createDataDir()])
})
afterEach(async () => {
  for (const server of started) server.signal('SIGKILL')
  await Promise.all(started.splice(0).map(({ exited }) => exited))
  await Promise.all([upstream.close(), dataDir.remove()])
})

async function start(environment: Record<string, string> = {}): Promise<CliServer> {
  const server = await startServer({ dataDir: dataDir.path, upstream, environment })
  started.push(server)
  return server
}

/** Says a word and then nothing more. */
const hanging: UpstreamReply = { steps: [chunkOf({ content: 'word' }), { type: 'silence' }] }

/** Starts a native stream. `begun` resolves with the frames so far when the first delta is there. */
function streamRun(server: CliServer, options: { on_disconnect?: string } = {}) {
  const begun = deferred<Frame[]>()
  const frames: Frame[] = []
  const reading: Promise<Reading> = readFrames({
    url: server.url,
    method: 'POST',
    path: nativeRuns,
    body: { input: 'hi', stream: true, session_id: 'only', ...options },
    onFrame: (frame) => {
      frames.push(frame)
      if (frame.event.type === 'text.delta') begun.resolve(frames)
    },
  })
  return { begun: begun.promise, reading }
}

function typesOf(frames: readonly Frame[]): EventType[] {
  return frames.map(({ event }) => event.type)
}

function textOf(frames: readonly Frame[]): string {
  return frames.map(({ event }) => (event.type === 'text.delta' ? event.delta : '')).join('')
}

function runIdOf(frames: readonly Frame[]): string {
  const [first] = frames
  if (first?.event.type !== 'run.start') throw new Error('the stream does not begin with run.start')
  return first.event.run_id
}

function readOn(server: CliServer, runId: string, after: number): Promise<Reading> {
  return readFrames({
    url: server.url,
    path: `/v1/runs/${runId}/events`,
    headers: { 'last-event-id': `${runId}:${after}` },
  })
}

/** Says a word, and the rest when it may. */
function replyUntil(until: Promise<void>) {
  return streamReply({
    text: ['So far', ' and on.'],
    before: (i) => (i === 0 ? undefined : { type: 'wait', until }),
  })
}

describe('SIGTERM while a run streams', () => {
  test('refuses new runs, lets this one finish, and ends well', async () => {
    const server = await start()
    const gate = deferred()
    upstream.reply(replyUntil(gate.promise))
    const { begun, reading } = streamRun(server)
    await begun
    server.signal('SIGTERM')
    await server.logged(({ msg }) => msg === 'draining')

    for (const [path, body] of [
      ['/chat', { message: 'more' }],
      ['/stream', { input: 'more' }],
      ['/stream?message=more', undefined],
      [nativeRuns, { input: 'more', stream: true }],
      ['/ready', undefined],
    ] as const) {
      const refused = await server.request(path, body)
      expect([path, refused.status]).toEqual([path, 503])
      expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
      expect(await refused.json()).toMatchObject({ code: 'draining' })
    }
    expect((await server.request('/health')).status).toBe(200)
    expect(await server.json('/v1/runs')).toMatchObject({ data: [{ status: 'running' }] })

    gate.resolve()
    const { frames, ended } = await reading
    expect(ended).toBe(true)
    expect(textOf(frames)).toBe('So far and on.')
    expect(frames.at(-1)?.event).toMatchObject({ type: 'run.end', status: 'completed' })
    expect(await server.exited).toEqual({ code: 0, signal: null })
    expect(server.log().filter(({ level }) => level === 'error')).toEqual([])
    expect(upstream.requests).toHaveLength(1)
  })

  test('gives back a run that takes longer than the grace: the next process takes it up again', async () => {
    const first = await start({ SHUTDOWN_GRACE: '50ms' })
    upstream.replyAlways(hanging)
    const body = { input: 'hi', stream: true, session_id: 'only' }
    const stream = await openRequest(first.port, nativeRuns, { body })
    await stream.until((text) => text.includes('"type":"text.delta"'))
    const typed = await openRequest(first.port, '/stream?message=hi')
    await typed.until((text) => text.includes('step_start'))
    const { outcome } = await upstream.request(0)
    first.signal('SIGINT')
    // The responses are whole and say why they end, but the runs have no end yet: clients shall come back.
    const text = await stream.body()
    expect(text).toMatch(/\n\nevent: error\ndata: \{"type":"error",[^\n]*"code":"draining"[^\n]*\}\n\n$/)
    expect(text).not.toContain('run.end')
    expect(await typed.body()).toMatch(
      /"type":"error","data":\{"error":"This node is shutting down\."\}.*\n\n$/,
    )
    expect(await outcome).toBe('closed')
    expect(await first.exited).toEqual({ code: 0, signal: null })
    expect(first.log().filter(({ level }) => level === 'error')).toEqual([])

    upstream.replyAlways(streamReply({ text: ['The whole ', 'answer.'] }))
    const second = await start()
    const runId = /"run_id":"(run_\w+)"/.exec(text)![1]!
    const ids = [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id))
    const rest = await readOn(second, runId, ids.at(-1)!)
    const { frames: whole } = await readFrames({ url: second.url, path: `/v1/runs/${runId}/events` })
    expect(whole.map(({ seq }) => seq)).toEqual([...ids, ...rest.frames.map(({ seq }) => seq)])
    const retry = whole.findIndex(({ event }) => event.type === 'step.retry')
    expect(whole[retry]?.event).toMatchObject({ reason: 'node_drain' })
    expect(textOf(whole.slice(retry))).toBe('The whole answer.')
    expect(whole.at(-1)?.event).toMatchObject({ type: 'run.end', status: 'completed' })
    expect(await second.json(`/v1/runs/${runId}`)).toMatchObject({
      status: 'completed',
      output: 'The whole answer.',
    })
    expect(await second.stop()).toBe(0)
  })

  test('twice ends it at once', async () => {
    const server = await start()
    upstream.reply(hanging)
    const { begun, reading } = streamRun(server)
    await begun
    // The first of them that is no echo of the first one ends it.
    const signals = setInterval(() => server.signal('SIGTERM'), 100)
    onTestFinished(() => clearInterval(signals))
    expect(await server.exited).toEqual({ code: 1, signal: null })
    expect((await reading).ended).toBe(false)
  })

  test('is one signal where it comes twice in a moment, as npm passes on what a terminal has sent already', async () => {
    const server = await start()
    const gate = deferred()
    upstream.reply(replyUntil(gate.promise))
    const { begun, reading } = streamRun(server)
    await begun
    server.signal('SIGINT')
    await server.logged(({ msg }) => msg === 'draining')
    server.signal('SIGINT')
    gate.resolve()
    expect((await reading).ended).toBe(true)
    expect(await server.exited).toEqual({ code: 0, signal: null })
  })
})

test('a server that npm runs ends well when what npm started it in is killed', async () => {
  const launcher = startProcess({
    // As npm does: in a shell, which does not tell it of the signal.
    args: [
      '-e',
      `require('node:child_process').spawn(process.execPath, [${JSON.stringify(join(root, 'src/cli/main.ts'))}, 'serve'], { stdio: 'inherit' })`,
    ],
    cwd: dataDir.path,
    environment: { SERVER_PORT: '0', DATA_DIR: dataDir.path, npm_lifecycle_event: 'start' },
  })
  await launcher.listening
  launcher.signal('SIGKILL')
  // When nobody holds its output any more.
  await launcher.exited
  expect(launcher.log().map(({ msg }) => msg)).toEqual(expect.arrayContaining(['draining', 'stopped']))
})

test('SIGTERM ends a server that has nothing to do, also with idle connections', async () => {
  const server = await start()
  const idle = await openRequest(server.port, '/health', { headers: { connection: 'keep-alive' } })
  await idle.until((text) => text.includes('healthy'))
  expect(await server.stop()).toBe(0)
})

test('kill -9 while a reply streams: the reader that comes back sees the jump, why, and the end', async () => {
  const first = await start()
  upstream.reply(hanging)
  const { begun, reading } = streamRun(first)
  await begun
  const { outcome } = await upstream.request(0)
  first.signal('SIGKILL')
  await first.exited
  const { frames, ended } = await reading
  expect(ended).toBe(false)
  expect(typesOf(frames)).toEqual(['run.start', 'step.start', 'text.start', 'text.delta'])
  expect(await outcome).toBe('closed')

  const gate = deferred()
  const text = ['The whole ', 'answer.']
  const before = (i: number) => (i === 0 ? undefined : ({ type: 'wait', until: gate.promise } as const))
  upstream.reply(streamReply({ text, before }))
  const second = await start()
  const runId = runIdOf(frames)
  const resumed = readOn(second, runId, frames.at(-1)!.seq)
  // The run goes on whether its reader is back or not.
  await upstream.request(1)
  gate.resolve()
  const rest = await resumed
  expect(typesOf(rest.frames)).toEqual([
    'run.start',
    'step.retry',
    'step.start',
    'text.start',
    'text.delta',
    'text.delta',
    'text.end',
    'step.end',
    'run.end',
  ])
  const [begin, retry] = rest.frames
  // The first attempt had committed nothing but its start.
  expect(begin).toMatchObject({ seq: 1 + attemptGap, event: { attempt: 2 } })
  expect(retry?.event).toMatchObject({ step: 0, reason: 'node_lost' })
  expect(textOf(rest.frames)).toBe('The whole answer.')
  expect(rest.frames.at(-1)?.event).toMatchObject({ status: 'completed' })
  // The provider is asked the same again.
  expect(upstream.requests[1]?.body).toEqual(upstream.requests[0]?.body)

  upstream.reply(streamReply({ text: ['Yes.'] }))
  expect(await second.json('/chat', { message: 'Still there?', session_id: 'only' })).toMatchObject({
    answer: 'Yes.',
  })
  const { messages } = upstream.requests[2]!.body as { messages: { role: string; content: string }[] }
  expect(messages.slice(1).map(({ content }) => content)).toEqual(['hi', 'The whole answer.', 'Still there?'])
  expect(await second.stop()).toBe(0)
})
