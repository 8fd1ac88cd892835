import type { IncomingHttpHeaders } from 'node:http'
import { AppError } from '../../errors.ts'
import type { ErrorCode } from '../../errors.ts'
import { errorFromBody, errorFromNetwork, errorFromResponse } from '../provider-error.ts'
import { toJson } from '../to-json.ts'

/** How much of an unknown error is kept for the log. */
const keptChars = 2048

/** What a package of the AI SDK may say of a failure. Read by its fields: versions of the classes differ, and models are wrapped. */
interface Failure {
  name?: unknown
  message?: unknown
  code?: unknown
  cause?: unknown
  statusCode?: unknown
  responseHeaders?: unknown
  responseBody?: unknown
  data?: unknown
}

/**
 * The coded error of anything that a language model threw, rejected with or sent as a part of its stream. Nothing of what it
 * said is in the message; nothing of the request is in the cause.
 */
export function toModelError(error: unknown, now: number): AppError {
  const own = ownErrorIn(error)
  if (own) return own
  if (typeof error !== 'object' || error === null) return errorFromBody(error)
  const failure: Failure = error
  const { statusCode } = failure
  const named = byName[String(failure.name)]
  if (named && typeof statusCode !== 'number') return new AppError(named, { cause: causeOf(failure) })
  if (typeof statusCode === 'number') return fromStatus(failure, { status: statusCode, now })
  if (error instanceof Error) return errorFromNetwork(causeOf(failure))
  return errorFromBody('data' in error ? error.data : error)
}

/** The packages wrap what the connection they were given fails with. */
function ownErrorIn(error: unknown): AppError | undefined {
  let one: unknown = error
  for (let depth = 0; depth < 4 && typeof one === 'object' && one !== null; depth++) {
    if (AppError.is(one)) return one
    const { cause }: Failure = one
    one = cause
  }
  return undefined
}

/** An answer that was no stream, or an error within one that has a status all the same. */
function fromStatus(failure: Failure, { status, now }: { status: number; now: number }): AppError {
  if (status >= 200 && status < 300) return fromSuccess(failure)
  const { responseHeaders, responseBody, data, message } = failure
  // Names and values, in lower case, as `fetch` gives them.
  const headers = (responseHeaders ?? {}) as IncomingHttpHeaders
  const said = typeof responseBody === 'string' && responseBody !== '' ? responseBody : undefined
  const body = said ?? toJson(data) ?? String(message)
  return errorFromResponse({ status, headers, body, now })
}

/** It answered well, and then the connection broke, or what it said was not what the package understands. */
function fromSuccess(failure: Failure): AppError {
  const { cause } = failure
  const broke = cause instanceof Error && !cause.name.startsWith('AI_')
  return new AppError(broke ? 'model_unavailable' : 'model_bad_response', { cause: causeOf(failure) })
}

const byName: Readonly<Record<string, ErrorCode | undefined>> = {
  __proto__: null as never,
  AI_LoadAPIKeyError: 'model_not_configured',
  AI_LoadSettingError: 'model_not_configured',
  AI_NoSuchModelError: 'model_not_configured',
  AI_UnsupportedFunctionalityError: 'model_refused',
  AI_InvalidPromptError: 'model_refused',
  AI_InvalidArgumentError: 'model_refused',
  AI_TypeValidationError: 'model_bad_response',
  AI_JSONParseError: 'model_bad_response',
  AI_InvalidResponseDataError: 'model_bad_response',
  AI_EmptyResponseBodyError: 'model_bad_response',
  AI_NoContentGeneratedError: 'model_bad_response',
  TimeoutError: 'model_timeout',
}

/** Names and messages of an error and of those behind it. The errors of the AI SDK hold whole requests: they go no further. */
function causeOf(failure: Failure): Error {
  const said: string[] = []
  let one: unknown = failure
  for (let depth = 0; depth < 4 && typeof one === 'object' && one !== null; depth++) {
    const { name, message, code, cause }: Failure = one
    const label = typeof code === 'string' ? `${String(name)} ${code}` : String(name)
    said.push(`${label}: ${String(message).slice(0, keptChars)}`)
    one = cause
  }
  return new Error(said.join(' ← '))
}
