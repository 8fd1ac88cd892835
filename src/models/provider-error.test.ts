import { describe, expect, test } from 'vitest'
import type { ErrorCode } from '../errors.ts'
import { errorFromResponse, readRetryAfter } from './provider-error.ts'

const now = Date.UTC(2026, 0, 1)

function errorOf(status: number, body: unknown = '', headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return errorFromResponse({ status, headers, body: text, now })
}

const error = (fields: Record<string, unknown>) => ({ error: { message: 'no', ...fields } })

const cases: [status: number, body: unknown, code: ErrorCode, retryable: boolean][] = [
  [400, error({}), 'model_refused', false],
  [401, error({ code: 'invalid_api_key' }), 'model_auth_failed', false],
  [402, error({ message: 'Insufficient credits' }), 'model_rate_limited', false],
  [
    402,
    error({
      code: 402,
      message:
        'This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only afford 900.',
    }),
    'model_refused',
    false,
  ],
  [403, error({}), 'model_auth_failed', false],
  [404, error({ code: 'model_not_found' }), 'model_refused', false],
  [408, error({}), 'model_timeout', true],
  [409, error({}), 'model_unavailable', true],
  [418, 'teapot', 'model_refused', false],
  [422, { detail: [{ msg: 'bad' }] }, 'model_refused', false],
  [429, error({ code: 'rate_limit_exceeded' }), 'model_rate_limited', true],
  [429, error({ code: 'insufficient_quota', type: 'insufficient_quota' }), 'model_rate_limited', false],
  [500, error({}), 'model_unavailable', true],
  [502, '<html>Bad gateway</html>', 'model_unavailable', true],
  [503, '', 'model_unavailable', true],
  [529, error({ type: 'overloaded_error' }), 'model_unavailable', true],
  [302, '', 'model_refused', false],
  [400, error({ code: 'context_length_exceeded' }), 'context_length_exceeded', false],
  [
    400,
    { object: 'error', message: "This model's maximum context length is 8192 tokens.", code: 400 },
    'context_length_exceeded',
    false,
  ],
  [400, error({ message: 'prompt is too long: 210000 tokens' }), 'context_length_exceeded', false],
  [
    400,
    error({
      code: 400,
      type: 'exceed_context_size_error',
      message: 'the request exceeds the available context size',
    }),
    'context_length_exceeded',
    false,
  ],
  [413, error({ message: 'too many tokens' }), 'context_length_exceeded', false],
  [413, error({}), 'model_refused', false],
  [429, error({ message: 'too many tokens per minute' }), 'model_rate_limited', true],
  [
    429,
    error({
      code: 'rate_limit_exceeded',
      type: 'tokens',
      message:
        'Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested 61337.',
    }),
    'context_length_exceeded',
    false,
  ],
  [
    413,
    error({
      code: 'rate_limit_exceeded',
      message: 'Request too large for model `llama` on tokens per minute (TPM): Limit 6000, Requested 8000',
    }),
    'context_length_exceeded',
    false,
  ],
  [400, error({ code: 'content_filter' }), 'content_filter', false],
  [400, error({ code: null, innererror: { code: 'ResponsibleAIPolicyViolation' } }), 'content_filter', false],
  [400, [error({ status: 'INVALID_ARGUMENT', code: 400 })], 'model_refused', false],
  [
    400,
    error({
      message: 'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).',
    }),
    'context_length_exceeded',
    false,
  ],
  [
    400,
    error({
      type: 'invalid_request_error',
      message: 'input length and `max_tokens` exceed context limit: 1 + 2 > 2',
    }),
    'context_length_exceeded',
    false,
  ],
  [
    400,
    error({
      type: 'invalid_request_error',
      message: 'Your credit balance is too low to access the Anthropic API.',
    }),
    'model_rate_limited',
    false,
  ],
  [
    400,
    error({ code: 400, status: 'INVALID_ARGUMENT', details: [{ reason: 'API_KEY_INVALID' }] }),
    'model_auth_failed',
    false,
  ],
  [400, error({ message: 'you said: {"reason":"API_KEY_INVALID"}' }), 'model_refused', false],
]

describe('errorFromResponse', () => {
  test.each(cases)('status %i with %j is %s, retryable: %s', (status, body, code, retryable) => {
    expect(errorOf(status, body)).toMatchObject({ code, retryable })
  })

  test('keeps what the provider said out of the message', () => {
    const { message, cause } = errorOf(500, error({ message: 'inside story' }))
    expect(message).not.toContain('inside story')
    expect((cause as Error).message).toContain('inside story')
  })

  test('tells when to try again', () => {
    expect(errorOf(429, '', { 'retry-after': '2' }).retryAfterMs).toBe(2000)
    expect(errorOf(503, '').retryAfterMs).toBeUndefined()
    const details = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '31.5s' }]
    expect(errorOf(429, error({ details })).retryAfterMs).toBe(31_500)
  })

  test('takes a wait of nothing as unsaid: nobody asks again without a pause', () => {
    const details = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '0s' }]
    expect(errorOf(429, error({ details })).retryAfterMs).toBeUndefined()
    expect(errorOf(429, '', { 'retry-after': '0' }).retryAfterMs).toBeUndefined()
  })
})

describe('readRetryAfter', () => {
  test.each([
    [{ 'retry-after-ms': '120.5', 'retry-after': '9' }, 120.5],
    [{ 'retry-after': '0.25' }, 250],
    [{ 'retry-after': 'Thu, 01 Jan 2026 00:00:07 GMT' }, 7000],
    [{ 'retry-after': 'Wed, 31 Dec 2025 00:00:00 GMT' }, undefined],
    [{ 'retry-after': '0' }, undefined],
    [{ 'retry-after-ms': '0', 'retry-after': '9' }, 9000],
    [{ 'retry-after': 'soon' }, undefined],
    [{ 'retry-after': '-5' }, undefined],
    [{ 'retry-after': '' }, undefined],
    [{}, undefined],
  ])('reads %j as %s ms', (headers, ms) => {
    expect(readRetryAfter(headers, now)).toBe(ms)
  })
})
