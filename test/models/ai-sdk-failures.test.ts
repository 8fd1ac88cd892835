import { APICallError, InvalidResponseDataError, UnsupportedFunctionalityError } from '@ai-sdk/provider'
import type { LanguageModelV4, LanguageModelV4StreamPart } from '@ai-sdk/provider'
import { describe, expect, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import type { ErrorCode } from '../../src/errors.ts'
import { createAiSdkModel, fromAiSdk } from '../../src/models/ai-sdk/ai-sdk-model.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { collectReply } from './collect-reply.ts'
import { finish, languageModel, textDelta } from './language-model.ts'

type Part = LanguageModelV4StreamPart

async function failureOf(model: LanguageModelV4): Promise<AppError> {
  const error: unknown = await collectReply(fromAiSdk(model)).catch((reason: unknown) => reason)
  if (AppError.is(error)) return error
  throw new Error('not an AppError', { cause: error })
}

function apiError(statusCode: number | undefined, extra: Record<string, unknown> = {}): APICallError {
  return new APICallError({
    message: 'inside story',
    url: 'https://example.com',
    requestBodyValues: { messages: ['what the user said'] },
    ...(statusCode === undefined ? {} : { statusCode }),
    responseBody: JSON.stringify({ error: { message: 'inside story', ...extra } }),
    responseHeaders: { 'retry-after': '3' },
  })
}

const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })

const failures: [what: string, error: unknown, code: ErrorCode, retryable: boolean][] = [
  ['a 401', apiError(401), 'model_auth_failed', false],
  ['a 400', apiError(400), 'model_refused', false],
  [
    'a 400 for length',
    apiError(400, { message: 'prompt is too long: 9 tokens > 8 maximum' }),
    'context_length_exceeded',
    false,
  ],
  ['a 400 for content', apiError(400, { code: 'content_filter' }), 'content_filter', false],
  ['a 413', apiError(413), 'model_refused', false],
  ['a 429', apiError(429), 'model_rate_limited', true],
  ['a 500', apiError(500), 'model_unavailable', true],
  ['a 529', apiError(529), 'model_unavailable', true],
  ['a redirect', apiError(302), 'model_refused', false],
  ['a 200 that is no stream', apiError(200), 'model_bad_response', true],
  ['no connection', apiError(undefined), 'model_unavailable', true],
  ['a broken connection', new TypeError('terminated', { cause: reset }), 'model_unavailable', true],
  ['an unknown error', new Error('inside story'), 'model_unavailable', true],
  ['a text', 'inside story', 'model_unavailable', true],
  ['nothing', undefined, 'model_unavailable', true],
  ['what is no JSON', { count: 1n }, 'model_unavailable', true],
  [
    'bad data',
    new InvalidResponseDataError({ data: 1, message: 'inside story' }),
    'model_bad_response',
    true,
  ],
  ['what it cannot do', new UnsupportedFunctionalityError({ functionality: 'x' }), 'model_refused', false],
  [
    'an error of the stream',
    { message: 'm', type: 'overloaded_error', data: { type: 'overloaded_error' } },
    'model_unavailable',
    true,
  ],
  [
    'one with a status',
    { message: 'm', statusCode: 429, data: { type: 'rate_limit_error' } },
    'model_rate_limited',
    true,
  ],
  ['one by its type', { type: 'rate_limit_error', message: 'm' }, 'model_rate_limited', true],
  ['an AppError', new AppError('content_filter'), 'content_filter', false],
]

describe('a failure', () => {
  test.each(failures)('before the stream, %s, is told by its code', async (_, error, code, retryable) => {
    // Models reject with whatever they like.
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors
    const failure = await failureOf(languageModel(() => Promise.reject(error)))
    expect(failure).toMatchObject({ code, retryable })
    expect(failure.message).not.toContain('inside story')
  })

  test.each(failures)('within the stream, %s, is told by its code', async (_, error, code, retryable) => {
    const failure = await failureOf(languageModel([textDelta('x'), { type: 'error', error }, finish()]))
    expect(failure).toMatchObject({ code, retryable })
  })

  test.each(failures)('of the stream itself, %s, is told by its code', async (_, error, code, retryable) => {
    const failure = await failureOf(languageModel({ start: (controller) => controller.error(error) }))
    expect(failure).toMatchObject({ code, retryable })
  })

  test('tells when to try again, and keeps the request out of the log', async () => {
    const failure = await failureOf(languageModel(() => Promise.reject(apiError(429))))
    expect(failure.retryAfterMs).toBe(3000)
    expect(failure.cause).toMatchObject({ status: 429, message: expect.stringContaining('inside story') })
    expect(JSON.stringify(failure.cause)).not.toContain('what the user said')
  })

  test('of a part that has not the shape of one is a bad response', async () => {
    const part = { type: 'text-delta', id: '0' } as unknown as Part
    expect((await failureOf(languageModel([part, finish()]))).code).toBe('model_bad_response')
  })

  test('of opening the model is its own, and the next request tries again', async () => {
    let tries = 0
    const model = createAiSdkModel({
      provider: 'acme',
      id: 'acme/m',
      languageModel: async () => {
        if (++tries === 1) throw new AppError('model_not_configured')
        return languageModel([textDelta('x'), finish()])
      },
    })
    await expect(collectReply(model)).rejects.toMatchObject({ code: 'model_not_configured' })
    await collectReply(model)
    expect((await collectReply(model)).decoded.text).toBe('x')
    expect(tries).toBe(2)
  })
})

describe('limits', () => {
  test('a reply of more than 32 MB is none', async () => {
    const part = textDelta('x'.repeat(16 * 1024 * 1024))
    const failure = await failureOf(languageModel([part, part, textDelta('y'), finish()]))
    expect(failure.code).toBe('model_bad_response')
  })

  test('nor is one of more than 2^18 events, which is read no further', async () => {
    let sent = 0
    let cancelled = false
    const failure = await failureOf(
      languageModel({
        pull(controller) {
          for (let i = 0; i < 4096; i++) controller.enqueue({ type: 'ping' })
          sent += 4096
        },
        cancel: () => void (cancelled = true),
      }),
    )
    expect(failure.code).toBe('model_bad_response')
    expect(cancelled).toBe(true)
    expect(sent).toBeLessThanOrEqual(2 ** 18 + 2 * 4096)
  })
})

describe('an abort', () => {
  test('before the request asks nothing', async () => {
    const asked = languageModel([finish()])
    const signal = AbortSignal.abort(new Error('gone'))
    await expect(collectReply(fromAiSdk(asked), { signal })).rejects.toThrow('gone')
    expect(asked.calls).toHaveLength(0)
  })

  test('rejects at once with its reason, though the model does not heed it, and closes what comes late', async () => {
    const stop = new AbortController()
    const asked = Promise.withResolvers<void>()
    const answer = Promise.withResolvers<void>()
    const cancelled = Promise.withResolvers<void>()
    const model = languageModel(async () => {
      asked.resolve()
      await answer.promise
      return { cancel: () => cancelled.resolve() }
    })
    const reply = collectReply(fromAiSdk(model), { signal: stop.signal })
    await asked.promise
    stop.abort(new Error('gone'))
    await expect(reply).rejects.toThrow('gone')
    expect(model.calls[0]?.abortSignal?.aborted).toBe(true)
    answer.resolve()
    await cancelled.promise
  })

  test('within a reply closes the stream', async () => {
    const stop = new AbortController()
    const cancelled = Promise.withResolvers<void>()
    const model = languageModel({
      start: (controller) => controller.enqueue(textDelta('x')),
      cancel: () => cancelled.resolve(),
    })
    const onPart = () => stop.abort(new Error('gone'))
    await expect(collectReply(fromAiSdk(model), { signal: stop.signal, onPart })).rejects.toThrow('gone')
    await cancelled.promise
  })
})

describe('silence', () => {
  async function setUp() {
    const clock = createFakeClock()
    const cancelled = Promise.withResolvers<void>()
    let send: (part: Part) => void = () => undefined
    const opened = Promise.withResolvers<void>()
    const model = createAiSdkModel({
      provider: 'acme',
      id: 'acme/m',
      clock,
      stallTimeoutMs: 60_000,
      languageModel: languageModel({
        start(controller) {
          send = (part) => controller.enqueue(part)
          opened.resolve()
        },
        cancel: () => cancelled.resolve(),
      }),
    })
    const seen = { outcome: 'pending' }
    const settled = collectReply(model).then(
      () => void (seen.outcome = 'resolved'),
      (error: unknown) => void (seen.outcome = AppError.is(error) ? error.code : String(error)),
    )
    await opened.promise
    return { clock, cancelled, seen, settled, send: (part: Part) => send(part) }
  }

  test('ends in model_timeout, and the stream is closed', async () => {
    const { clock, cancelled, seen, settled } = await setUp()
    await clock.advance(59_999)
    expect(seen.outcome).toBe('pending')
    await clock.advance(1)
    await settled
    expect(seen.outcome).toBe('model_timeout')
    await cancelled.promise
    expect(clock.pending()).toBe(0)
  })

  test('is broken by any part, a ping too', async () => {
    const { clock, seen, settled, send } = await setUp()
    await clock.advance(59_999)
    send({ type: 'ping' })
    await clock.advance(59_999)
    expect(seen.outcome).toBe('pending')
    await clock.advance(1)
    await settled
    expect(seen.outcome).toBe('model_timeout')
  })
})
