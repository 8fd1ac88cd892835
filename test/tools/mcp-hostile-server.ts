import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

export interface HostileServer {
  readonly url: string
  /** Resolves with the `nth` stream the client opens with a GET, from 1. */
  stream(nth: number): Promise<{ request: IncomingMessage; response: ServerResponse; at: number }>
}

interface CallParams {
  _meta: { progressToken?: number }
}

export interface HostileOptions {
  /** Answers a `tools/call`. */
  call?: (id: number, response: ServerResponse, params: CallParams) => void
  /** Lists tools. Default: one, named `it`. */
  list?: (id: number, response: ServerResponse) => void
}

interface Message {
  id?: number
  method: string
  params?: { protocolVersion?: string } & Partial<CallParams>
}

/** A server of revision 2025-11-25 over Streamable HTTP whose answers and streams are the test's. Ends with its test. */
export async function startHostileServer(options: HostileOptions = {}): Promise<HostileServer> {
  const streams: { request: IncomingMessage; response: ServerResponse; at: number }[] = []
  const waits: { nth: number; resolve: () => void }[] = []
  const methods: Record<string, (message: Message & { id: number }, response: ServerResponse) => void> = {
    initialize: ({ id, params }, response) =>
      sendResult(response, id, {
        protocolVersion: params?.protocolVersion,
        capabilities: { tools: { listChanged: true } },
        serverInfo: { name: 'hostile', version: '1' },
      }),
    'tools/list': ({ id }, response) =>
      options.list
        ? options.list(id, response)
        : sendResult(response, id, {
            tools: [{ name: 'it', inputSchema: { type: 'object' }, annotations: { readOnlyHint: true } }],
          }),
    'tools/call': ({ id, params }, response) => options.call?.(id, response, params as CallParams),
  }
  const server = createServer((request, response) => {
    if (request.method === 'GET') {
      startStream(response)
      streams.push({ request, response, at: performance.now() })
      for (const { nth, resolve } of waits) if (streams.length >= nth) resolve()
      return
    }
    void readMessage(request).then((message) => {
      if (message?.id === undefined) return response.writeHead(202).end()
      const answer = methods[message.method]
      if (answer) return answer({ ...message, id: message.id }, response)
      return sendJson(response, { id: message.id, error: { code: -32601, message: 'Method not found' } })
    })
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    async stream(nth) {
      await new Promise<void>((resolve) => {
        if (streams.length >= nth) resolve()
        else waits.push({ nth, resolve })
      })
      return streams[nth - 1]!
    },
  }
}

export function sendError(response: ServerResponse, id: number, message: string): void {
  sendJson(response, { id, error: { code: -32603, message } })
}

export function sendResult(response: ServerResponse, id: number, result: object): void {
  sendJson(response, { id, result })
}

export function startStream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
}

export function sendEvent(response: ServerResponse, message: object): void {
  response.write(`data: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`)
}

/** The same text again and again, as fast as it is read, until the client has closed the connection. */
export function writeForEver(response: ServerResponse, text: string): Promise<void> {
  const more = () => {
    while (!response.destroyed && response.write(text));
    response.once('drain', more)
  }
  const closed = closedBy(response)
  more()
  return closed
}

/** Resolves when the client has closed the connection. */
export function closedBy(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => response.once('close', () => resolve()))
}

function sendJson(response: ServerResponse, message: object): void {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ jsonrpc: '2.0', ...message }))
}

async function readMessage(request: IncomingMessage): Promise<Message | undefined> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) text += String(chunk)
  return text === '' ? undefined : (JSON.parse(text) as Message)
}
