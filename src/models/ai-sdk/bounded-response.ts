import { cutBytes } from '../../cut-bytes.ts'
import { AppError } from '../../errors.ts'
import { maxErrorBytes, maxLineBytes, maxReplyBytes } from '../reply-limits.ts'

const lineFeed = 0x0a
const carriageReturn = 0x0d

/**
 * The same answer with an end. The packages of the AI SDK keep what has none in memory: a refusal, or a line of an event
 * stream. A refusal is ended where nobody reads on; any other body that is too large breaks with `model_bad_response`. Either
 * way the rest is cancelled, which closes the connection.
 */
export function boundedResponse(response: Response): Response {
  const { body, ok, status, statusText, headers } = response
  if (!body) return response
  const bounded = body.pipeThrough(ok ? replyBounds() : cutBytes(maxErrorBytes))
  return new Response(bounded, { status, statusText, headers })
}

function replyBounds(): TransformStream<Uint8Array, Uint8Array> {
  let received = 0
  let lineBytes = 0
  return new TransformStream({
    transform(chunk, controller) {
      received += chunk.length
      const lineEnd = Math.max(chunk.lastIndexOf(lineFeed), chunk.lastIndexOf(carriageReturn))
      lineBytes = lineEnd === -1 ? lineBytes + chunk.length : chunk.length - lineEnd - 1
      if (received > maxReplyBytes) throw tooLarge('the reply is too large')
      if (lineBytes > maxLineBytes) throw tooLarge(`a line is longer than ${maxLineBytes} bytes`)
      controller.enqueue(chunk)
    },
  })
}

function tooLarge(why: string): AppError {
  return new AppError('model_bad_response', { cause: new Error(why) })
}
