import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** Looks public, and answers with secrets of the machine: Azure's wire server. */
const metadataAddresses = new Set(['168.63.129.16'])

/**
 * Whether anybody on the internet may stand behind an IP address: public unicast, and not a spelling of an IPv4 address that
 * is not (mapped, NAT64). False for what is no address. Addresses of tunnels (6to4, Teredo) are never public here.
 */
export function isPublicAddress(address: string): boolean {
  return ipaddr.isValid(address) && isPublic(ipaddr.parse(address))
}

/** Whether the host of a URL can be known to be no public one without a look at DNS: such an address, or `localhost`. */
export function isPrivateHost(hostname: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, '')
  return isIP(bare) ? !isPublicAddress(bare) : /(?:^|\.)localhost$/.test(bare)
}

function isPublic(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (isIPv4(address)) return address.range() === 'unicast' && !metadataAddresses.has(address.toString())
  const embedded = embeddedIPv4(address)
  if (embedded) return isPublic(embedded)
  // Only 2000::/3 is given out; the table knows the exceptions within it, not what lies beside it.
  return address.range() === 'unicast' && ((address.parts[0] ?? 0) & 0xe000) === 0x2000
}

function isIPv4(address: ipaddr.IPv4 | ipaddr.IPv6): address is ipaddr.IPv4 {
  return address.kind() === 'ipv4'
}

/** Where the packet goes in the end: of ::ffff:a.b.c.d, and of 64:ff9b::/96, which networks without IPv4 resolve names to. */
function embeddedIPv4(address: ipaddr.IPv6): ipaddr.IPv4 | undefined {
  if (address.isIPv4MappedAddress()) return address.toIPv4Address()
  if (!address.match(ipaddr.IPv6.parseCIDR('64:ff9b::/96'))) return undefined
  return new ipaddr.IPv4(address.toByteArray().slice(12))
}
