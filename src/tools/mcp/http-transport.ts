import type {
  FetchLike,
  JSONRPCMessage,
  StreamableHTTPClientTransport,
  TransportSendOptions,
} from '@modelcontextprotocol/client'
import { cutBytes } from '../../cut-bytes.ts'
import { currentExchange } from './active-call.ts'
import type { HttpTarget } from './options.ts'
import type { Sdk } from './sdk.ts'

/** One answer, its progress and its questions; of the stream of a GET one event. As much as a line of a program may be. */
const maxResponseBytes = 10 * 2 ** 20
/** Of a refusal, which is read for a few words. */
const maxRefusalBytes = 64 * 1024
/** Whatever pause the server asks for. */
const leastReconnectMs = 250
const mostReconnectMs = 60_000

/**
 * The client's own Streamable HTTP transport. Added: the call whose stream ends before its answer hears of it, which the
 * client tells nobody, so that it would wait for its timeout; the stream of a call that is over is closed, not opened again;
 * and limits on how much a response may hold and on how soon a stream is opened again.
 */
export function createHttpTransport(sdk: Sdk, target: HttpTarget): StreamableHTTPClientTransport {
  class CallStreams extends sdk.StreamableHTTPClientTransport {
    override send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
      const exchange = 'method' in message && 'id' in message ? currentExchange.getStore() : undefined
      if (!exchange) return super.send(message, options)
      const { requestSignal = exchange.over } = options ?? {}
      const onRequestStreamEnd = () => {
        options?.onRequestStreamEnd?.()
        // An answer that came just before is still on its way through promises.
        setImmediate(() => exchange.streamEnded())
      }
      return super.send(message, {
        ...options,
        requestSignal: AbortSignal.any([requestSignal, exchange.over]),
        onRequestStreamEnd,
      })
    }
  }
  return new CallStreams(target.url, {
    requestInit: { headers: { ...target.headers } },
    fetch: boundedFetch,
    // A stream of a server that keeps its events is resumed where it broke; else the call is cut at once.
    reconnectionOptions: {
      initialReconnectionDelay: leastReconnectMs,
      maxReconnectionDelay: 5_000,
      reconnectionDelayGrowFactor: 2,
      maxRetries: 3,
    },
    reconnectionScheduler(reconnect, delay) {
      const ms = Math.min(mostReconnectMs, Math.max(leastReconnectMs, delay))
      const timer = setTimeout(reconnect, ms)
      return () => clearTimeout(timer)
    },
  })
}

const boundedFetch: FetchLike = async (url, init) => {
  const response = await fetch(url, init)
  if (!response.body) return response
  const { status, statusText, headers } = response
  return new Response(response.body.pipeThrough(boundOf(response, init?.method)), {
    status,
    statusText,
    headers,
  })
}

type ByteBound = TransformStream<Uint8Array, Uint8Array>

function boundOf({ ok }: Response, method: string | undefined): ByteBound {
  if (!ok) return cutBytes(maxRefusalBytes)
  // It lives as long as the connection.
  return method === 'GET' ? eventBound() : answerBound()
}

function answerBound(): ByteBound {
  const call = currentExchange.getStore()?.call
  let bytes = 0
  return new TransformStream({
    transform(chunk, controller) {
      bytes += chunk.byteLength
      if (bytes <= maxResponseBytes) return controller.enqueue(chunk)
      call?.outgrown(maxResponseBytes)
      controller.error(new Error('The response is too large.'))
    },
  })
}

/** An event ends with an empty line; CR LF, LF and CR end a line. */
function eventBound(): ByteBound {
  let bytes = 0
  let isLineEmpty = true
  let isAfterCr = false
  const count = (byte: number) => {
    bytes++
    const endsLine = byte === 13 || (byte === 10 && !isAfterCr)
    if (endsLine && isLineEmpty) bytes = 0
    isLineEmpty = endsLine || (byte === 10 && isLineEmpty)
    isAfterCr = byte === 13
  }
  return new TransformStream({
    transform(chunk, controller) {
      for (const byte of chunk) count(byte)
      if (bytes <= maxResponseBytes) controller.enqueue(chunk)
      else controller.error(new Error('An event of the server is too large.'))
    },
  })
}
