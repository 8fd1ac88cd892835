import { describe, expect, test } from 'vitest'
import type { HookContext, Hooks } from '../agent/hooks.ts'
import type { ModelRequest } from '../models/model.ts'
import { denyList } from './deny-list.ts'
import { cardStarts } from './card.ts'
import { emailStarts } from './email.ts'
import { ibanStarts } from './iban.ts'
import { phoneStarts } from './phone.ts'
import { redactPii } from './redact-pii.ts'
import { createTextCache } from './text-cache.ts'
import { createPace, createTextScanner, noMatch } from './text-scanner.ts'

const chars = 7_000_000
const never = new AbortController().signal

async function ask(hooks: Hooks, text: string, signal = never) {
  const request: ModelRequest = {
    instructions: undefined,
    items: [{ type: 'message', id: 'i', role: 'user', content: [{ type: 'text', text }] }],
    tools: [],
    settings: {},
  }
  return hooks.beforeModel!(request, { input: [], signal } as unknown as HookContext)
}

/** What this thread has worked, in milliseconds: what it waits for on a busy machine does not count. */
function worked(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** The longest work, in milliseconds, in which nobody else had a turn. */
async function longestGap(work: () => Promise<unknown>): Promise<number> {
  let last = worked()
  let longest = 0
  let over = false
  const tick = () => {
    const now = worked()
    longest = Math.max(longest, now - last)
    last = now
    if (!over) setImmediate(tick)
  }
  setImmediate(tick)
  await work()
  over = true
  tick()
  return longest
}

const texts = [
  '(1',
  '1 ',
  'a-',
  '00 ',
  '+1(',
  '4111 ',
  'a-a-a-a-@a.a.a.',
  'é-',
  'project ',
  'The quick brown fox. ',
]

describe.each([
  ['redaction', redactPii()],
  ['a list', denyList({ words: ['project falcon'] })],
])('%s', (_what, hooks) => {
  // Up to half a minute, in one piece, where the matchers are asked about each character.
  test.each(texts)(
    'of much of %j takes moments, and lets others go on',
    { timeout: 30_000 },
    async (text) => {
      const long = text.repeat(Math.ceil(chars / text.length))
      const began = worked()
      expect(await longestGap(() => ask(hooks, long))).toBeLessThan(250)
      expect(worked() - began).toBeLessThan(5_000)
    },
  )

  test('ends when the run does', async () => {
    await expect(ask(hooks, 'a'.repeat(200_000), AbortSignal.abort(new Error('over')))).rejects.toThrow(
      'over',
    )
  })
})

test.each(['(1', '1 ', '00 ', '01.1 ', '(0)1', '1-', 'stack '])('no matcher is asked about %j', (text) => {
  let asked = 0
  const counted = [emailStarts, ibanStarts, cardStarts, phoneStarts].map((starts) => ({
    kind: 'any',
    starts,
    match: () => {
      asked++
      return noMatch
    },
  }))
  const scanner = createTextScanner({ searches: counted, onMatch: () => '' })
  expect(scanner.push(text.repeat(10_000)).length + scanner.end().length).toBe(text.length * 10_000)
  // Only what the cut may have gone through.
  expect(asked).toBeLessThan(100)
})

test('a long text is redacted once, however often it comes', async () => {
  let replaced = 0
  const hooks = redactPii({ replacement: (kind) => `[${kind}${++replaced}]` })
  const long = `ann@example.com ${'x '.repeat(5_000)}`
  const [first, again] = [await ask(hooks, long), await ask(hooks, long)]
  expect(replaced).toBe(1)
  expect(again).toEqual(first)
})

test('the cache forgets what was longest not asked for', () => {
  const cache = createTextCache()
  const long = (character: string) => character.repeat(6_000_000)
  cache.add(long('a'), long('a'))
  cache.add(long('b'), long('b'))
  expect(cache.get(long('a'))).toBe(long('a'))
  cache.add(long('c'), long('c'))
  expect(cache.get(long('b'))).toBeUndefined()
  expect(cache.get(long('a'))).toBe(long('a'))
})

test('many short texts give others a turn as well', async () => {
  const pace = createPace(never)
  const waits = Array.from({ length: 5_000 }, () => pace(1)).filter((wait) => wait !== undefined)
  expect(waits.length).toBeGreaterThan(3)
  await Promise.all(waits)
})
