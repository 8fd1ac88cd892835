import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { readVariables } from '../config.ts'
import { findSecrets } from './find-secrets.ts'
import type { RecordedCall } from './model-fixture.ts'

const reply = { type: 'reply', finishReason: 'stop', usage: null } as const

function callOf(text: string, more: Partial<RecordedCall> = {}): RecordedCall {
  return { request: { items: [{ type: 'tool_result', output: text }] }, parts: [], end: reply, ...more }
}

test('finds the value of a variable that is named like a key, and tells its name alone', () => {
  const environment = Object.entries({
    MY_API_KEY: 'value-of-1-key',
    HOME: 'a/long/path/1',
    SHORT_KEY: 'abc1',
  })
  expect(findSecrets(callOf('it is value-of-1-key'), environment)).toEqual([
    'items[0].output holds the secret of MY_API_KEY',
  ])
  expect(findSecrets(callOf('a/long/path/1 abc1'), environment)).toEqual([])
})

test.each([
  ['one of several', 'LLM_API_KEY', 'first-key-1234, second-key-5678', 'second-key-5678'],
  ['the password of a database', 'DATABASE_URL', 'postgres://me:a-password-123@host/db', 'a-password-123'],
  [
    'one with characters a URL has no room for',
    'REDIS_URL',
    'redis://:pass%2Fword%2F123@host',
    'pass/word/123',
  ],
])('finds %s', (_, name, value, secret) => {
  const found = [`items[0].output holds the secret of ${name}`]
  expect(findSecrets(callOf(`it is ${secret}.`), [[name, value]])).toEqual(found)
  expect(findSecrets(callOf('it is at host/db'), [[name, value]])).toEqual([])
})

test('knows the variables of the process and those of the file `.env`', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'parley-secrets-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  await writeFile(join(directory, '.env'), 'OPENAI_API_KEY=key-of-the-file-1')
  vi.stubEnv('MY_TOKEN', 'token-of-the-process-1')
  onTestFinished(() => void vi.unstubAllEnvs())
  const variables = readVariables(directory)
  expect(findSecrets(callOf('key-of-the-file-1'), variables)).toHaveLength(1)
  expect(findSecrets(callOf('token-of-the-process-1'), variables)).toHaveLength(1)
})

test.each([
  ['a key of a model provider', `sk-ant-${'x1'.repeat(12)}`],
  ['a key of a model provider', `AIza${'x'.repeat(35)}`],
  ['a token of GitHub', `ghp_${'a1'.repeat(18)}`],
  ['a key of AWS', `AKIA${'AB12'.repeat(4)}`],
  ['a signed token', 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLXg'],
  ['a private key', '-----BEGIN RSA PRIVATE KEY-----'],
])('knows %s by its form', (name, text) => {
  expect(findSecrets(callOf(`here: ${text}`), [])).toEqual([`items[0].output holds what looks like ${name}`])
})

test('finds a key that came in pieces', () => {
  const parts = ['a sk-proj-abcdef', 'ghijklmnopqrstuvwx'].map((delta) => ({ type: 'text' as const, delta }))
  expect(findSecrets(callOf('', { parts }), [])).toEqual([
    "the reply's text holds what looks like a key of a model provider",
  ])
  const input = ['{"key":"sk-proj-abcdef', 'ghijklmnopqrstuvwx"}']
  const call = input.map((delta) => ({ type: 'tool_input' as const, index: 1, delta }))
  expect(findSecrets(callOf('', { parts: call }), [])).toEqual([
    'arguments of tool call 1 holds what looks like a key of a model provider',
  ])
})

test('says nothing of what people write', () => {
  const text = 'Ask the desk-clerk about the task-list: it is at skylight-road, run_1, 2026-01-01.'
  expect(findSecrets(callOf(text), [['SOME_TOKEN', 'development']])).toEqual([])
})
