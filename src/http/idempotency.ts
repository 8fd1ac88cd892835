import { createHash } from 'node:crypto'
import { AppError } from '../errors.ts'
import type { HttpContext } from './request.ts'

export interface Idempotency {
  route: string
  key: string
  fingerprint: string
}

/**
 * The `Idempotency-Key` of a request (draft-ietf-httpapi-idempotency-key-header): a structured-field string, or bare.
 * Throws `invalid_request` for an empty one, one of more than 255 characters and one with other than printable ASCII.
 * `route` is the pattern, so that one key names one request per route; the path is part of the fingerprint.
 */
export function readIdempotency(
  context: HttpContext,
  input: { route: string; bytes: Uint8Array },
): Idempotency | undefined {
  const header = context.req.header('idempotency-key')
  if (header === undefined) return undefined
  const key = unquote(header.trim())
  if (!/^[\x20-\x7e]{1,255}$/.test(key)) {
    const message = 'Must be 1 to 255 printable ASCII characters'
    throw new AppError('invalid_request', {
      message: `Idempotency-Key: ${message}.`,
      locations: [{ path: ['header', 'idempotency-key'], message }],
    })
  }
  const fingerprint = createHash('sha256')
    .update(`${context.req.method} ${context.req.path}\n`)
    .update(input.bytes)
    .digest('hex')
  return { route: `${context.req.method} ${input.route}`, key, fingerprint }
}

function unquote(value: string): string {
  const quoted = /^"((?:[^"\\]|\\["\\])*)"$/.exec(value)
  return quoted?.[1] === undefined ? value : quoted[1].replace(/\\(["\\])/g, '$1')
}
