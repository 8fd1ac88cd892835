import { DefinitionError } from '../parse-definition.ts'
import { isPrivateHost } from './public-address.ts'

/** Hosts as an author lists them. */
export interface HostList {
  /** Whether the URL's host and port are listed. */
  has(url: URL): boolean
}

interface HostPattern {
  /** `example.com`; `.example.com` for everything below it; `*` for every host. */
  host: string
  /** Absent: 80 and 443. */
  port: number | undefined
}

export const noHosts: HostList = { has: () => false }

/**
 * Reads `api.example.com`, `*.example.org` (everything below, not itself), `localhost:8080`, `[::1]:8080` and `*`. Without a
 * port 80 and 443 are meant. Throws a `DefinitionError` that says `what` the list is for.
 */
export function parseHosts(patterns: readonly string[], what: string): HostList {
  const parsed = patterns.map((pattern) => parsePattern(pattern, what))
  return { has: (url) => parsed.some((pattern) => matches(pattern, url)) }
}

/** Throws a `DefinitionError` where a host of the list could never be reached, for it is a private address. */
export function checkReachable(
  patterns: readonly string[],
  { what, privateHosts }: { what: string; privateHosts: HostList },
): void {
  for (const pattern of patterns) {
    const { host, port } = parsePattern(pattern, what)
    const one = host.startsWith('.') ? `any${host}` : host
    const urls = port === undefined ? [`http://${one}`, `https://${one}`] : [`http://${one}:${port}`]
    if (!isPrivateHost(host) || urls.some((url) => privateHosts.has(new URL(url)))) continue
    const named = JSON.stringify(pattern)
    throw new DefinitionError(`${what}: ${named} is in a private network: list it in allowPrivate as well`)
  }
}

/** The host without the dot that may end it: `example.com.` is `example.com`. */
export function withoutRootDot(hostname: string): string {
  return hostname.replace(/\.$/, '')
}

/** The pattern of just this host and port. */
export function hostOf(url: URL): string {
  return `${url.hostname}:${portOf(url)}`
}

function portOf({ port, protocol }: URL): number {
  return Number(port || (protocol === 'https:' ? 443 : 80))
}

function matches(pattern: HostPattern, url: URL): boolean {
  const port = portOf(url)
  if (pattern.port === undefined ? port !== 80 && port !== 443 : port !== pattern.port) return false
  if (pattern.host === '*') return true
  const host = withoutRootDot(url.hostname)
  if (!pattern.host.startsWith('.')) return host === pattern.host
  return host.endsWith(pattern.host) && host.length > pattern.host.length
}

function parsePattern(pattern: string, what: string): HostPattern {
  if (pattern === '*') return { host: '*', port: undefined }
  const below = pattern.startsWith('*.')
  const rest = below ? pattern.slice(2) : pattern
  // The parser of URLs spells it as it will spell the host of a request: lower case, punycode, plain numbers.
  const url = /^[^/?#@\\*\s]+$/.test(rest) ? URL.parse(`http://${rest}`) : null
  if (!url || url.pathname !== '/' || url.hostname === '') {
    throw new DefinitionError(
      `${what}: ${JSON.stringify(pattern)} is no host; write api.example.com, *.example.org or localhost:8080`,
    )
  }
  const host = withoutRootDot(url.hostname)
  // The parsed URL has lost a port of 80.
  const port = /:(\d+)$/.exec(rest)?.[1]
  return { host: below ? `.${host}` : host, port: port === undefined ? undefined : Number(port) }
}
