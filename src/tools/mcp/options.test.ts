import { expect, test } from 'vitest'
import { mcpTools } from './mcp-tools.ts'
import { redact } from '../../secrets.ts'
import { readOptions, secretsOf, shownSecretsOf, type McpToolsOptions } from './options.ts'

const url = 'https://example.com/mcp'

test.for<[string, Partial<McpToolsOptions>, string]>([
  ['neither url nor command', {}, 'exactly one of url and command'],
  ['both', { url, command: 'x' }, 'exactly one of url and command'],
  ['no URL', { url: 'example.com' }, 'url: must be an http or https URL'],
  ['another protocol', { url: 'file:///etc/passwd' }, 'url: must be an http or https URL'],
  ['a password in the URL', { url: 'https://me:secret@example.com' }, 'url: holds credentials'],
  ['headers of a program', { command: 'x', headers: {} }, 'headers: only with url'],
  ['a header of two lines', { url, headers: { a: 'b\nc' } }, 'headers: HTTP cannot carry one of them'],
  ['arguments of a URL', { url, args: [] }, 'args, env and cwd only with command'],
  ['a wrong effect', { url, effect: { a: 'reads' as 'read' } }, 'effect.a: '],
  [
    'a misspelt option',
    { url, approvals: 'required' } as Partial<McpToolsOptions>,
    'no such option: "approvals"; there are name, url, ',
  ],
  ['no tools', { url, maxTools: 0 }, 'maxTools: '],
  ['no time', { url, timeoutMs: 0 }, 'timeoutMs: '],
])('refuses %s', ([, options, message]) => {
  expect(() => mcpTools({ name: 'files', ...options })).toThrow(`mcpTools files: ${message}`)
})

test('the message of a fault shows no secret', () => {
  const headers = { authorization: ['sk-very-secret'] as unknown as string }
  expect(() => mcpTools({ name: 'files', url, headers })).toThrow(/^(?!.*sk-very-secret)/)
})

test('defaults are filled in', () => {
  expect(readOptions({ name: 'files', url })).toMatchObject({
    prefix: 'files_',
    maxTools: 256,
    timeoutMs: 60_000,
    connectTimeoutMs: 10_000,
    target: { kind: 'http', headers: {} },
  })
  expect(readOptions({ name: 'files', command: 'x', prefix: '' })).toMatchObject({
    prefix: '',
    target: { kind: 'program', command: 'x', args: [], env: {}, cwd: undefined },
  })
})

test('secrets are taken out of texts, tokens also without their scheme, short values not', () => {
  const http = readOptions({
    name: 'files',
    url: 'https://example.com/s/0123456789abcdef/mcp?key=in-the-query',
    headers: { authorization: 'Bearer token-of-ours', accept: 'x' },
  })
  const text = 'Bearer token-of-ours, token-of-ours, in-the-query, 0123456789abcdef, x'
  expect(redact(text, secretsOf(http))).toBe('[redacted], [redacted], [redacted], [redacted], x')
  const program = readOptions({ name: 'files', command: 'x', env: { KEY: 'sk-very-secret', DEBUG: '1' } })
  expect(redact('1 sk-very-secret', secretsOf(program))).toBe('1 [redacted]')
})

test('a model must not see keys, and may see folders', () => {
  const program = readOptions({
    name: 'files',
    command: 'x',
    args: [
      '--root',
      '/srv/folders/a',
      '--api-key',
      'key-number-1',
      '--token=key-number-2',
      '-e',
      'SECRET=key-number-3',
    ],
    env: { ROOT: '/srv/folders/b', MY_TOKEN: 'key-number-4', DB: 'postgres://me:key%2Dnumber-5@host/db' },
  })
  const text = [1, 2, 3, 4, 5].map((i) => `key-number-${i}`).join()
  expect(redact(text, shownSecretsOf(program))).not.toMatch(/key/)
  expect(redact('/srv/folders/a /srv/folders/b', shownSecretsOf(program))).toBe(
    '/srv/folders/a /srv/folders/b',
  )
  const http = readOptions({
    name: 'files',
    url: 'https://example.com/mcp?token=key-number-1&project=number-one',
    headers: { 'x-any': 'key-number-2' },
  })
  expect(redact('key-number-1,key-number-2,number-one', shownSecretsOf(http))).toBe(
    '[redacted],[redacted],number-one',
  )
})
