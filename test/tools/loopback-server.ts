import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { tlsIdentity } from '../models/tls-identity.ts'

export interface Received {
  method: string
  /** Path and query. */
  path: string
  headers: IncomingMessage['headers']
  body: string
}

export interface Answer {
  status?: number
  headers?: Record<string, string>
  body?: string | Buffer
}

export interface LoopbackServer {
  /** Such as `http://127.0.0.1:41234`. */
  url: string
  port: number
  /** Such as `127.0.0.1:41234`. */
  host: string
  requests: Received[]
}

/** A function that gives nothing has answered by itself, or never will. */
export type Handler = (request: Received, response: ServerResponse) => Answer | string | undefined

/** An HTTP server on a free port of 127.0.0.1, gone with the test. A text is an answer in JSON. */
export async function startLoopback(
  handler: Handler,
  { secure = false }: { secure?: boolean } = {},
): Promise<LoopbackServer> {
  const requests: Received[] = []
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    void readAll(request).then((body) => {
      const received = { method: request.method!, path: request.url!, headers: request.headers, body }
      requests.push(received)
      const answer = handler(received, response)
      if (answer !== undefined) send(response, typeof answer === 'string' ? { body: answer } : answer)
    })
  }
  const server = secure ? createSecureServer(tlsIdentity, listener) : createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const host = `127.0.0.1:${port}`
  return { url: `${secure ? 'https' : 'http'}://${host}`, port, host, requests }
}

function send(response: ServerResponse, { status = 200, headers, body = '' }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)
}

async function readAll(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}
