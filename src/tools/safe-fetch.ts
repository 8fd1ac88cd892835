import { lookup as systemLookup, type LookupAddress } from 'node:dns'
import http, { type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import https from 'node:https'
import type { LookupFunction } from 'node:net'
import { AppError } from '../errors.ts'
import { version } from '../version.ts'
import { type HostList, noHosts, withoutRootDot } from './host-list.ts'
import { isPrivateHost, isPublicAddress } from './public-address.ts'
import { readBody } from './response-body.ts'

export interface SafeFetchOptions {
  /** Where requests and redirects may go. */
  hosts: HostList
  /** Hosts that may be at addresses of a private network. Default: none. */
  privateHosts?: HostList
  /** Bytes of a body that are read, after decompression; the rest is left. Default 1,000,000. */
  maxBytes?: number
  /** Default 5. 0: a redirect is an answer like any other. */
  maxRedirects?: number
  /** For everything, redirects and body included. Default 30,000. */
  timeoutMs?: number
  /** For tests: how names become addresses. */
  lookup?: typeof systemLookup
  /** Certificates to trust instead of the usual ones. */
  ca?: string
}

export interface SafeRequest {
  url: string | URL
  /** Default GET. */
  method?: string
  /** Go to the origin of `url` alone: after a redirect to another one they are left out, but for `accept`. */
  headers?: Record<string, string>
  body?: string
  /** Whether it may be sent twice without harm. Default: GET and HEAD may. */
  repeatable?: boolean
  signal?: AbortSignal
}

export interface SafeResponse {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  /** The body was longer than what is read. */
  cut: boolean
  /** The one that answered. */
  url: URL
}

export type SafeFetch = (request: SafeRequest) => Promise<SafeResponse>

interface Hop {
  url: URL
  method: string
  headers: Record<string, string>
  body: string | undefined
  repeatable: boolean
}

const redirectStatuses = new Set([301, 302, 303, 307, 308])

/**
 * An HTTP client for requests whose URL a model may have written. It connects to public addresses alone, and looks at the
 * very address it connects to, so that a name cannot resolve to one thing when it is checked and to another when it is used.
 * It knows no proxy and keeps no connection.
 *
 * Rejects with an `AppError` whose message a model may read: `tool_refused` for what is not allowed, `tool_failed`, and
 * `outcome_unknown` where a request that may change something was sent and its answer was lost or cannot be read. Where one
 * was answered with a redirect, and what that leads to cannot be had, the redirect is the answer, without a body.
 */
export function createSafeFetch(options: SafeFetchOptions): SafeFetch {
  const { maxBytes = 1_000_000, maxRedirects = 5, timeoutMs = 30_000 } = options
  return async (request) => {
    const timeout = AbortSignal.timeout(timeoutMs)
    const signal = request.signal ? AbortSignal.any([request.signal, timeout]) : timeout
    let hop = firstHop(request)
    checkUrl(hop.url, options)
    let redirect: { from: Hop; answer: SafeResponse } | undefined
    for (let redirects = 0; ; redirects++) {
      const exchange = startExchange(hop, { ...options, signal })
      try {
        const message = await exchange.answered
        const { statusCode: status = 0, headers } = message
        if (maxRedirects === 0 || !redirectStatuses.has(status) || headers.location === undefined) {
          return { status, headers, ...(await readBody(message, maxBytes)), url: hop.url }
        }
        const answer = { status, headers, body: Buffer.alloc(0), cut: false, url: hop.url }
        if (!hop.repeatable) redirect = { from: hop, answer }
        if (redirects >= maxRedirects) throw refused(`More than ${maxRedirects} redirects.`)
        const next = nextHop(hop, { location: headers.location, status })
        checkUrl(next.url, options)
        hop = next
      } catch (error) {
        request.signal?.throwIfAborted()
        // It may have changed something: that it led nowhere is no reason to make it again.
        if (redirect && (redirect.from === hop || hop.repeatable)) return redirect.answer
        throw toFailure(error, {
          hop,
          sent: exchange.sent(),
          timeoutMs: timeout.aborted ? timeoutMs : undefined,
        })
      } finally {
        exchange.end()
      }
    }
  }
}

function firstHop({ url, method = 'GET', headers = {}, body, repeatable }: SafeRequest): Hop {
  const parsed = URL.parse(url)
  if (!parsed) throw refused('That is no absolute URL.')
  parsed.hash = ''
  return { url: parsed, method, headers, body, repeatable: repeatable ?? isRead(method) }
}

function checkUrl(url: URL, { hosts, privateHosts = noHosts }: SafeFetchOptions): void {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refused('Only http and https are allowed.')
  if (url.username !== '' || url.password !== '')
    throw refused('A URL must not hold a user name or a password.')
  url.hostname = withoutRootDot(url.hostname)
  if (!hosts.has(url)) throw notAllowed('its host and port are not among those the tool may use')
  // A name is checked when it is resolved; an address never is.
  if (isPrivateHost(url.hostname) && !privateHosts.has(url)) throw notAllowed(isPrivate)
}

interface Exchange {
  answered: Promise<IncomingMessage>
  /** Whether there was a connection, so that the request may have arrived. */
  sent(): boolean
  /** Gives up what is not read. */
  end(): void
}

function startExchange(hop: Hop, options: SafeFetchOptions & { signal: AbortSignal }): Exchange {
  const { url, method, headers, body } = hop
  const { signal, privateHosts = noHosts, lookup = systemLookup, ca } = options
  const secure = url.protocol === 'https:'
  let sent = false
  let request: http.ClientRequest | undefined
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    signal.throwIfAborted()
    request = (secure ? https : http).request(url, {
      method,
      headers: {
        accept: '*/*',
        'accept-encoding': 'gzip, br',
        'user-agent': `parley/${version}`,
        ...headers,
        ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
      },
      // One connection each: one that was allowed for another reason is never used again. And no proxy of the environment.
      agent: new (secure ? https : http).Agent({ keepAlive: false }),
      lookup: privateHosts.has(url) ? (lookup as LookupFunction) : publicLookup(lookup),
      signal,
      ...(ca === undefined ? {} : { ca }),
    })
    request.on('socket', (socket) => socket.once(secure ? 'secureConnect' : 'connect', () => (sent = true)))
    request.on('response', resolve)
    // Node lets go of the socket then: the request would never end.
    for (const handedOver of ['upgrade', 'connect'] as const) {
      request.on(handedOver, (_message, socket) => {
        socket.destroy()
        reject(Object.assign(new Error('no answer but another protocol'), { code: 'SWITCHED' }))
      })
    }
    // Stays for as long as the request lives: what fails after the answer has begun fails its body, too.
    request.on('error', reject)
    request.end(body)
  })
  return { answered, sent: () => sent, end: () => request?.destroy() }
}

/** Resolves a name, and fails where any of its addresses is not public: names of two faces have something to hide. */
function publicLookup(lookup: typeof systemLookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      const [first] = addresses ?? []
      if (error || !first) callback(error ?? new Error('no address'), '')
      else if (!addresses.every(({ address }) => isPublicAddress(address)))
        callback(notAllowed(isPrivate), '')
      else if (options.all) callback(null, addresses)
      else callback(null, first.address, first.family)
    })
  }
}

/** As browsers do it (Fetch, 4.4 "HTTP-redirect fetch"), but strict where another origin would get what was not meant for it. */
function nextHop(hop: Hop, { location, status }: { location: string; status: number }): Hop {
  const target = URL.parse(location, hop.url)
  if (!target) throw refused('It redirects to something that is no URL.')
  target.hash = ''
  if (hop.url.protocol === 'https:' && target.protocol !== 'https:') {
    throw refused('It redirects from https to http, which is not allowed.')
  }
  const becomesGet = !isRead(hop.method) && (status === 303 || (hop.method === 'POST' && status < 303))
  const sameOrigin = hop.url.origin === target.origin
  if (!isRead(hop.method) && !becomesGet && !sameOrigin) {
    throw refused('It redirects a request that changes something to another origin, which is not allowed.')
  }
  const headers = sameOrigin ? hop.headers : only(hop.headers, ['accept'])
  if (!becomesGet) return { ...hop, url: target, headers }
  const reading = { method: 'GET', body: undefined, repeatable: true }
  return { url: target, headers: without(headers, ['content-type']), ...reading }
}

function isRead(method: string): boolean {
  return method === 'GET' || method === 'HEAD'
}

function only(headers: Record<string, string>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => names.includes(name.toLowerCase())))
}

function without(headers: Record<string, string>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name.toLowerCase())))
}

function refused(message: string): AppError {
  return new AppError('tool_refused', { message })
}

const isPrivate = 'its host has an address of a private network, and the tool has no allowPrivate for it'

/** Tells the log alone why: whether an address of the private network exists is nobody else's business. */
function notAllowed(hint: string): AppError {
  return new AppError('tool_refused', { message: 'Requests to this host are not allowed.', hint })
}

const connectFaults: Record<string, string> = {
  ENOTFOUND: 'cannot be found',
  EAI_AGAIN: 'cannot be found at the moment',
  ECONNREFUSED: 'refuses the connection',
  SWITCHED: 'switched to another protocol',
  HPE_HEADER_OVERFLOW: 'answered with headers that are too long',
}

function toFailure(
  error: unknown,
  { hop, sent, timeoutMs }: { hop: Hop; sent: boolean; timeoutMs: number | undefined },
): AppError {
  const isHarmless = !sent || hop.repeatable
  if (AppError.is(error)) return isHarmless ? error : unknownOutcome(error.message, error)
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''
  if (
    code === 'ERR_INVALID_CHAR' ||
    code === 'ERR_INVALID_HTTP_TOKEN' ||
    code === 'ERR_UNESCAPED_CHARACTERS'
  ) {
    return refused('A header or the path has a character that is not allowed there.')
  }
  const what =
    timeoutMs === undefined
      ? (connectFaults[code] ??
        (/CERT|TLS|SSL|VERIFY/.test(code) ? 'has no valid certificate' : 'broke the connection off'))
      : `did not answer within ${timeoutMs / 1000} s`
  const message = `${hop.url.hostname} ${what}.`
  return isHarmless
    ? new AppError('tool_failed', { message, retryable: true, cause: error })
    : unknownOutcome(message, error)
}

/** Of a request that may change something: `what` happened to its answer. */
export function unknownOutcome(what: string, cause?: unknown): AppError {
  const message = `${what} Whether the request took effect is not known: do not repeat it before you have checked.`
  return new AppError('outcome_unknown', { message, cause })
}
