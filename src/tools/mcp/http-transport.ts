import type {
  FetchLike,
  JSONRPCMessage,
  StreamableHTTPClientTransport,
  TransportSendOptions,
} from '@modelcontextprotocol/client'
import { currentExchange } from './active-call.ts'
import type { HttpTarget } from './options.ts'
import type { Sdk } from './sdk.ts'

/** One answer, its progress and its questions. As much as a line of a program may be. */
const maxResponseBytes = 10 * 2 ** 20

/**
 * The client's own Streamable HTTP transport. Added: the call whose stream ends before its answer hears of it, which the
 * client tells nobody, so that it would wait for its timeout; and a limit on how much a response may hold.
 */
export function createHttpTransport(sdk: Sdk, target: HttpTarget): StreamableHTTPClientTransport {
  class CallStreams extends sdk.StreamableHTTPClientTransport {
    override send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
      const exchange = 'method' in message && 'id' in message ? currentExchange.getStore() : undefined
      if (!exchange) return super.send(message, options)
      const onRequestStreamEnd = () => {
        options?.onRequestStreamEnd?.()
        // An answer that came just before is still on its way through promises.
        setImmediate(() => exchange.streamEnded())
      }
      return super.send(message, { ...options, onRequestStreamEnd })
    }
  }
  return new CallStreams(target.url, {
    requestInit: { headers: { ...target.headers } },
    fetch: boundedFetch,
    // A stream of a server that keeps its events is resumed where it broke; else the call is cut at once.
    reconnectionOptions: {
      initialReconnectionDelay: 250,
      maxReconnectionDelay: 5_000,
      reconnectionDelayGrowFactor: 2,
      maxRetries: 3,
    },
  })
}

const boundedFetch: FetchLike = async (url, init) => {
  const response = await fetch(url, init)
  // The stream of a GET lives as long as the connection.
  if (init?.method !== 'POST' || !response.ok || !response.body) return response
  const call = currentExchange.getStore()?.call
  let bytes = 0
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      bytes += chunk.byteLength
      if (bytes <= maxResponseBytes) return controller.enqueue(chunk)
      call?.outgrown(maxResponseBytes)
      controller.error(new Error('The response is too large.'))
    },
  })
  const { status, statusText, headers } = response
  return new Response(response.body.pipeThrough(counter), { status, statusText, headers })
}
