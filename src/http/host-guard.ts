import type { MiddlewareHandler } from 'hono'
import { AppError } from '../errors.ts'
import type { HttpContext, HttpEnv } from './request.ts'

const local = String.raw`(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?`
const localHost = new RegExp(`^${local}$`, 'i')
const localOrigin = new RegExp(`^https?://${local}$`, 'i')

/**
 * For a server that asks nobody who they are: takes only requests that name this machine. A page of another site that
 * reaches us through a name it controls (DNS rebinding) is caught by `Host`; one that fetches from us by `Origin`.
 */
export const loopbackGuard: MiddlewareHandler<HttpEnv> = async (context, next) => {
  const host = context.req.header('host') ?? new URL(context.req.url).host
  if (!localHost.test(host)) throw new AppError('host_not_allowed')
  const origin = context.req.header('origin')
  if (origin !== undefined && !localOrigin.test(origin)) throw new AppError('origin_not_allowed')
  await next()
}

/** `same-site`: another port of this machine. */
const ownSites = new Set(['none', 'same-origin', 'same-site'])

/**
 * For a GET that changes something: a browser sends no `Origin` with an image or a link of another site, but says so in
 * `Sec-Fetch-Site`. Throws `origin_not_allowed`.
 */
export function refuseCrossSite(context: HttpContext): void {
  const site = context.req.header('sec-fetch-site')?.toLowerCase()
  if (site !== undefined && !ownSites.has(site)) {
    throw new AppError('origin_not_allowed')
  }
}
