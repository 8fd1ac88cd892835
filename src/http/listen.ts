import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener, RequestError } from '@hono/node-server'
import { errorCodes } from '../errors.ts'
import type { HttpApp } from './app.ts'

export interface Listener {
  /** Such as `http://127.0.0.1:8080`. */
  readonly url: string
  readonly port: number
  /**
   * Takes no more connections, closes the idle ones, waits for the others, and after `graceMs` cuts them. Streams end
   * only by themselves or by the cut: end them first (`streams.endAll`). Idempotent.
   */
  close(graceMs: number): Promise<void>
}

/** The server could not listen. `message` is for people. */
export class ListenError extends Error {
  constructor(message: string, cause: unknown) {
    super(message, { cause })
    this.name = 'ListenError'
  }
}

/**
 * Serves the app on Node. Rejects with a `ListenError` where the address is taken or not ours. A stream may last as long as
 * it likes: only the request, not the answer, has a time limit.
 */
export async function listen(options: {
  fetch: HttpApp['fetch']
  host: string
  port: number
}): Promise<Listener> {
  const { fetch, host, port } = options
  const answer = getRequestListener((request, bindings) => fetch(request, bindings), {
    errorHandler: answerUnreadable,
  })
  const server = createServer(
    {
      // Longer than the 60 s of common load balancers, so that they and not we close an idle connection.
      keepAliveTimeout: 65_000,
      headersTimeout: 20_000,
      requestTimeout: 60_000,
      noDelay: true,
    },
    // `answer` handles its own failures.
    (incoming, outgoing) => void answer(incoming, outgoing),
  )
  server.maxHeadersCount = 100
  await opened(server, { host: host.replace(/^\[(.*)\]$/, '$1'), port })
  // A server on a TCP port has an address of this kind once it listens.
  const address = server.address() as AddressInfo
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
  let closing: Promise<void> | undefined
  return {
    url: `http://${name}:${address.port}`,
    port: address.port,
    close: (graceMs) => (closing ??= closed(server, graceMs)),
  }
}

/** For what never reaches the app: a `Host` or a target that no URL can be made of. */
function answerUnreadable(error: unknown): Response {
  const bad = error instanceof RequestError
  const code = bad ? 'invalid_request' : 'internal'
  const { status, title } = errorCodes[code]
  return new Response(JSON.stringify({ type: 'about:blank', title, status, detail: `${title}.`, code }), {
    status,
    headers: { 'content-type': 'application/problem+json' },
  })
}

function opened(server: Server, at: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(toListenError(error, at)))
    server.listen(at, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}

function toListenError(
  error: NodeJS.ErrnoException,
  { host, port }: { host: string; port: number },
): ListenError {
  const reasons: Record<string, string> = {
    EADDRINUSE: 'another process listens there already; choose another SERVER_PORT',
    EACCES: 'this user may not use the port; choose one above 1023',
    EADDRNOTAVAIL: 'this machine has no such address; see SERVER_HOST',
    ENOTFOUND: 'the host name is not known; see SERVER_HOST',
  }
  const reason = reasons[error.code ?? ''] ?? error.message
  return new ListenError(`cannot listen on ${host}:${port}: ${reason}`, error)
}

/** How often a server that closes looks for connections whose last answer is out; Node closes only those idle already. */
const idleCheckMs = 20

function closed(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const check = setInterval(() => server.closeIdleConnections(), idleCheckMs)
    const cut = setTimeout(() => server.closeAllConnections(), graceMs)
    server.close(() => {
      clearInterval(check)
      clearTimeout(cut)
      resolve()
    })
  })
}
