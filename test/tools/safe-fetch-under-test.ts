import type { lookup as systemLookup } from 'node:dns'
import { vi } from 'vitest'
import { createSafeFetch, type SafeFetchOptions } from '../../src/tools/safe-fetch.ts'

export const everywhere = { has: () => true }

/** Names that resolve as they are told to here, and no other way. */
export function names(table: Record<string, string[]>) {
  return vi.fn((hostname: string, _options: unknown, callback: (...values: unknown[]) => void) => {
    const addresses = table[hostname]?.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
    if (addresses) callback(null, addresses)
    else callback(Object.assign(new Error(`queryA ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' }))
  }) as unknown as typeof systemLookup
}

/** Any host may be asked for, none may be private. */
export const guarded = (options: Partial<SafeFetchOptions> = {}) =>
  createSafeFetch({ hosts: everywhere, lookup: names({}), ...options })

/** The loopback servers of the tests may be reached, and nothing else. */
export const trusting = (options: Partial<SafeFetchOptions> = {}) =>
  createSafeFetch({ hosts: everywhere, privateHosts: everywhere, ...options })
