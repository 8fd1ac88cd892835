import { expect, test } from 'vitest'
import { mcpTools } from './mcp-tools.ts'
import { redact } from '../../secrets.ts'
import { readOptions, secretsOf, type McpToolsOptions } from './options.ts'

const url = 'https://example.com/mcp'

test.for<[string, Partial<McpToolsOptions>, string]>([
  ['neither url nor command', {}, 'exactly one of url and command'],
  ['both', { url, command: 'x' }, 'exactly one of url and command'],
  ['no URL', { url: 'example.com' }, 'url: must be an http or https URL'],
  ['another protocol', { url: 'file:///etc/passwd' }, 'url: must be an http or https URL'],
  ['a password in the URL', { url: 'https://me:secret@example.com' }, 'url: holds credentials'],
  ['headers of a program', { command: 'x', headers: {} }, 'headers: only with url'],
  ['arguments of a URL', { url, args: [] }, 'args, env and cwd only with command'],
  ['a wrong effect', { url, effect: { a: 'reads' as 'read' } }, 'effect.a: '],
  [
    'a misspelt option',
    { url, approvals: 'required' } as Partial<McpToolsOptions>,
    'Unrecognized key: "approvals"',
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
    url: 'https://example.com/mcp?key=in-the-query',
    headers: { authorization: 'Bearer token-of-ours', accept: 'x' },
  })
  const text = 'Bearer token-of-ours, token-of-ours, in-the-query, x'
  expect(redact(text, secretsOf(http))).toBe('[redacted], [redacted], [redacted], x')
  const program = readOptions({ name: 'files', command: 'x', env: { KEY: 'sk-very-secret', DEBUG: '1' } })
  expect(redact('1 sk-very-secret', secretsOf(program))).toBe('1 [redacted]')
})
