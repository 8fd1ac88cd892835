import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { StreamPump } from './stream-pump.ts'

export interface NodeSinkOptions {
  pump: StreamPump
  outgoing: ServerResponse
  headers: Record<string, string>
}

/**
 * Writes a stream to Node's response. Chunks are framed here (RFC 9112 §7.1) and written to the socket in one piece:
 * `ServerResponse.write` makes four buffers of each. Where the response has no socket of its own (an
 * earlier one of the connection is not finished) or speaks HTTP/1.0, it is left to Node.
 */
export function createNodeSink({ pump, outgoing, headers }: NodeSinkOptions): void {
  outgoing.writeHead(200, headers)
  const onDrain = () => pump.run()
  let headersOut = false
  /** Head and first chunk in one piece. Not by `outgoing.write`, which holds both back to the next tick of Node. */
  const writeFirst = (socket: Socket, chunk: string) => {
    headersOut = true
    socket.cork()
    outgoing.flushHeaders()
    const room = socket.write(chunk)
    socket.uncork()
    return room
  }
  pump.start({
    write(text) {
      const { socket } = outgoing
      if (socket && outgoing.chunkedEncoding) {
        const chunk = `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
        const room = headersOut ? socket.write(chunk) : writeFirst(socket, chunk)
        if (!room) socket.once('drain', onDrain)
        return room
      }
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
