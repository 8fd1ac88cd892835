import type { MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'
import type { Clock } from '../clock.ts'
import { createId } from '../ids.ts'
import type { Logger } from '../logger.ts'
import type { HttpContext, HttpEnv, RequestState } from './request.ts'

const saneId = /^[\w.-]{1,128}$/

/**
 * Names the request, and logs it once, at its real end: that of the stream where it is one. Never the query, the body or
 * a header beside the request id.
 */
export function requestLog(options: { clock: Clock; logger: Logger }): MiddlewareHandler<HttpEnv> {
  return async (context, next) => {
    const request = createRequestState(context, options)
    context.set('request', request)
    await next()
    // Answers that are not ours (an author's own routes) are told the id here.
    if (!request.echoed) context.header('x-request-id', request.id)
    if (!request.streaming) request.end(context.res.status)
  }
}

function createRequestState(
  context: HttpContext,
  { clock, logger }: { clock: Clock; logger: Logger },
): RequestState {
  const given = context.req.header('x-request-id')
  const startedAt = clock.monotonic()
  let over = false
  const state: RequestState = {
    id: given !== undefined && saneId.test(given) ? given : createId('req'),
    echoed: false,
    streaming: false,
    end(status) {
      if (over) return
      over = true
      logger.info(
        {
          request_id: state.id,
          method: context.req.method,
          route: routeOf(context),
          status,
          duration_ms: Math.round((clock.monotonic() - startedAt) * 1000) / 1000,
          ...(state.runId !== undefined && { run_id: state.runId }),
          ...(state.errorCode !== undefined && { code: state.errorCode }),
        },
        'request',
      )
    },
  }
  return state
}

/** The pattern of the matched route, as it was registered; never the path with its ids. */
function routeOf(context: HttpContext): string {
  return matchedRoutes(context).findLast(({ method }) => method !== 'ALL')?.path ?? 'none'
}
