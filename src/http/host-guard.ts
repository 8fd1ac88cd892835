import type { MiddlewareHandler } from 'hono'
import { AppError } from '../errors.ts'
import type { HttpContext, HttpEnv } from './request.ts'

const localHost = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i

/**
 * For a server that asks nobody who they are: takes only requests that name this machine, and none that a page of another
 * origin makes. A page that reaches us through a name it controls (DNS rebinding) is caught by `Host`. Pages on another port
 * of this machine are others as well: what else listens here need not be its user's.
 */
export const loopbackGuard: MiddlewareHandler<HttpEnv> = async (context, next) => {
  const host = hostOf(context)
  if (!localHost.test(host)) throw new AppError('host_not_allowed')
  // Following a link to what only reads is nobody's harm: its answer stays in a window of its own.
  const isLink = context.req.method === 'GET' && context.req.header('origin') === undefined
  if (!isLink) refuseOtherOrigins(context)
  await next()
}

/**
 * For a GET that changes something: a browser sends no `Origin` with an image or a link of another page, but says so in
 * `Sec-Fetch-Site`. Throws `origin_not_allowed`.
 */
export function refuseOtherOrigins(context: HttpContext): void {
  if (isSameOrigin(context)) return
  throw new AppError('origin_not_allowed', {
    message:
      'Pages of another origin, such as another port, may not call. Serve the page from this origin, or through a proxy that does.',
  })
}

/**
 * Whether the page that asks is ours, or no page asks. `Sec-Fetch-Site`, where a browser sends it, says what the page sees,
 * also through the proxy of a development server; older browsers have `Origin` alone, and other programs neither.
 */
function isSameOrigin(context: HttpContext): boolean {
  const site = context.req.header('sec-fetch-site')?.toLowerCase()
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  const origin = context.req.header('origin')
  if (origin === undefined) return true
  const url = URL.parse(origin)
  return (
    (url?.protocol === 'http:' || url?.protocol === 'https:') && url.host === hostOf(context).toLowerCase()
  )
}

function hostOf(context: HttpContext): string {
  return context.req.header('host') ?? new URL(context.req.url).host
}
