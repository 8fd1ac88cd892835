import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { AgentOptions, ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { AppError } from '../../errors.ts'
import { parseBaseURL } from '../base-url.ts'

export interface ConnectionPoolOptions {
  /** `http://` or `https://`, with the path under which the API lives: `https://api.openai.com/v1`. */
  baseURL: string
  /** Connections at a time; further requests wait for one. Default 1,024. */
  maxConnections?: number
  /** An idle connection is closed after this, before a router between forgets it. Default 30 s. */
  idleTimeoutMs?: number
}

/**
 * Takes one response. Every call is synchronous, from the socket's own callback. Exactly one of `onEnd` and `onError` comes,
 * last; neither after `destroy`.
 */
export interface ResponseHandler {
  onResponse(status: number, headers: IncomingHttpHeaders): void
  onData(chunk: Buffer): void
  onEnd(): void
  onError(error: Error): void
}

export interface PostOptions {
  /** Below the base URL: `/chat/completions`. */
  path: string
  /** Name, value, name, value… `host` and `content-length` are added. */
  headers: readonly string[]
  body: Buffer
  handler: ResponseHandler
}

export interface PendingPost {
  /** Closes the socket at once. A response that was read to its end has given its socket back: then nothing happens. */
  destroy(): void
}

/** Connections to one provider, kept alive between requests. An idle one does not hold the process. */
export interface ConnectionPool {
  readonly baseURL: string
  post(options: PostOptions): PendingPost
  /** Closes every connection, also those in use. Idempotent. */
  close(): Promise<void>
}

/** Throws `model_not_configured` where the base URL is none, or holds a password. */
export function createConnectionPool(options: ConnectionPoolOptions): ConnectionPool {
  const target = parseBaseURL(options.baseURL)
  const secure = target.protocol === 'https:'
  const maxSockets = options.maxConnections ?? 1024
  const kept: AgentOptions = {
    keepAlive: true,
    maxSockets,
    maxFreeSockets: maxSockets,
    timeout: options.idleTimeoutMs ?? 30_000,
  }
  const Agent = secure ? HttpsAgent : HttpAgent
  const request = secure ? httpsRequest : httpRequest
  const agent = new Agent(kept)
  const freshAgent = new Agent({ keepAlive: false, maxSockets })
  const basePath = target.pathname.replace(/\/+$/, '')
  const host = target.hostname.replace(/^\[|\]$/g, '')
  let closed = false

  const connect: Connect = (post, fresh) =>
    request({
      host,
      port: target.port === '' ? undefined : target.port,
      method: 'POST',
      path: `${basePath}${post.path}${target.search}`,
      headers: ['host', target.host, 'content-length', String(post.body.length), ...post.headers],
      agent: fresh ? freshAgent : agent,
    })

  return {
    baseURL: options.baseURL,
    post(post) {
      if (closed) throw new AppError('model_unavailable', { cause: new Error('the connections were closed') })
      const exchange = new Exchange(post, connect)
      exchange.send(false)
      return exchange
    },
    async close() {
      closed = true
      agent.destroy()
      freshAgent.destroy()
    },
  }
}

type Connect = (post: PostOptions, fresh: boolean) => ClientRequest

class Exchange implements PendingPost {
  readonly #post: PostOptions
  readonly #connect: Connect
  #request: ClientRequest | undefined
  #answered = false
  #over = false

  constructor(post: PostOptions, connect: Connect) {
    this.#post = post
    this.#connect = connect
  }

  send(fresh: boolean): void {
    const request = this.#connect(this.#post, fresh)
    this.#request = request
    request.on('response', (response) => this.#receive(response))
    request.on('error', (error) => {
      // The server may close an idle connection in the very moment we use it. It has not read the request then.
      if (!this.#over && !this.#answered && request.reusedSocket && isHangUp(error)) this.send(true)
      else this.#fail(error)
    })
    request.end(this.#post.body)
  }

  destroy(): void {
    this.#over = true
    this.#request?.destroy()
  }

  #receive(response: IncomingMessage): void {
    this.#answered = true
    const { handler } = this.#post
    response.on('data', (chunk: Buffer) => {
      if (!this.#over) handler.onData(chunk)
    })
    response.on('end', () => {
      if (this.#over) return
      this.#over = true
      handler.onEnd()
    })
    response.on('error', (error) => this.#fail(error))
    handler.onResponse(response.statusCode ?? 0, response.headers)
  }

  #fail(error: Error): void {
    if (this.#over) return
    this.#over = true
    this.#post.handler.onError(error)
  }
}

const hangUps = new Set<unknown>(['ECONNRESET', 'EPIPE', 'ECONNABORTED'])

function isHangUp(error: Error): boolean {
  return 'code' in error && hangUps.has(error.code)
}
