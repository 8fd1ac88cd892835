import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { RunEvent } from '../events.ts'
import type { LogReader } from '../runs/runs.ts'
import type { Encoder } from './encoder.ts'
import { createNodeSink } from './node-sink.ts'
import { baseHeaders } from './respond.ts'
import { nodeOf, onClientGone, type HttpContext } from './request.ts'
import { StreamPump } from './stream-pump.ts'
import type { Streams } from './streams.ts'
import { createWebSink } from './web-sink.ts'

export interface EventStream {
  context: HttpContext
  reader: LogReader
  encoder: Encoder
  streams: Streams
  headers?: Record<string, string>
  /** Comments while idle. Default true. */
  heartbeat?: boolean
  /**
   * Wait up to half a second for the first event before the status is sent, so that a reader that fails at once
   * (`log_pruned`) is answered with its own status. Without it the headers are sent at once.
   */
  settle?: { clock: Clock }
}

const settleMs = 500

/**
 * Streams a run's log to the client. The promise resolves when the stream is open (Node) or the answer is ready (elsewhere),
 * not at its end. Rejects with the reader's error where it fails before that.
 *
 * A client that leaves detaches the reader as `client`; a shutdown as `server`. A slow client is waited for: nothing is
 * taken from the reader meanwhile.
 */
export async function streamEvents(stream: EventStream): Promise<Response> {
  const { context, reader } = stream
  if (context.req.method === 'HEAD') {
    reader.detach('server')
    return new Response(null, { headers: streamHeaders(stream) })
  }
  const first = stream.settle && (await settle(stream, stream.settle.clock))
  if (reader.error) {
    reader.detach('server')
    throw AppError.from(reader.error)
  }
  const request = context.get('request')
  request.streaming = true
  const { encoder, streams, heartbeat = true } = stream
  const pump = new StreamPump({ reader, encoder, streams, request, first, heartbeat })
  const headers = streamHeaders(stream)
  const node = nodeOf(context)
  pump.onOver(onClientGone(context, () => pump.leave()))
  if (!node) return createWebSink({ pump, headers })
  createNodeSink({ pump, headers, outgoing: node.outgoing })
  return RESPONSE_ALREADY_SENT
}

function streamHeaders(stream: EventStream): Record<string, string> {
  return {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no',
    ...baseHeaders(stream.context),
    ...stream.headers,
  }
}

const ignore = () => {}

/** The first event, or undefined when the reader failed, ended, was left or is still silent. */
function settle({ context, reader }: EventStream, clock: Clock): Promise<RunEvent | undefined> {
  return new Promise((resolve) => {
    const look = () => {
      const event = reader.take()
      if (event || reader.error || reader.ended) finish(event)
    }
    const finish = (event?: RunEvent) => {
      reader.onReady = ignore
      stopTimer()
      forgetClient()
      resolve(event)
    }
    let forgetClient = () => {}
    const stopTimer = clock.after(settleMs, finish)
    reader.onReady = look
    forgetClient = onClientGone(context, () => finish())
    look()
  })
}
