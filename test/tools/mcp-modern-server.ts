import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

interface Call {
  id: number | string
  method: string
  params: { name: string; inputResponses?: unknown; requestState?: string; _meta: Record<string, unknown> }
}

export interface ModernServer {
  readonly url: string
  /** `tools/call` requests so far: the parts that make up the protocol. */
  readonly calls: { name: string; headers: Record<string, unknown>; state: unknown }[]
  /** Resolves when the client has closed the stream of a `slow` call. */
  readonly slowClosed: Promise<void>
  /** Resolves when the client has listened for the `nth` time, from 1. */
  listened(nth: number): Promise<void>
  /** Adds a tool and tells those who listen. */
  grow(): void
  /** Ends every stream. */
  drop(): void
}

const anyObject = { type: 'object' }
const form = { type: 'object', properties: { name: { type: 'string' } } }
const complete = (result: object) => ({ resultType: 'complete', ...result })
const textResult = (text: string) => complete({ content: [{ type: 'text', text }] })
const elicitation = (params: object) => ({ method: 'elicitation/create', params })

/** A server of revision 2026-07-28 over Streamable HTTP, as far as tools go. Ends with its test. */
export async function startModernServer(): Promise<ModernServer> {
  const tools = ['greet', 'pace', 'sample', 'slow', 'cut', 'shape', 'huge'].map((name) => ({
    name,
    inputSchema: anyObject,
    annotations: { readOnlyHint: name !== 'cut' },
    ...(name === 'shape' ? { outputSchema: { type: 'object', required: ['width'] } } : {}),
  }))
  const calls: ModernServer['calls'] = []
  let listens = 0
  const listenWaits: { nth: number; resolve: () => void }[] = []
  const listeners = new Map<string | number, ServerResponse>()
  const slow = Promise.withResolvers<void>()

  const toolCalls: Record<string, (call: Call, response: ServerResponse) => void> = {
    greet({ id, params }, response) {
      if (params.inputResponses) {
        const { inputResponses, requestState } = params
        return sendJson(response, id, textResult(JSON.stringify({ inputResponses, requestState })))
      }
      const inputRequests = {
        who: elicitation({ mode: 'form', message: 'Who?', requestedSchema: form }),
        link: elicitation({
          mode: 'url',
          message: 'Open this',
          url: 'https://example.com',
          elicitationId: '1',
        }),
        again: elicitation({ message: 'And who?', requestedSchema: form }),
      }
      sendJson(response, id, { resultType: 'input_required', inputRequests, requestState: 'opaque' })
    },
    pace({ id, params }, response) {
      if (params.requestState === undefined) {
        return sendJson(response, id, { resultType: 'input_required', requestState: 'later' })
      }
      sendJson(response, id, textResult('paced'))
    },
    sample({ id }, response) {
      const inputRequests = {
        it: { method: 'sampling/createMessage', params: { messages: [], maxTokens: 1 } },
      }
      sendJson(response, id, { resultType: 'input_required', inputRequests })
    },
    slow({ params }, response) {
      const { progressToken } = params._meta
      startStream(response)
      sendEvent(response, { method: 'notifications/progress', params: { progressToken, progress: 1 } })
      response.once('close', () => slow.resolve())
    },
    cut(_call, response) {
      startStream(response)
      response.write(': here\n\n', () => response.destroy())
    },
    huge: ({ id }, response) => sendJson(response, id, textResult('x'.repeat(11 * 2 ** 20))),
    shape: ({ id }, response) =>
      sendJson(response, id, complete({ content: [], structuredContent: { height: 1 } })),
  }

  const methods: Record<string, (call: Call, response: ServerResponse, headers: object) => void> = {
    'server/discover': ({ id }, response) =>
      sendJson(
        response,
        id,
        complete({
          supportedVersions: ['2026-07-28'],
          capabilities: { tools: { listChanged: true } },
          ttlMs: 0,
          cacheScope: 'private',
        }),
      ),
    'tools/list': ({ id }, response) =>
      sendJson(response, id, complete({ tools, ttlMs: 60_000, cacheScope: 'private' })),
    'subscriptions/listen'({ id }, response) {
      startStream(response)
      listeners.set(id, response)
      response.once('close', () => listeners.delete(id))
      const params = { notifications: { toolsListChanged: true }, ...subscription(id) }
      sendEvent(response, { method: 'notifications/subscriptions/acknowledged', params })
      listens++
      for (const { nth, resolve } of listenWaits) if (listens >= nth) resolve()
    },
    'tools/call'(call, response, headers) {
      const { name, requestState: state } = call.params
      calls.push({ name, headers: { ...headers }, state })
      toolCalls[name]?.(call, response)
    },
  }

  const server = createServer((request, response) => {
    void readCall(request).then((call) => {
      if (!call) return response.writeHead(405).end()
      const { 'mcp-protocol-version': version, 'mcp-name': mcpName } = request.headers
      return methods[call.method]?.(call, response, { version, name: mcpName }) ?? undefined
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
    calls,
    slowClosed: slow.promise,
    listened: (nth) =>
      new Promise((resolve) => {
        if (listens >= nth) resolve()
        else listenWaits.push({ nth, resolve })
      }),
    grow() {
      tools.push({ name: 'grown', inputSchema: anyObject, annotations: { readOnlyHint: true } })
      for (const [id, response] of listeners) {
        sendEvent(response, { method: 'notifications/tools/list_changed', params: subscription(id) })
      }
    },
    drop: () => server.closeAllConnections(),
  }
}

async function readCall(request: IncomingMessage): Promise<Call | undefined> {
  if (request.method !== 'POST') return undefined
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) text += String(chunk)
  return JSON.parse(text) as Call
}

function subscription(id: string | number): object {
  return { _meta: { 'io.modelcontextprotocol/subscriptionId': id } }
}

function startStream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
}

function sendEvent(response: ServerResponse, message: object): void {
  response.write(`data: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`)
}

function sendJson(response: ServerResponse, id: string | number, result: object): void {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ jsonrpc: '2.0', id, result }))
}
