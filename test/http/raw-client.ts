import { connect, type Socket } from 'node:net'

/** A TCP connection that speaks HTTP by hand. */
export interface RawClient {
  readonly socket: Socket
  send(text: string): void
  /** Everything received so far, as text. */
  received(): string
  /** Resolves when what was received satisfies the test. Rejects when the connection closes first. */
  until(test: (received: string) => boolean): Promise<string>
  closed: Promise<void>
  destroy(): void
}

export async function connectRaw(port: number): Promise<RawClient> {
  const socket = connect({ port, host: '127.0.0.1' })
  let text = ''
  const checks = new Set<() => void>()
  socket.setEncoding('utf8').on('data', (chunk) => {
    text += String(chunk)
    for (const check of checks) check()
  })
  socket.on('error', () => socket.destroy())
  const closed = new Promise<void>((resolve) => void socket.once('close', () => resolve()))
  await new Promise<void>((resolve) => void socket.once('connect', () => resolve()))
  return {
    socket,
    closed,
    send: (line) => void socket.write(line),
    received: () => text,
    destroy: () => void socket.destroy(),
    until: (test) =>
      new Promise((resolve, reject) => {
        const check = () => {
          if (!test(text)) return
          checks.delete(check)
          resolve(text)
        }
        checks.add(check)
        void closed.then(() => {
          check()
          reject(new Error(`the connection closed after: ${text}`))
        })
        check()
      }),
  }
}

/** The body of a chunked response (RFC 9112 §7.1), which must be whole. */
export function dechunk(response: string): string {
  const bytes = Buffer.from(response.slice(response.indexOf('\r\n\r\n') + 4))
  let at = 0
  let body = ''
  for (;;) {
    const line = bytes.indexOf('\r\n', at)
    const size = Number.parseInt(bytes.subarray(at, line).toString(), 16)
    if (Number.isNaN(size)) throw new Error(`no chunk size at ${at}`)
    if (size === 0) return body
    body += bytes.subarray(line + 2, line + 2 + size).toString()
    at = line + 2 + size + 2
  }
}
