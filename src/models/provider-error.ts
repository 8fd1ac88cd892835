import type { IncomingHttpHeaders } from 'node:http'
import { AppError } from '../errors.ts'
import type { AppErrorOptions, ErrorCode } from '../errors.ts'
import { toJson } from './to-json.ts'

/** How much of what a provider said is kept for the log. */
const keptChars = 2048

export interface FailedResponse {
  status: number
  headers: IncomingHttpHeaders
  /** As far as it was read. */
  body: string
  /** Milliseconds since 1970, to read a `retry-after` that is a date. */
  now: number
}

/** The error of a response whose status is not 2xx. What the provider said is only in its cause. */
export function errorFromResponse(response: FailedResponse): AppError {
  const { status, body } = response
  const fault = describe(parseError(body), body)
  const verdict = judge(status, fault)
  return new AppError(verdict.code, {
    ...verdict.options,
    retryAfterMs: readRetryAfter(response.headers, response.now) ?? readRetryDelay(body),
    cause: new ProviderError(`status ${status}: ${body.slice(0, keptChars)}`, {
      status: statusOf(status, fault),
      provider: fault.identifiers,
    }),
  })
}

/** The error that a provider reports within a stream, or in a body whose status was 200. */
export function errorFromBody(error: unknown): AppError {
  const text = (typeof error === 'string' ? error : toJson(error)) ?? ''
  const fault = describe(error, text)
  const verdict = judge(fault.status ?? 500, fault)
  return new AppError(verdict.code, {
    ...verdict.options,
    cause: new ProviderError(`error in the stream: ${text.slice(0, keptChars)}`, {
      status: fault.status,
      provider: fault.identifiers,
    }),
  })
}

/** What a provider said. */
class ProviderError extends Error {
  /** Whoever has several keys asks whether a key was refused (401) or only what it was used for (403). */
  readonly status: number | undefined
  /** Its own codes for it, for the log. */
  provider: Record<string, string>

  constructor(message: string, input: { status: number | undefined; provider: Record<string, string> }) {
    super(message)
    this.name = 'ProviderError'
    this.status = input.status
    this.provider = input.provider
  }
}

/** LiteLLM says 401 where a good key may not use one model. */
function statusOf(status: number, fault: Fault): number {
  return status === 401 && fault.code.includes('model_access_denied') ? 403 : status
}

/** The error of a connection that could not be made, or broke. */
export function errorFromNetwork(cause: Error): AppError {
  return new AppError('model_unavailable', { cause })
}

interface Fault {
  /** Codes and types in lower case, one string. */
  code: string
  /** Everything that was said, in lower case. */
  text: string
  /** Where the code is a number, or a status is told. */
  status: number | undefined
  /** Texts that may be codes, as they came. */
  identifiers: Record<string, string>
}

interface Verdict {
  code: ErrorCode
  options?: AppErrorOptions
}

function judge(status: number, fault: Fault): Verdict {
  if (isTooLong(status, fault)) return { code: 'context_length_exceeded' }
  if (contentCodes.test(fault.code)) return { code: 'content_filter' }
  if (status === 402 && tooExpensiveTexts.test(fault.text)) return { code: 'model_refused' }
  if (quotaCodes.test(fault.code) || status === 402 || (status === 400 && quotaTexts.test(fault.text))) {
    return { code: 'model_rate_limited', options: { retryable: false } }
  }
  if (status === 400 && badKeyReason.test(fault.text)) return { code: 'model_auth_failed' }
  if (fault.status === undefined && status >= 500) return byCode(fault.code)
  return byStatus(status)
}

const contentCodes = /content_filter|content_policy|responsibleaipolicy|data_inspection_failed/
const quotaCodes = /insufficient_quota|insufficient_balance|billing_hard_limit|billing_error/
/** Anthropic and Google say 400, and what it means within. In a text that is quoted there its quotes would be escaped. */
const quotaTexts = /"message":\s*"your credit balance is too low/
/** OpenRouter, of a request whose output may cost more than is left: another request is served all the same. */
const tooExpensiveTexts = /fewer max_tokens|can only afford/
const badKeyReason = /"reason":\s*"api_key_invalid"/
const lengthCodes = /context_length_exceeded|context_window_exceeded|exceed_context_size/
const lengthTexts =
  /maximum context length|context length|context window|context size|context limit|too many tokens|prompt is too long|input is too long|input token count/
/** OpenAI (429) and Groq (413), of one request that is more than a minute's tokens: waiting does not help it. */
const largeTexts = /request too large/

function isTooLong(status: number, fault: Fault): boolean {
  if (lengthCodes.test(fault.code)) return true
  if ((status === 413 || status === 429) && largeTexts.test(fault.text)) return true
  return (status === 400 || status === 413 || status === 422) && lengthTexts.test(fault.text)
}

function byCode(code: string): Verdict {
  if (/rate_limit|too_many_requests/.test(code)) return { code: 'model_rate_limited' }
  if (/invalid_api_key|authentication|permission/.test(code)) return { code: 'model_auth_failed' }
  if (/invalid_request|badrequest|not_found/.test(code)) return { code: 'model_refused' }
  return { code: 'model_unavailable' }
}

function byStatus(status: number): Verdict {
  if (status === 401 || status === 403) return { code: 'model_auth_failed' }
  if (status === 408) return { code: 'model_timeout' }
  if (status === 429) return { code: 'model_rate_limited' }
  if (status === 409 || status === 425 || status >= 500) return { code: 'model_unavailable' }
  return { code: 'model_refused' }
}

function parseError(body: string): unknown {
  try {
    const value: unknown = JSON.parse(body)
    const first: unknown = Array.isArray(value) ? value[0] : value
    return (typeof first === 'object' && first !== null && 'error' in first && first.error) || first
  } catch (error) {
    if (error instanceof SyntaxError) return body
    throw error
  }
}

function describe(error: unknown, body: string): Fault {
  const text = body.toLowerCase()
  if (typeof error !== 'object' || error === null)
    return { code: '', text, status: undefined, identifiers: {} }
  const { code, type, status, innererror, param } = error as Record<string, unknown>
  const codes = [code, type, status, inner(innererror)].filter((part) => typeof part === 'string')
  const told = [code, status].find((part) => typeof part === 'number' && part >= 400 && part < 600)
  return {
    code: codes.join(' ').toLowerCase(),
    text,
    status: typeof told === 'number' ? told : undefined,
    identifiers: textsAmong({ code, type, param, status }),
  }
}

function textsAmong(fields: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

/** Azure tells what its filter found one level below. */
function inner(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'code' in value ? value.code : undefined
}

/**
 * Milliseconds from `retry-after-ms`, or `retry-after` in seconds or as an HTTP date (RFC 9110, 10.2.3). Undefined where it
 * does not say, or says that there is nothing to wait for: then it is ours to say when.
 */
export function readRetryAfter(headers: IncomingHttpHeaders, now: number): number | undefined {
  const exact = toWait(toNumber(headers['retry-after-ms']))
  if (exact !== undefined) return exact
  const header = headers['retry-after']
  const seconds = toNumber(header)
  if (seconds !== undefined) return toWait(Math.round(seconds * 1000))
  // Every form of an HTTP date begins with a weekday; Date.parse alone takes nearly anything for a date.
  return header !== undefined && /^[A-Z][a-z]{2}/.test(header) ? toWait(Date.parse(header) - now) : undefined
}

/** Google says it in the body, as a `RetryInfo` (google.rpc): `"retryDelay": "31s"`. */
function readRetryDelay(body: string): number | undefined {
  const seconds = /"retryDelay":\s*"(\d+(?:\.\d+)?)s"/.exec(body)?.[1]
  return toWait(Math.round(Number(seconds) * 1000))
}

function toWait(ms: number | undefined): number | undefined {
  return ms !== undefined && ms > 0 ? ms : undefined
}

function toNumber(header: string | string[] | undefined): number | undefined {
  if (typeof header !== 'string' || !/^\s*\d+(\.\d+)?\s*$/.test(header)) return undefined
  return Number(header)
}
