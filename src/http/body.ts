import type { IncomingMessage } from 'node:http'
import type { MiddlewareHandler } from 'hono'
import { AppError } from '../errors.ts'
import { maxJsonValues } from '../json-count.ts'
import { findJsonExcess, maxJsonDepth } from '../json-depth.ts'
import { findJsonFault, type JsonFault } from './json-fault.ts'
import { nodeOf, type HttpContext, type HttpEnv } from './request.ts'

/** Refuses bodies that say they are too large at once; the others are counted while they are read. */
export function bodyLimit(maxBodyBytes: number): MiddlewareHandler<HttpEnv> {
  return async (context, next) => {
    const length = context.req.header('content-length')
    if (length !== undefined && !(Number(length) <= maxBodyBytes)) throw tooLarge(maxBodyBytes)
    context.set('maxBodyBytes', maxBodyBytes)
    await next()
  }
}

export interface JsonBody {
  value: unknown
  /** As it was sent, for fingerprints. */
  bytes: Uint8Array
}

/**
 * The body as JSON. Throws `unsupported_media_type`, `body_too_large`, and `invalid_json` with `position` (UTF-16 units
 * from 0) and `reason` in its details, also for one that nests too deep or holds too many values. An empty body is
 * `invalid_json` unless `optional`: then its value is undefined.
 */
export async function readJson(
  context: HttpContext,
  options: { optional?: boolean } = {},
): Promise<JsonBody> {
  const bytes = await readBody(context)
  if (bytes.byteLength === 0 && options.optional) return { value: undefined, bytes }
  const type = context.req.header('content-type')
  if (type === undefined ? bytes.byteLength > 0 : !isJsonType(type)) {
    throw new AppError('unsupported_media_type', { message: 'Send the body as application/json.' })
  }
  if ((context.req.header('content-encoding') ?? 'identity').toLowerCase() !== 'identity') {
    throw new AppError('unsupported_media_type', { message: 'Send the body uncompressed.' })
  }
  return { value: parseJson(bytes), bytes }
}

/** Reads the body up to the limit. */
async function readBody(context: HttpContext): Promise<Uint8Array> {
  const maxBodyBytes = context.get('maxBodyBytes')
  const incoming = nodeOf(context)?.incoming
  try {
    return incoming && !incoming.readableDidRead
      ? await readIncoming(incoming, maxBodyBytes)
      : await readCounted(context.req.raw.body, maxBodyBytes)
  } catch (error) {
    if (AppError.is(error)) throw error
    throw new AppError('invalid_request', { message: 'The body could not be read to its end.', cause: error })
  }
}

/** Straight from Node's request: cancelling the web stream around it would close the socket before our answer is out. */
function readIncoming(incoming: IncomingMessage, maxBodyBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const settle = (finish: () => void) => {
      incoming.off('data', onData).off('end', onEnd).off('error', onError).off('close', onClose)
      finish()
    }
    const onData = (chunk: Buffer) => {
      size += chunk.byteLength
      chunks.push(chunk)
      if (size > maxBodyBytes) {
        incoming.pause()
        settle(() => reject(tooLarge(maxBodyBytes)))
      }
    }
    const onEnd = () =>
      settle(() => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)))
    const onError = (error: Error) => settle(() => reject(error))
    const onClose = () => settle(() => reject(new Error('the connection closed inside the body')))
    incoming.on('data', onData).on('end', onEnd).on('error', onError).on('close', onClose)
  })
}

async function readCounted(
  body: ReadableStream<Uint8Array> | null,
  maxBodyBytes: number,
): Promise<Uint8Array> {
  if (!body) return new Uint8Array()
  const chunks: Uint8Array[] = []
  let size = 0
  // Leaving the loop early cancels the stream.
  for await (const chunk of body) {
    size += chunk.byteLength
    if (size > maxBodyBytes) throw tooLarge(maxBodyBytes)
    chunks.push(chunk)
  }
  const bytes = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return bytes
}

const decoder = new TextDecoder('utf-8', { fatal: true })

function parseJson(bytes: Uint8Array): unknown {
  let text: string
  try {
    text = decoder.decode(bytes)
  } catch (error) {
    throw new AppError('invalid_json', { message: 'The body is not valid UTF-8.', cause: error })
  }
  const excess = findJsonExcess(text, { depth: maxJsonDepth, values: maxJsonValues })
  if (excess) throw invalidJson({ reason: excesses[excess.of], position: excess.position })
  try {
    return JSON.parse(text)
  } catch (error) {
    throw invalidJson(findJsonFault(text), error)
  }
}

const excesses = {
  depth: `Nests deeper than ${maxJsonDepth} levels`,
  values: `Holds more than ${maxJsonValues} values`,
}

function invalidJson({ position, reason }: JsonFault, cause?: unknown): AppError {
  const message = `${reason} at position ${position}`
  return new AppError('invalid_json', {
    message: `${message}.`,
    locations: [{ path: ['body'], message }],
    details: { position, reason },
    cause,
  })
}

function isJsonType(type: string): boolean {
  if (type === 'application/json') return true
  const [essence = ''] = type.split(';', 1)
  return /^application\/([\w.-]+\+)?json$/i.test(essence.trim())
}

function tooLarge(maxBodyBytes: number): AppError {
  return new AppError('body_too_large', {
    message: `The body is larger than ${maxBodyBytes} bytes.`,
    details: { max_bytes: maxBodyBytes },
  })
}
