import { describe, expect, test } from 'vitest'
import { parseHosts } from './host-list.ts'

const listed = (patterns: string[], url: string) => parseHosts(patterns, 'test').has(new URL(url))

describe('a host of the list', () => {
  test.each([
    ['api.example.com', 'https://api.example.com/a?b#c'],
    ['api.example.com', 'http://api.example.com'],
    ['api.example.com', 'http://api.example.com:443'],
    ['api.example.com', 'https://API.Example.COM'],
    ['API.example.com', 'https://api.example.com'],
    ['api.example.com', 'https://api.example.com.'],
    ['api.example.com.', 'https://api.example.com'],
    ['api.example.com', 'https://api。example。com'],
    ['bücher.example', 'https://xn--bcher-kva.example'],
    ['api.example.com:8443', 'https://api.example.com:8443'],
    ['api.example.com:80', 'http://api.example.com'],
    ['api.example.com:443', 'https://api.example.com'],
    ['*.example.org', 'https://a.example.org'],
    ['*.example.org', 'https://a.b.example.org'],
    ['127.0.0.1:8080', 'http://127.1:8080'],
    ['[::1]:8080', 'http://[0:0::1]:8080'],
    ['*', 'https://anything.test'],
  ])('%s has %s', (pattern, url) => expect(listed([pattern], url)).toBe(true))
})

describe('anything else', () => {
  test.each([
    ['api.example.com', 'https://api.example.com.evil.com'],
    ['api.example.com', 'https://evil-api.example.com'],
    ['api.example.com', 'https://xapi.example.com'],
    ['api.example.com', 'https://example.com'],
    ['api.example.com', 'https://a.api.example.com'],
    ['api.example.com', 'https://api.example.com@evil.com'],
    ['api.example.com', 'https://evil.com/api.example.com'],
    ['api.example.com', 'https://evil.com#@api.example.com'],
    ['api.example.com', 'https://evil.com\\@api.example.com'],
    ['api.example.com', 'https://аpi.example.com'],
    ['api.example.com', 'https://api-example.com'],
    ['api.example.com', 'https://apixexample.com'],
    ['api.example.com', 'https://api.example.com..'],
    ['api.example.com', 'https://api.example.com:8443'],
    ['api.example.com:8443', 'https://api.example.com'],
    ['*.example.org', 'https://example.org'],
    ['*.example.org', 'https://.example.org'],
    ['*.example.org', 'https://evilexample.org'],
    ['*.example.org', 'https://a.example.org.evil.com'],
    ['*', 'https://anything.test:22'],
  ])('%s has not %s', (pattern, url) => expect(listed([pattern], url)).toBe(false))
})

test.each([
  '',
  'https://api.example.com',
  'api.example.com/path',
  'user@api.example.com',
  'a.*.example.com',
  '**',
  '*.',
  '*:443',
  'a b',
  'api.example.com:99999',
  'api.example.com?',
])('%j is no host', (pattern) => {
  expect(() => parseHosts([pattern], 'test: hosts')).toThrow(/^test: hosts: .* is no host/)
})
