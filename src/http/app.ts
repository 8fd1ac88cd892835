import { Hono, type MiddlewareHandler } from 'hono'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { anonymous } from '../identity/principal.ts'
import type { Logger } from '../logger.ts'
import { bodyLimit } from './body.ts'
import { createHealth, type HealthOptions } from './health.ts'
import { loopbackGuard } from './host-guard.ts'
import { renderProblem, type RenderError } from './problem.ts'
import { requestLog } from './request-log.ts'
import type { HttpContext, HttpEnv } from './request.ts'
import { sendEmpty } from './respond.ts'
import type { Streams } from './streams.ts'

export type HttpApp = Hono<HttpEnv>

/** A part of the address space that a protocol serves, with its own wording of errors. */
export interface Mount {
  /** Whether errors at this path are worded by `renderError`; also where no route is. */
  owns(path: string): boolean
  routes(app: HttpApp): void
  /** Default: `application/problem+json`. */
  renderError?: RenderError
}

export interface HttpOptions extends Pick<
  HealthOptions,
  'version' | 'countConversations' | 'ping' | 'isDraining'
> {
  clock: Clock
  logger: Logger
  maxBodyBytes: number
  /** Takes only requests that name this machine: for a server that asks nobody who they are. */
  loopbackOnly: boolean
  streams: Streams
  /** The first that owns a path words its errors. */
  mounts: readonly Mount[]
}

/**
 * The whole HTTP surface. `app.fetch` runs anywhere; on Node, give it `{ incoming, outgoing }` as bindings (see
 * `listen`), and streams are written straight to the socket.
 */
export function createHttpApp(options: HttpOptions): HttpApp {
  const { mounts } = options
  const app: HttpApp = new Hono<HttpEnv>()
  const renderer = (path: string) => mounts.find((mount) => mount.owns(path))?.renderError ?? renderProblem

  // What every request goes through, in this order.
  const middleware: MiddlewareHandler<HttpEnv>[] = [
    requestLog(options),
    catchNonErrors(renderer, options.logger),
    ...(options.loopbackOnly ? [loopbackGuard] : []),
    bodyLimit(options.maxBodyBytes),
    identity,
  ]
  for (const step of middleware) app.use(step)

  const health = createHealth(options)
  app.get('/health', (context) => health.health(context))
  app.get('/ready', (context) => health.ready(context))
  for (const mount of mounts) mount.routes(app)

  app.notFound((context) => answerUnrouted({ app, context, render: renderer(context.req.path) }))
  app.onError((error, context) =>
    answerError({ error, context, render: renderer(context.req.path), logger: options.logger }),
  )
  return app
}

/** Nobody is asked who they are yet. */
const identity: MiddlewareHandler<HttpEnv> = async (context, next) => {
  context.set('principal', anonymous)
  await next()
}

/** Hono passes on what is thrown but is no `Error`; here it becomes one like the others. */
function catchNonErrors(renderer: (path: string) => RenderError, logger: Logger): MiddlewareHandler<HttpEnv> {
  return async (context, next) => {
    try {
      await next()
    } catch (error) {
      context.res = answerError({ error, context, render: renderer(context.req.path), logger })
    }
  }
}

function answerError(input: {
  error: unknown
  context: HttpContext
  render: RenderError
  logger: Logger
}): Response {
  const { context, render, logger } = input
  const error = AppError.from(input.error)
  const request = context.get('request')
  request.errorCode = error.code
  if (error.status >= 500 && error.code !== 'draining') {
    const fields = {
      err: error.cause ?? error,
      code: error.code,
      request_id: request.id,
      run_id: request.runId,
    }
    logger.error(fields, error.code === 'internal' ? 'a request failed' : error.message)
  }
  return render(error, context)
}

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/** 404, or 405 where the path is known under other methods. OPTIONS is answered with them: there is no CORS. */
function answerUnrouted(input: { app: HttpApp; context: HttpContext; render: RenderError }): Response {
  const { app, context, render } = input
  const request = context.get('request')
  const known = methods.filter((method) =>
    app.router.match(method, context.req.path)[0].some(([[, route]]) => route.method === method),
  )
  if (known.length === 0) {
    request.errorCode = 'not_found'
    return render(new AppError('not_found'), context)
  }
  const allow = (known.includes('GET') ? ['HEAD', ...known] : known).join(', ')
  if (context.req.method === 'OPTIONS') return sendEmpty(context, { status: 204, headers: { allow } })
  request.errorCode = 'method_not_allowed'
  return render(new AppError('method_not_allowed', { details: { allow } }), context)
}
