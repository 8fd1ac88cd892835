import { createServer, type AddressInfo, type Socket } from 'node:net'
import { token } from '../models.ts'
import { answerCalls } from './calls.ts'

/*
 * A server that does as little as possible, OpenAI-compatible or, at `/v1/messages`, like Anthropic: a bare socket, buffers
 * made beforehand, no parsing but that of the request's length, path and model. It must not be what a benchmark measures.
 */

interface Reply {
  socket: Socket
  left: number
  wire: Wire
}

/** What is written for a stream. */
interface Wire {
  start: Buffer
  token: Buffer
  end: Buffer
}

const events = {
  role: chunkOf({ delta: { role: 'assistant', content: '' }, finish_reason: null }),
  token: chunkOf({ delta: { content: token }, finish_reason: null }),
  end:
    chunkOf({ delta: {}, finish_reason: 'stop' }) +
    event({ choices: [], usage: { prompt_tokens: 10, completion_tokens: 100, total_tokens: 110 } }) +
    'data: [DONE]\n\n',
}
const streamHead =
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n'
const openai = toWire(events.role, events.token, events.end)
const anthropic = toWire(
  message('message_start', { message: { id: 'msg_bench', role: 'assistant', usage: { input_tokens: 10 } } }) +
    message('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
  message('content_block_delta', { index: 0, delta: { type: 'text_delta', text: token } }),
  message('content_block_stop', { index: 0 }) +
    message('message_delta', { delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 100 } }) +
    message('message_stop'),
)
const writes = {
  shortStream: Buffer.from(
    `${streamHead}${framed(events.role + events.token.repeat(8) + events.end)}0\r\n\r\n`,
  ),
  shortAnswer: Buffer.from(shortAnswer()),
}

const turns = new Set<Reply>()
/** When sockets that were in the middle of a reply closed, on the clock all processes share, in nanoseconds. */
let cuts: string[] = []
let replying = 0

function chunkOf(choice: object): string {
  return event({ choices: [{ index: 0, ...choice }] })
}

function event(fields: object): string {
  const head = {
    id: 'chatcmpl-bench',
    object: 'chat.completion.chunk',
    created: 1_750_000_000,
    model: 'bench',
  }
  return `data: ${JSON.stringify({ ...head, ...fields })}\n\n`
}

/** An event of Anthropic's. */
function message(type: string, fields: object = {}): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`
}

function toWire(start: string, one: string, end: string): Wire {
  return {
    start: Buffer.from(streamHead + framed(start)),
    token: Buffer.from(framed(one)),
    end: Buffer.from(`${framed(end)}0\r\n\r\n`),
  }
}

function framed(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
}

function shortAnswer(): string {
  const body = JSON.stringify({
    id: 'chatcmpl-bench',
    object: 'chat.completion',
    created: 1_750_000_000,
    model: 'bench',
    choices: [{ index: 0, message: { role: 'assistant', content: token.repeat(8) }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 10, completion_tokens: 8, total_tokens: 18 },
  })
  return `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

const server = createServer({ noDelay: true }, (socket) => {
  let received = ''
  const state = { busy: false }
  socket.on('data', (data) => {
    received += data.toString('latin1')
    const body = takeBody(received)
    if (body === undefined) return
    const wire = received.startsWith('POST /v1/messages ') ? anthropic : openai
    received = ''
    answer({ socket, body, wire, state })
  })
  socket.on('error', () => socket.destroy())
  socket.on('close', () => {
    if (!state.busy) return
    replying--
    cuts.push(String(process.hrtime.bigint()))
  })
})

/** The body of a request that is complete. Requests are not pipelined. */
function takeBody(text: string): string | undefined {
  const head = text.indexOf('\r\n\r\n')
  if (head === -1) return undefined
  const length = /content-length: *(\d+)/i.exec(text)
  const body = text.slice(head + 4)
  return body.length >= Number(length?.[1] ?? 0) ? body : undefined
}

function answer(input: { socket: Socket; body: string; wire: Wire; state: { busy: boolean } }): void {
  const { socket, body, wire, state } = input
  const match = /"model":"([a-z]+)(?:-(\d+)-(\d+))?"/.exec(body)
  if (match?.[1] === 'short') {
    socket.write(body.includes('"stream":true') ? writes.shortStream : writes.shortAnswer)
    return
  }
  state.busy = true
  replying++
  socket.write(wire.start)
  const finish = () => {
    state.busy = false
    replying--
    socket.write(wire.end)
  }
  if (match?.[1] === 'hang') {
    socket.write(wire.token)
    return
  }
  const count = Number(match?.[2] ?? 1)
  const everyMs = Number(match?.[3] ?? 0)
  if (everyMs === 0) takeTurns({ socket, left: count, wire }, finish)
  else pace({ socket, left: count, wire }, everyMs, finish)
}

/** One token per stream and turn of the event loop, so that streams advance side by side. */
function takeTurns(reply: Reply, finish: () => void): void {
  const start = turns.size === 0
  turns.add(reply)
  finishers.set(reply, finish)
  if (start) setImmediate(takeTurn)
}

const finishers = new Map<Reply, () => void>()

function takeTurn(): void {
  for (const reply of turns) {
    const { socket, wire } = reply
    if (socket.writableNeedDrain) continue
    if (!socket.destroyed && reply.left-- > 0) {
      socket.write(wire.token)
      continue
    }
    turns.delete(reply)
    if (!socket.destroyed) finishers.get(reply)?.()
    finishers.delete(reply)
  }
  if (turns.size > 0) setImmediate(takeTurn)
}

/** The first token at once, then one every so often, by a schedule that does not drift. */
function pace(reply: Reply, everyMs: number, finish: () => void): void {
  const startedAt = performance.now()
  const count = reply.left
  const next = () => {
    if (reply.socket.destroyed) return
    if (reply.left-- === 0) return finish()
    reply.socket.write(reply.wire.token)
    setTimeout(next, startedAt + (count - reply.left) * everyMs - performance.now())
  }
  next()
}

const calls = {
  /** Takes the times at which replies were cut off. */
  takeCuts: (): string[] => {
    const taken = cuts
    cuts = []
    return taken
  },
  /** Replies under way. */
  replying: (): number => replying,
}
export type UpstreamCalls = typeof calls

server.listen(0, '127.0.0.1', () => {
  // A server on a TCP port has an address of this kind once it listens.
  answerCalls(calls, { port: (server.address() as AddressInfo).port })
})
