import type { ErrorCode } from '../../src/errors.ts'
import {
  chunkOf,
  doneStep,
  errorReply,
  finishOf,
  rawStep,
  streamReply,
  type UpstreamReply,
  type UpstreamStep,
} from '../../src/testing/upstream-server.ts'
import { upstreamKey } from './cli-server.ts'

/** Stands in everything a provider in trouble says. Nobody but the provider may ever see it. */
export const marker = 'SECRET-UPSTREAM-TEXT'

export interface Trouble {
  /** What the provider does. */
  name: string
  /** To the first request, the second…; the last also to all that follow. */
  replies: [UpstreamReply, ...UpstreamReply[]]
  /** How the run fails; absent: it completes with `answer`. */
  code?: ErrorCode
  /** How often the provider is asked. Absent: it depends on whether a kept connection was used. */
  requests?: number
  /** How often the client is told that a step starts again: only where it had seen something of it. */
  retries?: number
  /** What is left of the last try. Only where the run fails. */
  partial?: string
  /** The least time between the first request and the second. */
  pauseMs?: number
}

export const answer = 'All of it.'

const ok = streamReply({ text: ['All ', 'of it.'] })
const half: UpstreamStep = chunkOf({ content: 'Half ' })
const html = rawStep(`<!doctype html><html><body><h1>${marker}</h1></body></html>`)

/** A failure. Without a wish of its own the provider asks for the next try at once, so that the tests need not wait. */
function refuse(
  status: number,
  error: Record<string, unknown> = {},
  headers: Record<string, string> = { 'retry-after-ms': '10' },
): UpstreamReply {
  const message = `${marker}: the key ${upstreamKey} is not welcome`
  return errorReply(status, message, { error, headers: { 'x-upstream': marker, ...headers } })
}

function bare(...bytes: string[]): UpstreamReply {
  return { wire: true, steps: [...bytes.map((text) => rawStep(text)), { type: 'destroy' }] }
}

function afterHalf(...steps: UpstreamStep[]): UpstreamReply {
  return { headers: { 'content-type': 'text/event-stream', 'x-upstream': marker }, steps: [half, ...steps] }
}

function errorStep(error: Record<string, unknown>): UpstreamStep {
  return { type: 'chunk', chunk: { error: { message: marker, ...error } } }
}

/** Two calls of the calculator under one id, in one reply. */
function twoCalls(id: string): UpstreamReply {
  const call = (expression: string) => ({
    name: 'calculator',
    arguments: [`{"expression":"${expression}"}`],
    id,
  })
  return streamReply({ toolCalls: [call('1+1'), call('2+2')] })
}

const refusals: Trouble[] = [
  { name: 'answers 500 once', replies: [refuse(500), ok], requests: 2 },
  { name: 'answers 500 always', replies: [refuse(500)], code: 'model_unavailable', requests: 3 },
  { name: 'answers 408 once', replies: [refuse(408), ok], requests: 2 },
  {
    name: 'limits the rate and asks for a second',
    replies: [refuse(429, {}, { 'retry-after': '1' }), ok],
    requests: 2,
    pauseMs: 990,
  },
  {
    name: 'limits the rate and asks for an hour',
    replies: [refuse(429, {}, { 'retry-after': '3600' })],
    code: 'model_rate_limited',
    requests: 1,
  },
  {
    name: 'says that the quota is used up',
    replies: [refuse(429, { code: 'insufficient_quota' })],
    code: 'model_rate_limited',
    requests: 1,
  },
  { name: 'answers 401', replies: [refuse(401)], code: 'model_auth_failed', requests: 1 },
  { name: 'answers 403', replies: [refuse(403)], code: 'model_auth_failed', requests: 1 },
  { name: 'answers 400', replies: [refuse(400)], code: 'model_refused', requests: 1 },
  {
    name: 'says that the context is too long',
    replies: [refuse(400, { code: 'context_length_exceeded' })],
    code: 'context_length_exceeded',
    requests: 1,
  },
  {
    name: 'refuses the content',
    replies: [refuse(400, { code: 'content_filter' })],
    code: 'content_filter',
    requests: 1,
  },
  {
    name: 'points elsewhere',
    replies: [{ status: 302, headers: { location: `http://127.0.0.1:9/${marker}` }, steps: [html] }],
    code: 'model_refused',
    requests: 1,
  },
  {
    name: 'is a gateway whose own upstream is gone, once',
    replies: [
      { status: 502, headers: { 'content-type': 'text/html', 'retry-after-ms': '10' }, steps: [html] },
      ok,
    ],
    requests: 2,
  },
]

const garbage: Trouble[] = [
  {
    name: 'answers with a page',
    replies: [{ headers: { 'content-type': 'text/html' }, steps: [html] }],
    code: 'model_bad_response',
    requests: 3,
  },
  {
    name: 'answers with other JSON',
    replies: [{ steps: [rawStep(`{"hello":"${marker}"}`)] }],
    code: 'model_bad_response',
    requests: 3,
  },
  {
    name: 'speaks no HTTP',
    replies: [bare(`${marker}\r\n\r\n`)],
    code: 'model_unavailable',
    requests: 3,
  },
  {
    name: 'has its words in the status line',
    replies: [bare(`HTTP/1.1 503 ${marker}\r\nretry-after-ms: 10\r\ncontent-length: 0\r\n\r\n`)],
    code: 'model_unavailable',
    requests: 3,
  },
  { name: 'hangs up at once', replies: [bare()], code: 'model_unavailable' },
  { name: 'answers with nothing', replies: [{ steps: [] }], code: 'model_bad_response', requests: 3 },
  {
    name: 'streams nothing but its end',
    replies: [{ steps: [rawStep(`: ${marker}\n\n`), doneStep] }],
    code: 'model_bad_response',
    requests: 3,
  },
]

const breaks: Trouble[] = [
  {
    name: 'hangs up in mid-stream once',
    replies: [afterHalf({ type: 'destroy' }), ok],
    requests: 2,
    retries: 1,
  },
  {
    name: 'hangs up in mid-stream always',
    replies: [afterHalf({ type: 'destroy' })],
    code: 'model_unavailable',
    requests: 3,
    retries: 2,
    partial: 'Half ',
  },
  {
    name: 'ends half a stream as if it were whole',
    replies: [afterHalf()],
    code: 'model_bad_response',
    requests: 3,
    retries: 2,
    partial: 'Half ',
  },
  {
    name: 'streams no JSON once',
    replies: [afterHalf(rawStep(`data: {"${marker}\n\n`)), ok],
    requests: 2,
    retries: 1,
  },
  {
    name: 'reports an error in mid-stream once',
    replies: [afterHalf(errorStep({ type: 'server_error' })), ok],
    requests: 2,
    retries: 1,
  },
  {
    name: 'limits the rate in mid-stream always',
    replies: [afterHalf(errorStep({ code: 'rate_limit_exceeded' }))],
    code: 'model_rate_limited',
    requests: 3,
    retries: 2,
    partial: 'Half ',
  },
  {
    name: 'refuses the key in mid-stream',
    replies: [afterHalf(rawStep(`event: error\ndata: {"error":{"message":"${marker}","code":401}}\n\n`))],
    code: 'model_auth_failed',
    requests: 1,
    partial: 'Half ',
  },
  {
    name: 'breaks off in the arguments of a tool once',
    replies: [
      afterHalf(
        chunkOf({
          tool_calls: [{ index: 0, id: marker, function: { name: 'calculator', arguments: '{"expr' } }],
        }),
        { type: 'destroy' },
      ),
      ok,
    ],
    requests: 2,
    retries: 1,
  },
]

const oddities: Trouble[] = [
  { name: 'gives its tool calls empty ids', replies: [twoCalls(''), ok], requests: 2 },
  { name: 'gives its tool calls one id', replies: [twoCalls(marker), ok], requests: 2 },
  {
    name: 'ends for a reason of its own',
    replies: [{ steps: [chunkOf({ content: answer }), finishOf(marker), doneStep] }],
    requests: 1,
  },
]

const silences: Trouble[] = [
  { name: 'never answers, once', replies: [{ wire: true, steps: [{ type: 'silence' }] }, ok], requests: 2 },
  {
    name: 'falls silent in mid-stream once',
    replies: [afterHalf({ type: 'silence' }), ok],
    requests: 2,
    retries: 1,
  },
  {
    name: 'begins and then falls silent, always',
    replies: [{ steps: [rawStep(`: ${marker}\n\n`), { type: 'silence' }] }],
    code: 'model_timeout',
    requests: 3,
  },
]

export const troubles: readonly Trouble[] = [...refusals, ...garbage, ...breaks, ...oddities, ...silences]
