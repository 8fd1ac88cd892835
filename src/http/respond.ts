import { AppError } from '../errors.ts'
import type { HttpContext } from './request.ts'

export interface JsonAnswer {
  body: unknown
  /** Default 200. */
  status?: number
  /** Default `application/json`. */
  type?: string
  headers?: Record<string, string>
}

/**
 * The answer of every route that is not a stream. Built from a plain object of headers, which `@hono/node-server` writes
 * without making a `Headers` of it.
 */
export function sendJson(context: HttpContext, answer: JsonAnswer): Response {
  const headers: Record<string, string> = {
    'content-type': answer.type ?? 'application/json',
    ...baseHeaders(context),
    ...answer.headers,
  }
  return new Response(JSON.stringify(answer.body), { status: answer.status ?? 200, headers })
}

/** What every answer carries. */
export function baseHeaders(context: HttpContext): Record<string, string> {
  const request = context.get('request')
  request.echoed = true
  return { 'x-request-id': request.id, 'x-content-type-options': 'nosniff' }
}

/** An answer without a body, such as 204. */
export function sendEmpty(
  context: HttpContext,
  answer: { status: number; headers?: Record<string, string> },
): Response {
  return new Response(null, {
    status: answer.status,
    headers: { ...baseHeaders(context), ...answer.headers },
  })
}

/** `Retry-After` (whole seconds) and `Allow`, where the error has them. Takes `allow` out of the public details. */
export function errorHeaders(error: AppError): Record<string, string> {
  const headers: Record<string, string> = {}
  if (error.retryAfterMs !== undefined) {
    headers['retry-after'] = String(Math.max(1, Math.ceil(error.retryAfterMs / 1000)))
  }
  const allow = error.details?.allow
  if (error.code === 'method_not_allowed' && typeof allow === 'string') headers.allow = allow
  // The rest of the body is not read: the connection cannot be used again.
  if (error.code === 'body_too_large') headers.connection = 'close'
  return headers
}
