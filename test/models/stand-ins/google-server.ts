import { randomUUID } from 'node:crypto'
import { jsonReply } from '../../../src/testing/upstream-server.ts'
import type { UpstreamReply } from '../../../src/testing/upstream-server.ts'
import { decodeGoogle } from './google-requests.ts'
import { argumentText, toDeltas, usageOf } from './reply.ts'
import type { StandInCall, StandInError, StandInErrorKind, StandInReply } from './reply.ts'
import type { SeenRequest } from './seen-request.ts'
import { createStandIn, type EncodedReply, type Memory, type StandIn, type Wire } from './stand-in.ts'

/** A stand-in for the Gemini API: `POST /v1beta/models/{model}:streamGenerateContent?alt=sse`. */
export function createGoogleServer(): Promise<StandIn> {
  return createStandIn(googleWire)
}

export const googleWire: Wire = {
  basePath: '/v1beta',
  decode: decodeGoogle,
  encode,
  encodeError,
  encodeStreamError: (error) => chunk(errorBody(error)),
  keyOf: ({ headers }) => headers['x-goog-api-key'] as string | undefined,
}

type Json = Record<string, unknown>

/** Google ends its lines with CR and LF. */
function chunk(data: Json): string {
  return `data: ${JSON.stringify(data)}\r\n\r\n`
}

function encode(reply: StandInReply, request: SeenRequest, memory: Memory): EncodedReply {
  const envelope = { modelVersion: request.model, responseId: randomUUID() }
  const { input, cached, output, reasoning } = usageOf(reply)
  const usageMetadata = {
    promptTokenCount: input,
    ...(cached === undefined ? {} : { cachedContentTokenCount: cached }),
    candidatesTokenCount: output - (reasoning ?? 0),
    ...(reasoning === undefined ? {} : { thoughtsTokenCount: reasoning }),
    totalTokenCount: input + output,
  }
  const say = (parts: readonly Json[], more: Json = {}) =>
    chunk({ candidates: [{ content: { parts, role: 'model' }, index: 0, ...more }], ...envelope })
  if (reply.blocked) {
    const promptFeedback = { blockReason: 'PROHIBITED_CONTENT' }
    return { head: [], content: [], tail: [chunk({ promptFeedback, usageMetadata, ...envelope })] }
  }
  return {
    head: [],
    content: partsOf(reply, request, memory).map((parts) => say(parts)),
    tail: [
      chunk({
        candidates: [{ finishReason: finishOf(reply), index: 0 }],
        usageMetadata,
        ...envelope,
      }),
    ],
  }
}

/**
 * The parts of each chunk. The signature stands where Gemini 3 puts it: on the first function call, else in a part without
 * text at the end of the answer.
 */
function partsOf(reply: StandInReply, request: SeenRequest, memory: Memory): Json[][] {
  // It shows its thoughts where it is asked to, and signs them always.
  const { includeThoughts } = (request.settings.reasoning ?? {}) as { includeThoughts?: boolean }
  const shown = includeThoughts ? (reply.reasoning ?? '') : ''
  const chunks: Json[][] = toDeltas(shown).map((text) => [{ text, thought: true }])
  const signature = reply.reasoning === undefined ? undefined : memory.sign(reply.reasoning)
  const answers = request.output?.tool
  const answer = answers !== undefined && reply.text !== undefined && !reply.toolCalls
  const calls = answer ? [{ name: answers, arguments: reply.text ?? '' }] : (reply.toolCalls ?? [])
  if (!answer) chunks.push(...toDeltas(reply.text ?? '').map((text) => [{ text }]))
  if (reply.file) {
    const { mediaType, base64 } = reply.file
    chunks.push([{ inlineData: { mimeType: mediaType, data: base64 } }])
  }
  calls.forEach((call, i) => chunks.push([callPart(call, i === 0 ? signature : undefined, memory)]))
  if (signature !== undefined && calls.length === 0) chunks.push([{ text: '', thoughtSignature: signature }])
  return chunks
}

function callPart(call: StandInCall, signature: string | undefined, memory: Memory): Json {
  const id = `fc-${randomUUID()}`
  memory.calls.set(id, { signature })
  const args: unknown = JSON.parse(argumentText(call))
  return {
    functionCall: { id, name: call.name, args },
    ...(signature === undefined ? {} : { thoughtSignature: signature }),
  }
}

function finishOf({ finish }: StandInReply): string {
  if (finish === 'filtered') return 'SAFETY'
  return finish === 'length' ? 'MAX_TOKENS' : 'STOP'
}

const errors: Record<StandInErrorKind, { code: number; status: string; message: string; reason?: string }> = {
  // Google calls a wrong key a bad request.
  unauthorized: {
    code: 400,
    status: 'INVALID_ARGUMENT',
    message: 'API key not valid. Please pass a valid API key.',
    reason: 'API_KEY_INVALID',
  },
  rate_limited: {
    code: 429,
    status: 'RESOURCE_EXHAUSTED',
    message: 'Resource has been exhausted (e.g. check quota).',
  },
  overloaded: {
    code: 503,
    status: 'UNAVAILABLE',
    message: 'The model is overloaded. Please try again later.',
  },
  server_error: { code: 500, status: 'INTERNAL', message: 'An internal error has occurred.' },
  too_long: {
    code: 400,
    status: 'INVALID_ARGUMENT',
    message: 'The input token count (1200001) exceeds the maximum number of tokens allowed (1048576).',
  },
  not_found: {
    code: 404,
    status: 'NOT_FOUND',
    message: 'models/gemini-none is not found for API version v1beta.',
  },
  invalid: { code: 400, status: 'INVALID_ARGUMENT', message: 'Request contains an invalid argument.' },
}

function errorBody({ kind, message, retryAfterSeconds }: StandInError): Json {
  const { code, status, message: usual, reason } = errors[kind]
  const details: Json[] = []
  if (reason) {
    const domain = 'googleapis.com'
    details.push({ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason, domain })
  }
  // Google names the wait here, and in no header.
  if (retryAfterSeconds !== undefined) {
    const retryDelay = `${retryAfterSeconds}s`
    details.push({ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay })
  }
  return {
    error: { code, message: message ?? usual, status, ...(details.length > 0 ? { details } : {}) },
  }
}

function encodeError(error: StandInError): UpstreamReply {
  return jsonReply(errorBody(error), {
    status: errors[error.kind].code,
    headers: { 'content-type': 'application/json; charset=UTF-8' },
  })
}
