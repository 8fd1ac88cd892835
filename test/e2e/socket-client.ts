import { connectRaw, dechunk, type RawClient } from '../http/raw-client.ts'

export interface SocketClient extends Pick<RawClient, 'until' | 'received'> {
  /** Closes the socket, as a client does that goes away. */
  leave(): Promise<void>
  /** Resolves with the body, which must be whole, when the server has ended the response. */
  body(): Promise<string>
}

/** Sends one request over a socket of its own. GET, or POST where there is a body. */
export async function openRequest(
  port: number,
  path: string,
  options: { body?: unknown; headers?: Record<string, string> } = {},
): Promise<SocketClient> {
  const raw = await connectRaw(port)
  const body = options.body === undefined ? '' : JSON.stringify(options.body)
  const lines = [
    `${body === '' ? 'GET' : 'POST'} ${path} HTTP/1.1`,
    `host: 127.0.0.1:${port}`,
    ...Object.entries({ connection: 'close', ...options.headers }).map(
      ([name, value]) => `${name}: ${value}`,
    ),
    ...(body === '' ? [] : ['content-type: application/json', `content-length: ${Buffer.byteLength(body)}`]),
  ]
  raw.send(`${lines.join('\r\n')}\r\n\r\n${body}`)
  return {
    received: () => raw.received(),
    until: (test) => raw.until(test),
    async leave() {
      raw.destroy()
      await raw.closed
    },
    async body() {
      await raw.closed
      return dechunk(raw.received())
    },
  }
}
