import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { errorCodes, type ErrorCode } from '../../src/errors.ts'
import {
  createUpstreamServer,
  type UpstreamReply,
  type UpstreamRequest,
  type UpstreamServer,
} from '../../src/testing/upstream-server.ts'
import { readFrames, type Reading } from '../runs/frame-client.ts'
import { createDataDir, startServer, upstreamKey, type CliServer } from './cli-server.ts'
import { answer, marker, troubles, type Trouble } from './upstream-troubles.ts'

const nativeRuns = '/v1/agents/assistant/runs'

/** What the clients of one trouble saw, each with a run of its own. */
interface Outcome {
  stream: Reading
  run: { id: string; status: string; output: string | null; error: { code: string; message: string } | null }
  chat: { status: number; body: Record<string, unknown> }
  /** Whole bodies. */
  rawText: string
  typed: string
  /** The times at which the provider was asked for the native stream, and what. */
  asked: { at: number; body: UpstreamRequest['body'] }[]
}

let upstream: UpstreamServer
let dataDir: Awaited<ReturnType<typeof createDataDir>>
let server: CliServer
/** Everything that was answered. */
const wire: string[] = []
const asked = new Map<string, Outcome['asked']>()
const outcomes = new Map<Trouble, Promise<Outcome>>()

// All troubles at the same time on one server: most of each is waiting.
beforeAll(async () => {
  ;[upstream, dataDir] = await Promise.all([createUpstreamServer(), createDataDir()])
  upstream.replyAlways(replyTo)
  server = await startServer({
    dataDir: dataDir.path,
    upstream,
    environment: { MODEL_STALL_TIMEOUT: '1s', LOG_LEVEL: 'debug' },
  })
  for (const [index, trouble] of troubles.entries()) {
    const outcome = collect(trouble, index)
    // Each test looks at its own.
    outcome.catch(() => undefined)
    outcomes.set(trouble, outcome)
  }
})

afterAll(async () => {
  const code = await server.stop()
  await Promise.all([upstream.close(), dataDir.remove()])
  expect(code).toBe(0)
})

/** The prompt tells which trouble is meant, and for whom: `3 chat`. */
function replyTo(request: UpstreamRequest): UpstreamReply {
  const { messages } = request.body as { messages: { role: string; content: string }[] }
  const prompt = messages.findLast(({ role }) => role === 'user')!.content
  const past = asked.get(prompt) ?? []
  asked.set(prompt, [...past, { at: performance.now(), body: request.body }])
  const { replies } = troubles[Number.parseInt(prompt)]!
  return replies[Math.min(past.length, replies.length - 1)]!
}

async function collect(trouble: Trouble, index: number): Promise<Outcome> {
  const [native, chat, rawText, typed] = await Promise.all([
    collectNative(index),
    send('/chat', { message: `${index} chat` }),
    send('/stream', { input: `${index} raw` }),
    send(`/stream?message=${index}%20typed`),
  ])
  return {
    ...native,
    chat: { status: chat.status, body: JSON.parse(chat.text) as Record<string, unknown> },
    rawText: rawText.text,
    typed: typed.text,
    asked: asked.get(`${index} native`) ?? [],
  }
}

async function collectNative(index: number): Promise<Pick<Outcome, 'stream' | 'run'>> {
  const stream = await readFrames({
    url: server.url,
    method: 'POST',
    path: nativeRuns,
    body: { input: `${index} native`, stream: true, session_id: `trouble-${index}` },
  })
  wire.push(...stream.frames.map(({ bytes }) => bytes), JSON.stringify([...stream.headers]))
  const start = stream.frames[0]!.event
  if (start.type !== 'run.start') throw new Error(`the stream begins with ${start.type}`)
  const [run] = await Promise.all([
    send(`/v1/runs/${start.run_id}`),
    send(`/v1/runs/${start.run_id}/events`),
    send(`/v1/conversations/${start.conversation_id!}`),
    send(`/v1/conversations/${start.conversation_id!}/items`),
  ])
  return { stream, run: JSON.parse(run.text) as Outcome['run'] }
}

async function send(path: string, body?: unknown): Promise<{ status: number; text: string }> {
  const response = await server.request(path, body)
  const text = await response.text()
  wire.push(JSON.stringify([...response.headers]), text)
  return { status: response.status, text }
}

function numberOf(outcome: Outcome, type: string): number {
  return outcome.stream.frames.filter(({ event }) => event.type === type).length
}

describe('a provider that', () => {
  test.each(troubles.map((trouble) => [trouble.name, trouble] as const))('%s', async (_name, trouble) => {
    const outcome = await outcomes.get(trouble)!
    if (trouble.requests !== undefined) expect(outcome.asked).toHaveLength(trouble.requests)
    if (trouble.pauseMs !== undefined) {
      expect(outcome.asked[1]!.at - outcome.asked[0]!.at).toBeGreaterThan(trouble.pauseMs)
    }
    expect(outcome.stream.ended).toBe(true)
    expect(numberOf(outcome, 'run.end')).toBe(1)
    expect(outcome.stream.frames.at(-1)?.event.type).toBe('run.end')
    expect(numberOf(outcome, 'step.retry')).toBe(trouble.retries ?? 0)
    expect(outcome.rawText.split('event: retry').length - 1).toBe(trouble.retries ?? 0)
    if (trouble.code) expectFailure(outcome, { ...trouble, code: trouble.code })
    else expectAnswer(outcome)
  })

  function expectAnswer({ stream, run, chat, rawText, typed }: Outcome): void {
    expect(stream.frames.at(-1)?.event).toMatchObject({ status: 'completed', error: null })
    expect(run).toMatchObject({ status: 'completed', output: answer, error: null })
    expect(chat).toMatchObject({ status: 200, body: { answer, completed: true } })
    expect(rawText).toMatch(/event: done\ndata: \[DONE\]\n\n$/)
    expect(typed).toContain(`"type":"run_end","data":{"answer":"${answer}"}`)
  }

  function expectFailure(outcome: Outcome, { code, partial }: Trouble & { code: ErrorCode }): void {
    const { stream, run, chat, rawText, typed } = outcome
    const message = `${errorCodes[code].title}.`
    expect(stream.frames.at(-1)?.event).toMatchObject({
      status: 'failed',
      stop_reason: code === 'content_filter' ? 'content_filter' : 'error',
      error: { code, message },
    })
    expect(run).toMatchObject({ status: 'failed', output: partial ?? null, error: { code, message } })
    expect(chat).toMatchObject({ status: errorCodes[code].status, body: { code, detail: message } })
    expect(rawText).toMatch(/event: error\ndata: [^\n]+\n\n$/)
    expect(rawText).toContain(`event: error\ndata: ${message}\n\n`)
    expect(typed).toContain(`"type":"error","data":{"error":${JSON.stringify(message)}}`)
  }
})

describe('a provider that gives its tool calls', () => {
  test.each(['empty ids', 'one id'])('%s is told their results under ids of ours', async (name) => {
    const trouble = troubles.find((candidate) => candidate.name === `gives its tool calls ${name}`)!
    const { asked: requests } = await outcomes.get(trouble)!
    const { messages } = requests[1]!.body as {
      messages: { role: string; content: string; tool_call_id?: string; tool_calls?: { id: string }[] }[]
    }
    const ids = messages.flatMap((message) => message.tool_calls?.map(({ id }) => id) ?? [])
    expect(ids).toHaveLength(2)
    expect(new Set(ids).size).toBe(2)
    expect(messages.filter(({ role }) => role === 'tool')).toEqual([
      { role: 'tool', tool_call_id: ids[0], content: '2' },
      { role: 'tool', tool_call_id: ids[1], content: '4' },
    ])
  })
})

describe('nothing that a provider says of its troubles, and no key,', () => {
  test('reaches a client', async () => {
    await Promise.all(outcomes.values())
    const text = wire.join('\n')
    expect(text).toContain(answer)
    expect(text).not.toContain(marker)
    expect(text).not.toContain(upstreamKey)
  })

  test('stands in the log above debug, which names each failure by its code', async () => {
    const settled = await Promise.all(outcomes.values())
    expect(server.output()).not.toContain(upstreamKey)
    const lines = server.log()
    const told = lines.filter((line) => JSON.stringify(line).includes(marker))
    expect(told.length).toBeGreaterThan(0)
    for (const { level, said, ...rest } of told) {
      expect(level).toBe('debug')
      expect(said).toContain(marker)
      expect(JSON.stringify(rest)).not.toContain(marker)
    }
    const others = server
      .output()
      .split('\n')
      .filter((line) => !line.startsWith('{'))
    expect(others.join('\n')).not.toContain(marker)
    expect(lines.filter(({ level }) => level === 'error')).toEqual([])
    const codes = new Map(
      lines.filter(({ msg }) => msg === 'run failed').map((line) => [line['run_id'], line['code']]),
    )
    const failed = settled.filter(({ run }) => run.status === 'failed')
    for (const { run } of failed) expect(codes.get(run.id)).toBe(run.error?.code)
    // The four clients of each trouble.
    expect(codes.size).toBe(failed.length * 4)
  })
})

test('a provider that cannot be reached fails a run once it was tried again', async () => {
  const gone = await createUpstreamServer()
  await gone.close()
  const folder = await createDataDir()
  const alone = await startServer({ dataDir: folder.path, upstream: gone })
  try {
    const response = await alone.request('/chat', { message: 'hi' })
    expect(response.status).toBe(errorCodes.model_unavailable.status)
    expect(await response.json()).toMatchObject({
      code: 'model_unavailable',
      detail: 'The model provider does not answer or fails.',
    })
    const tries = alone.log().filter(({ msg }) => msg === 'model call failed, trying again')
    expect(tries).toHaveLength(2)
    expect(tries[0]).toMatchObject({
      level: 'warn',
      code: 'model_unavailable',
      err: { code: 'ECONNREFUSED' },
    })
    expect(await alone.json('/health')).toMatchObject({ status: 'healthy' })
  } finally {
    expect(await alone.stop()).toBe(0)
    await folder.remove()
  }
})
