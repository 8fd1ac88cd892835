import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import type { ErrorCode } from '../errors.ts'
import type { Principal } from '../identity/principal.ts'

/** What the server knows of one request while it lasts. */
export interface RequestState {
  /** The caller's `x-request-id`, or ours. */
  readonly id: string
  runId?: string
  /** Code of the error it was answered with. */
  errorCode?: ErrorCode
  /** The answer carries the request id already. */
  echoed: boolean
  /** Set while a stream is open: the request ends with it, not with its handler. */
  streaming: boolean
  /** Tells the access log that the request is over. Only the first call counts. 499: the client left before its answer. */
  end(status: number): void
}

export interface HttpEnv {
  /** Node's own objects, where `@hono/node-server` runs us. */
  Bindings: Partial<HttpBindings>
  Variables: { request: RequestState; principal: Principal; maxBodyBytes: number }
}

export type HttpContext = Context<HttpEnv>

/** Node's request and response, or undefined where the app was mounted elsewhere. */
export function nodeOf(context: HttpContext): HttpBindings | undefined {
  // Elsewhere there may be no bindings at all, whatever the type says.
  const bindings = context.env as Partial<HttpBindings> | undefined
  const { incoming, outgoing } = bindings ?? {}
  return incoming && outgoing ? { incoming, outgoing } : undefined
}

/**
 * Calls once when the client is gone before its answer was complete; at once when it is gone already. The returned function
 * forgets the call.
 */
export function onClientGone(context: HttpContext, call: () => void): () => void {
  const node = nodeOf(context)
  if (!node) {
    const { signal } = context.req.raw
    if (signal.aborted) call()
    else signal.addEventListener('abort', call, { once: true })
    return () => signal.removeEventListener('abort', call)
  }
  const { incoming, outgoing } = node
  const { socket } = incoming
  if (socket.destroyed) {
    call()
    return () => {}
  }
  const left = () => {
    if (!outgoing.writableFinished) call()
  }
  outgoing.once('close', left)
  // A pipelined response has no socket yet, and hears nothing when the connection closes.
  const waits = outgoing.socket === null
  if (waits) {
    // One for each response that waits its turn on the connection: as many as the client pipelines.
    socket.setMaxListeners(0)
    socket.once('close', left)
  }
  return () => {
    outgoing.off('close', left)
    if (waits) socket.off('close', left)
  }
}
