import { randomUUID } from 'node:crypto'
import { errorReply, streamReply } from '../../../src/testing/upstream-server.ts'
import type { UpstreamReply, UpstreamStep } from '../../../src/testing/upstream-server.ts'
import { decodeOpenAI, keyOf } from './openai-requests.ts'
import { argumentText, toArgumentDeltas, toDeltas, usageOf } from './reply.ts'
import type { StandInError, StandInErrorKind, StandInReply } from './reply.ts'
import { createStandIn, type EncodedReply, type StandIn, type Wire } from './stand-in.ts'

/** `openai`: as OpenAI does. `llm`: as the servers do that call themselves compatible and show what was thought. */
export type OpenAIDialect = 'openai' | 'llm'

/** A stand-in for `POST /v1/chat/completions`, streamed. */
export function createOpenAIServer(dialect: OpenAIDialect): Promise<StandIn> {
  return createStandIn(openaiWire(dialect))
}

export function openaiWire(dialect: OpenAIDialect): Wire {
  return {
    basePath: '/v1',
    decode: decodeOpenAI,
    encode: (reply) => encode(reply, dialect),
    encodeError,
    encodeBlocked,
    encodeStreamError: (error) => `data: ${JSON.stringify({ error: errorOf(error) })}\n\n`,
    keyOf,
  }
}

function encode(reply: StandInReply, dialect: OpenAIDialect): EncodedReply {
  const { input, output, cached, reasoning } = usageOf(reply)
  const finish = finishOf(reply)
  const { steps } = streamReply({
    // OpenAI counts what it thought, and shows none of it here.
    ...(dialect === 'llm' && reply.reasoning !== undefined ? { reasoning: toDeltas(reply.reasoning) } : {}),
    text: toDeltas(reply.text ?? ''),
    toolCalls: (reply.toolCalls ?? []).map((call) => ({
      name: call.name,
      arguments: argumentText(call) === '{}' ? ['{}'] : toArgumentDeltas(call),
      id: `call_${randomUUID().replaceAll('-', '').slice(0, 24)}`,
    })),
    ...(finish === undefined ? {} : { finishReason: finish }),
    usage: {
      prompt_tokens: input,
      completion_tokens: output,
      total_tokens: input + output,
      prompt_tokens_details: { cached_tokens: cached ?? 0 },
      completion_tokens_details: { reasoning_tokens: reasoning ?? 0 },
    },
  })
  // The last three are the reason, the usage and `[DONE]`; the first is the role.
  const bytes = steps.map(bytesOf)
  return { head: bytes.slice(0, 1), content: bytes.slice(1, -3), tail: bytes.slice(-3) }
}

function finishOf({ finish }: StandInReply): string | undefined {
  return finish === 'filtered' ? 'content_filter' : finish
}

function bytesOf(step: UpstreamStep): string {
  if (step.type === 'chunk') return `data: ${JSON.stringify(step.chunk)}\n\n`
  if (step.type === 'raw' && typeof step.bytes === 'string') return step.bytes
  throw new Error(`a reply holds a step of type ${step.type}`)
}

const errors: Record<
  StandInErrorKind,
  { status: number; message: string; error: { type: string; code: string | null } }
> = {
  unauthorized: {
    status: 401,
    message: 'Incorrect API key provided: key-****. You can find your API key in your account.',
    error: { type: 'invalid_request_error', code: 'invalid_api_key' },
  },
  rate_limited: {
    status: 429,
    message: 'Rate limit reached for requests per min (RPM): Limit 3, Used 3, Requested 1.',
    error: { type: 'requests', code: 'rate_limit_exceeded' },
  },
  overloaded: {
    status: 503,
    message: 'The engine is currently overloaded, please try again later',
    error: { type: 'server_error', code: null },
  },
  server_error: {
    status: 500,
    message: 'The server had an error while processing your request',
    error: { type: 'server_error', code: null },
  },
  too_long: {
    status: 400,
    message:
      "This model's maximum context length is 128000 tokens. However, your messages resulted in 200001.",
    error: { type: 'invalid_request_error', code: 'context_length_exceeded' },
  },
  not_found: {
    status: 404,
    message: 'The model does not exist or you do not have access to it.',
    error: { type: 'invalid_request_error', code: 'model_not_found' },
  },
  invalid: {
    status: 400,
    message: 'Invalid request',
    error: { type: 'invalid_request_error', code: null },
  },
}

function errorOf({ kind, message }: StandInError): Record<string, unknown> {
  const { error, message: usual } = errors[kind]
  return { message: message ?? usual, param: null, ...error }
}

function encodeError(error: StandInError): UpstreamReply {
  const { status, message } = errors[error.kind]
  const wait = error.retryAfterSeconds
  return errorReply(status, error.message ?? message, {
    error: errors[error.kind].error,
    ...(wait === undefined ? {} : { headers: { 'retry-after': String(wait) } }),
  })
}

/** As Azure words it. */
function encodeBlocked(): UpstreamReply {
  const message =
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
  return errorReply(400, message, { error: { code: 'content_filter', param: 'prompt' } })
}
