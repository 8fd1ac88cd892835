import type { IncomingMessage } from 'node:http'
import { pipeline, type Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { AppError } from '../errors.ts'

const decoders: Record<string, () => NodeJS.ReadWriteStream & Readable> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
}

/**
 * The decoded body, at most `maxBytes` of it: what would be longer is given up there, so that a few bytes that unpack to
 * gigabytes cost no more than others. Rejects with what broke the stream.
 */
export async function readBody(
  message: IncomingMessage,
  maxBytes: number,
): Promise<{ body: Buffer; cut: boolean }> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of decoded(message, maxBytes) as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    length += chunk.length
    if (length > maxBytes) break
  }
  return { body: Buffer.concat(chunks).subarray(0, maxBytes), cut: length > maxBytes }
}

function decoded(message: IncomingMessage, maxBytes: number): Readable {
  const encoding = (message.headers['content-encoding'] ?? 'identity').trim().toLowerCase()
  if (encoding === 'identity' || encoding === '') return message
  const createDecoder = Object.hasOwn(decoders, encoding) ? decoders[encoding] : undefined
  if (!createDecoder) throw unreadable('The body has an encoding that is not known.')
  // The one who reads from the end of the line gets the error.
  return pipeline(
    message,
    (source) => atMost(source, maxBytes),
    createDecoder(),
    () => undefined,
  ) as Readable
}

/** Packed bytes can unpack to nothing, for ever. */
async function* atMost(source: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Buffer> {
  let length = 0
  for await (const chunk of source) {
    length += chunk.length
    if (length > maxBytes) throw unreadable('The packed body is too long.')
    yield chunk
  }
}

function unreadable(message: string): AppError {
  return new AppError('tool_failed', { message })
}
