import { randomUUID } from 'node:crypto'
import { jsonReply } from '../../../src/testing/upstream-server.ts'
import type { UpstreamReply } from '../../../src/testing/upstream-server.ts'
import { decodeAnthropic } from './anthropic-requests.ts'
import { argumentText, toArgumentDeltas, toDeltas, usageOf } from './reply.ts'
import type { StandInCall, StandInError, StandInErrorKind, StandInReply } from './reply.ts'
import type { SeenRequest } from './seen-request.ts'
import { createStandIn, type EncodedReply, type Memory, type StandIn, type Wire } from './stand-in.ts'

/** A stand-in for `api.anthropic.com`: `POST /v1/messages`, streamed. */
export function createAnthropicServer(): Promise<StandIn> {
  return createStandIn(anthropicWire)
}

export const anthropicWire: Wire = {
  basePath: '/v1',
  decode: decodeAnthropic,
  encode,
  encodeError,
  encodeStreamError: (error) => event('error', errorBody(error)),
  keyOf: ({ headers }) => headers['x-api-key'] as string | undefined,
}

type Json = Record<string, unknown>

function event(type: string, data: Json = {}): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`
}

function encode(reply: StandInReply, request: SeenRequest, memory: Memory): EncodedReply {
  const { input, cached = 0, output, reasoning } = usageOf(reply)
  const blocks = reply.blocked ? [] : blocksOf(reply, request, memory)
  const usage = {
    input_tokens: input - cached,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
    output_tokens: 1,
    service_tier: 'standard',
  }
  const message = {
    id: `msg_${randomUUID()}`,
    type: 'message',
    role: 'assistant',
    model: request.model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage,
  }
  return {
    head: [event('message_start', { message }), event('ping')],
    content: blocks.flatMap((block, index) => blockEvents(block, index)),
    tail: [
      event('message_delta', {
        delta: { stop_reason: stopReasonOf(reply, blocks), stop_sequence: null },
        usage: {
          output_tokens: output,
          ...(reasoning === undefined ? {} : { output_tokens_details: { thinking_tokens: reasoning } }),
        },
      }),
      event('message_stop'),
    ],
  }
}

interface Block {
  start: Json
  deltas: Json[]
}

function blocksOf(reply: StandInReply, request: SeenRequest, memory: Memory): Block[] {
  const blocks: Block[] = []
  let signature: string | undefined
  // It thinks where it is asked to.
  const { thinking } = request.body as { thinking?: { type: string } }
  const thinks = thinking !== undefined && thinking.type !== 'disabled'
  if (thinks && reply.reasoning !== undefined) {
    signature = memory.sign(reply.reasoning)
    blocks.push(thinkingBlock(reply.reasoning, signature))
  } else if (thinks && reply.sealed) {
    signature = memory.sign('')
    blocks.push({ start: { type: 'redacted_thinking', data: signature }, deltas: [] })
  }
  const answers = request.output?.tool
  if (reply.text !== undefined && answers !== undefined && !reply.toolCalls) {
    blocks.push(callBlock({ name: answers, arguments: reply.text }, { signature, memory }))
  } else if (reply.text !== undefined) {
    blocks.push({
      start: { type: 'text', text: '' },
      deltas: toDeltas(reply.text).map((text) => ({ type: 'text_delta', text })),
    })
  }
  for (const call of reply.toolCalls ?? []) blocks.push(callBlock(call, { signature, memory }))
  return blocks
}

function thinkingBlock(text: string, signature: string): Block {
  return {
    start: { type: 'thinking', thinking: '', signature: '' },
    deltas: [
      ...toDeltas(text).map((thinking) => ({ type: 'thinking_delta', thinking })),
      { type: 'signature_delta', signature },
    ],
  }
}

function callBlock(
  call: StandInCall,
  { signature, memory }: { signature: string | undefined; memory: Memory },
): Block {
  const id = `toolu_${randomUUID().replaceAll('-', '')}`
  memory.calls.set(id, { signature })
  // Calls without arguments have no other delta than the empty one that every call begins with.
  const texts = argumentText(call) === '{}' ? [''] : ['', ...toArgumentDeltas(call)]
  return {
    start: { type: 'tool_use', id, name: call.name, input: {} },
    deltas: texts.map((partial_json) => ({ type: 'input_json_delta', partial_json })),
  }
}

function blockEvents({ start, deltas }: Block, index: number): string[] {
  const [first = '', ...rest] = deltas.map((delta) => event('content_block_delta', { index, delta }))
  return [
    event('content_block_start', { index, content_block: start }) + first,
    ...rest,
    event('content_block_stop', { index }),
  ]
}

function stopReasonOf(reply: StandInReply, blocks: readonly Block[]): string {
  if (reply.blocked || reply.finish === 'filtered') return 'refusal'
  if (reply.finish === 'length') return 'max_tokens'
  return blocks.some(({ start }) => start.type === 'tool_use') ? 'tool_use' : 'end_turn'
}

const errors: Record<StandInErrorKind, { status: number; type: string; message: string }> = {
  unauthorized: { status: 401, type: 'authentication_error', message: 'invalid x-api-key' },
  rate_limited: {
    status: 429,
    type: 'rate_limit_error',
    message: "This request would exceed your organization's rate limit of 50 requests per minute.",
  },
  overloaded: { status: 529, type: 'overloaded_error', message: 'Overloaded' },
  server_error: { status: 500, type: 'api_error', message: 'Internal server error' },
  too_long: {
    status: 400,
    type: 'invalid_request_error',
    message: 'prompt is too long: 208310 tokens > 200000 maximum',
  },
  not_found: { status: 404, type: 'not_found_error', message: 'model: claude-none' },
  invalid: { status: 400, type: 'invalid_request_error', message: 'messages: Field required' },
}

function errorBody({ kind, message }: StandInError): Json {
  const { type, message: usual } = errors[kind]
  return { type: 'error', error: { type, message: message ?? usual } }
}

function encodeError(error: StandInError): UpstreamReply {
  const wait = error.retryAfterSeconds
  const requestId = `req_${randomUUID()}`
  return jsonReply(
    { ...errorBody(error), request_id: requestId },
    {
      status: errors[error.kind].status,
      headers: { 'request-id': requestId, ...(wait === undefined ? {} : { 'retry-after': String(wait) }) },
    },
  )
}
