import { createServer } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { cutIntoWords } from '../models/scripted.ts'

/** What the upstream does next in one reply. Each write is a write of its own to the socket. */
export type UpstreamStep =
  /** An event: `data: {json}`. */
  | { type: 'chunk'; chunk: unknown }
  /** Exactly these bytes of the body. */
  | { type: 'raw'; bytes: string | Uint8Array }
  /** Goes on when the promise resolves: a test decides when. */
  | { type: 'wait'; until: Promise<unknown> }
  /** Closes the socket without ending the body. */
  | { type: 'destroy' }
  /** Says nothing more, and keeps the connection open until the client closes it. */
  | { type: 'silence' }

/** One reply. The body ends after the last step. */
export interface UpstreamReply {
  /** Default 200. */
  status?: number
  /** Default `content-type: text/event-stream`. */
  headers?: Record<string, string>
  steps: readonly UpstreamStep[]
  /** The steps write to the bare socket: status line and headers, too, are up to them. */
  wire?: true
}

export interface UpstreamRequest {
  method: string
  path: string
  headers: IncomingHttpHeaders
  /** Parsed; the text itself where it is no JSON. */
  body: unknown
  /** Of `Authorization: Bearer`. Undefined: none was sent. */
  key: string | undefined
  /** From 0, the same for all requests of one connection. */
  connection: number
  /** Resolves when the reply is over: `ended` by the script, or `closed` because the client closed its socket first. */
  outcome: Promise<'ended' | 'closed'>
}

/** A reply, or the text of one that is streamed word by word. */
export type UpstreamAnswer = UpstreamReply | string

export interface UpstreamServerOptions {
  /** As `reply` adds them. */
  replies?: readonly UpstreamAnswer[]
  /** The keys that are taken. A request with another one, or none, gets status 401. Absent: all are. */
  keys?: readonly string[]
}

export interface UpstreamServer {
  /** `http://127.0.0.1:…/v1` */
  readonly baseURL: string
  /** All requests so far, oldest first. */
  readonly requests: readonly UpstreamRequest[]
  /** Adds replies: each request takes the oldest one that is left. */
  reply(...replies: UpstreamAnswer[]): void
  /** What a request gets when no reply is left. Default: status 500. */
  replyAlways(reply: UpstreamAnswer | ((request: UpstreamRequest) => UpstreamAnswer)): void
  /** What each request with this key gets from now on, whatever else there is to reply: such as `errorReply(429, …)`. */
  refuse(key: string, reply: UpstreamReply): void
  /** Takes a refusal back. */
  accept(key: string): void
  /** The request with this number, from 0, as soon as it is there and read. */
  request(number: number): Promise<UpstreamRequest>
  /** Open connections now. */
  connections(): number
  /** Resolves when no connection is open. */
  idle(): Promise<void>
  /** Closes connections that wait for a request, as a server does whose patience has ended. */
  closeIdle(): void
  close(): Promise<void>
}

/**
 * A provider on loopback that speaks OpenAI's chat completions and says what it was told to: for tests that need a real
 * socket between agent and model. Takes any path; streams whether it was asked to or not. Close it after the server that
 * asks it.
 *
 * @example
 * const upstream = await createUpstreamServer({ replies: ['Hello.'] })
 * const server = await createTestServer({ llmBaseUrl: upstream.baseURL, llmDefaultModel: 'any' })
 */
export async function createUpstreamServer(options: UpstreamServerOptions = {}): Promise<UpstreamServer> {
  const requests: UpstreamRequest[] = []
  const queue: UpstreamAnswer[] = [...(options.replies ?? [])]
  const refusals = new Map<string, UpstreamReply>()
  const sockets = new Map<Socket, number>()
  const waiting = new Map<number, (request: UpstreamRequest) => void>()
  const idlers = new Set<() => void>()
  let always: (request: UpstreamRequest) => UpstreamAnswer = () => errorReply(500, 'no reply is left')
  let connectionCount = 0

  const server = createServer({ keepAliveTimeout: 60_000 }, (incoming, response) => {
    void answer(incoming, response).catch((error: unknown) => {
      // A fault of the script: the client sees a broken connection, the test its own error.
      response.destroy(error instanceof Error ? error : undefined)
    })
  })
  server.on('connection', (socket) => {
    socket.setNoDelay(true)
    sockets.set(socket, connectionCount++)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      sockets.delete(socket)
      if (sockets.size === 0) for (const resolve of idlers) resolve()
    })
  })

  async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(incoming)
    const request: UpstreamRequest = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      headers: incoming.headers,
      body,
      key: /^Bearer (.+)$/i.exec(incoming.headers.authorization ?? '')?.[1],
      connection: sockets.get(incoming.socket) ?? -1,
      outcome: new Promise((resolve) => {
        response.on('close', () => resolve(response.writableFinished ? 'ended' : 'closed'))
      }),
    }
    requests.push(request)
    const number = requests.length - 1
    waiting.get(number)?.(request)
    waiting.delete(number)
    const answer = refusalOf(request.key) ?? queue.shift() ?? always(request)
    await play(typeof answer === 'string' ? streamReply({ text: cutIntoWords(answer) }) : answer, response)
  }

  function refusalOf(key: string | undefined): UpstreamReply | undefined {
    const refusal = key === undefined ? undefined : refusals.get(key)
    if (refusal || !options.keys || (key !== undefined && options.keys.includes(key))) return refusal
    return errorReply(401, 'Incorrect API key provided.', { error: { code: 'invalid_api_key' } })
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // A server that listens on TCP has an address with a port.
  const { port } = server.address() as AddressInfo

  return {
    baseURL: `http://127.0.0.1:${port}/v1`,
    requests,
    reply: (...replies) => void queue.push(...replies),
    replyAlways(reply) {
      always = typeof reply === 'function' ? reply : () => reply
    },
    refuse: (key, reply) => void refusals.set(key, reply),
    accept: (key) => void refusals.delete(key),
    request(number) {
      const there = requests[number]
      return there ? Promise.resolve(there) : new Promise((resolve) => waiting.set(number, resolve))
    },
    connections: () => sockets.size,
    idle: () =>
      new Promise((resolve) => {
        if (sockets.size === 0) resolve()
        else idlers.add(resolve)
      }),
    closeIdle: () => server.closeIdleConnections(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets.keys()) socket.destroy()
      }),
  }
}

async function readBody(incoming: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString('utf8')
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

async function play(reply: UpstreamReply, response: ServerResponse): Promise<void> {
  const closed = new Promise<void>((resolve) => response.once('close', resolve))
  if (!reply.wire) {
    response.writeHead(reply.status ?? 200, reply.headers ?? { 'content-type': 'text/event-stream' })
    response.flushHeaders()
  }
  for (const [i, step] of reply.steps.entries()) {
    if (response.destroyed) return
    if (step.type === 'destroy') return void response.socket?.destroy()
    else if (step.type === 'silence') return closed
    else if (step.type === 'wait') await Promise.race([step.until, closed])
    else if (reply.wire) await write(response.socket, bytesOf(step))
    // The last bytes and the end of the body go together, as with most servers.
    else if (i === reply.steps.length - 1) return void response.end(bytesOf(step))
    else await write(response, bytesOf(step))
  }
  if (!reply.wire) response.end()
}

type Writing = Extract<UpstreamStep, { type: 'chunk' | 'raw' }>

function bytesOf(step: Writing): string | Uint8Array {
  return step.type === 'raw' ? step.bytes : `data: ${JSON.stringify(step.chunk)}\n\n`
}

/** Resolves when the bytes went to the system, so that the next write is another segment. */
function write(target: Socket | ServerResponse | null, bytes: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (!target || target.destroyed) resolve()
    else target.write(bytes, () => setImmediate(resolve))
  })
}

export interface UpstreamToolCall {
  name: string
  /** The argument text, one delta each. */
  arguments: readonly string[]
  /** Default `call_0`, `call_1`… */
  id?: string
}

export interface StreamReplyOptions {
  reasoning?: readonly string[]
  /** One delta each. */
  text?: readonly string[]
  toolCalls?: readonly UpstreamToolCall[]
  /** Default `tool_calls` where there are any, else `stop`. */
  finishReason?: string
  /** Default 10 tokens in, 5 out; null: none is sent. */
  usage?: Record<string, unknown> | null
  /** The step before each text delta: a gate of the test. */
  before?: (delta: number) => UpstreamStep | undefined
  /** Instead of an end: silence until the client closes, or a broken connection. */
  cut?: 'silence' | 'destroy'
}

/** A reply as OpenAI streams it. */
export function streamReply(options: StreamReplyOptions): UpstreamReply {
  const calls = options.toolCalls ?? []
  const steps: UpstreamStep[] = [chunkOf({ role: 'assistant', content: '' })]
  for (const delta of options.reasoning ?? []) steps.push(chunkOf({ reasoning_content: delta }))
  options.text?.forEach((delta, i) => {
    const before = options.before?.(i)
    if (before) steps.push(before)
    steps.push(chunkOf({ content: delta }))
  })
  calls.forEach((call, index) => steps.push(...toolCallSteps(call, index)))
  if (options.cut) return { steps: [...steps, { type: options.cut }] }
  steps.push(finishOf(options.finishReason ?? (calls.length > 0 ? 'tool_calls' : 'stop')))
  if (options.usage !== null) {
    const usage = options.usage ?? { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }
    steps.push({ type: 'chunk', chunk: { ...envelope, choices: [], usage } })
  }
  steps.push(doneStep)
  return { steps }
}

/** A failure, with a body as OpenAI sends it. `error` adds to it: `{ code: 'context_length_exceeded' }`. */
export function errorReply(
  status: number,
  message: string,
  options: { error?: Record<string, unknown>; headers?: Record<string, string> } = {},
): UpstreamReply {
  const body = { error: { message, type: 'error', param: null, code: null, ...options.error } }
  return jsonReply(body, { status, headers: options.headers })
}

/** Any JSON in one piece. */
export function jsonReply(
  body: unknown,
  options: { status?: number; headers?: Record<string, string> | undefined } = {},
): UpstreamReply {
  return {
    status: options.status ?? 200,
    headers: { 'content-type': 'application/json', ...options.headers },
    steps: [rawStep(JSON.stringify(body))],
  }
}

const envelope = {
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 1_760_000_000,
  model: 'test-model',
}

/** An event whose choice has this delta. */
export function chunkOf(delta: Record<string, unknown>): UpstreamStep {
  return {
    type: 'chunk',
    chunk: { ...envelope, choices: [{ index: 0, delta, logprobs: null, finish_reason: null }] },
  }
}

/** The event that says why the reply ends. */
export function finishOf(reason: string): UpstreamStep {
  return {
    type: 'chunk',
    chunk: { ...envelope, choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: reason }] },
  }
}

export function rawStep(bytes: string | Uint8Array): UpstreamStep {
  return { type: 'raw', bytes }
}

export const doneStep: UpstreamStep = { type: 'raw', bytes: 'data: [DONE]\n\n' }

function toolCallSteps(call: UpstreamToolCall, index: number): UpstreamStep[] {
  const first = {
    index,
    id: call.id ?? `call_${index}`,
    type: 'function',
    function: { name: call.name, arguments: '' },
  }
  return [
    chunkOf({ tool_calls: [first] }),
    ...call.arguments.map((text) => chunkOf({ tool_calls: [{ index, function: { arguments: text } }] })),
  ]
}
