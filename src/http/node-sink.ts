import type { ServerResponse } from 'node:http'
import type { StreamPump } from './stream-pump.ts'

export interface NodeSinkOptions {
  pump: StreamPump
  outgoing: ServerResponse
  headers: Record<string, string>
}

/**
 * Writes a stream to Node's response. Once the headers are out, chunks are framed here (RFC 9112 §7.1) and written to the
 * socket in one piece: `ServerResponse.write` makes four buffers of each. Where the response has no socket of its own (an
 * earlier one of the connection is not finished) or speaks HTTP/1.0, it is left to Node.
 */
export function createNodeSink({ pump, outgoing, headers }: NodeSinkOptions): void {
  outgoing.writeHead(200, headers)
  const onDrain = () => pump.run()
  let headersOut = false
  pump.start({
    write(text) {
      const { socket } = outgoing
      if (headersOut && socket && outgoing.chunkedEncoding) {
        const room = socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`)
        if (!room) socket.once('drain', onDrain)
        return room
      }
      // Node sends the headers and this first chunk together.
      headersOut = true
      const room = outgoing.write(text)
      if (!room) outgoing.once('drain', onDrain)
      return room
    },
    close: () => void outgoing.end(),
  })
  pump.run()
  if (!headersOut) {
    outgoing.flushHeaders()
    headersOut = true
  }
}
