import { describe, expect, test } from 'vitest'
import { AppError } from '../errors.ts'
import type { AppErrorOptions, ErrorCode } from '../errors.ts'
import { silentLogger } from '../logger.ts'
import { createFakeClock } from '../testing/fake-clock.ts'
import { createKeyRing } from './key-ring.ts'
import type { ModelKeys, ProviderKey } from './key-ring.ts'

const a: ProviderKey = { name: 'a', key: 'secret-a' }
const b: ProviderKey = { name: 'b', key: 'secret-b' }

function setUp(keys: ProviderKey[] = [a, b]) {
  const clock = createFakeClock()
  const warnings: { fields: Record<string, unknown>; message: string }[] = []
  const logger = {
    ...silentLogger,
    warn: (fields: Record<string, unknown>, message: string) => void warnings.push({ fields, message }),
  }
  let number = 0
  const ring = createKeyRing({ provider: 'test', keys, clock, logger, random: () => number })
  /** What is picked when chance says this. */
  const pickAt = (at: number, of: ModelKeys, except: ProviderKey[] = []) => {
    number = at
    return of.pick(new Set(except)).name
  }
  return { clock, warnings, ring, model: ring.forModel('test/one'), pickAt }
}

function failure(code: ErrorCode, options: AppErrorOptions & { status?: number } = {}): AppError {
  const { status, ...rest } = options
  return new AppError(code, { cause: Object.assign(new Error('secret words'), { status }), ...rest })
}

const refused = failure('model_auth_failed', { status: 401 })
const limited = failure('model_rate_limited', { status: 429 })
const unpaid = failure('model_rate_limited', { status: 429, retryable: false })

function failureOf(call: () => unknown): AppError {
  try {
    call()
  } catch (error) {
    if (AppError.is(error)) return error
    throw error
  }
  throw new Error('it did not fail')
}

/** When the key is picked again, in milliseconds from now, to the second; undefined within two hours. */
async function cooldownOf(key: ProviderKey, { clock, model, pickAt }: ReturnType<typeof setUp>) {
  for (let seconds = 0; seconds <= 7200; seconds++) {
    const picked = [0, 0.999].map((at) => pickAt(at, model))
    if (picked.includes(key.name)) return seconds * 1000
    await clock.advance(1000)
  }
  return undefined
}

describe('a key is picked', () => {
  test('by weight', () => {
    const { model, pickAt } = setUp([{ ...a, weight: 3 }, b])
    expect([0, 0.5, 0.749].map((at) => pickAt(at, model))).toEqual(['a', 'a', 'a'])
    expect([0.75, 0.9, 0.999].map((at) => pickAt(at, model))).toEqual(['b', 'b', 'b'])
  })

  test('as often as its weight says', () => {
    let state = 7
    const random = () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647
    const keys = [a, { ...b, weight: 0.5 }, { name: 'c', key: 'secret-c', weight: 2.5 }]
    const model = createKeyRing({
      provider: 'test',
      keys,
      clock: createFakeClock(),
      logger: silentLogger,
      random,
    }).forModel('m')
    const counts: Record<string, number> = { a: 0, b: 0, c: 0 }
    for (let i = 0; i < 20_000; i++) counts[model.pick(new Set()).name]! += 1
    for (const { name, weight = 1 } of keys) expect(counts[name]! / 20_000).toBeCloseTo(weight / 4, 1.7)
  })

  test('by the weights of those that are left, where others cool down or were tried', () => {
    const heavy = { ...a, weight: 98 }
    const { model, pickAt } = setUp([heavy, b, { name: 'c', key: 'secret-c' }])
    model.coolDown(heavy, refused)
    expect([pickAt(0, model), pickAt(0.49, model), pickAt(0.51, model)]).toEqual(['b', 'b', 'c'])
    expect(pickAt(0, model, [b])).toBe('c')
  })
})

describe('a key cools down', () => {
  test.each<[what: string, error: AppError, cooldownMs: number]>([
    ['five minutes when it is refused', refused, 300_000],
    ['five minutes when it may not do this', failure('model_auth_failed', { status: 403 }), 300_000],
    ['thirty seconds when it is limited', limited, 30_000],
    ['as long as the provider says', failure('model_rate_limited', { retryAfterMs: 7000 }), 7000],
    ['an hour at most', failure('model_rate_limited', { retryAfterMs: 86_400_000 }), 3_600_000],
    ['five minutes when its credit is used up', unpaid, 300_000],
  ])('%s, and is then picked again', async (_, error, cooldownMs) => {
    const scene = setUp()
    expect(scene.model.coolDown(a, error)).toBe(true)
    expect(await cooldownOf(a, scene)).toBe(cooldownMs)
  })

  test('until the longer of two cooldowns is over', async () => {
    const scene = setUp()
    scene.model.coolDown(a, failure('model_rate_limited', { retryAfterMs: 60_000 }))
    scene.model.coolDown(a, failure('model_rate_limited', { retryAfterMs: 1000 }))
    expect(await cooldownOf(a, scene)).toBe(60_000)
  })

  test('for all models when it is refused or has no credit', () => {
    for (const error of [refused, unpaid]) {
      const { ring, model, pickAt } = setUp()
      model.coolDown(a, error)
      expect(pickAt(0, ring.forModel('test/other'))).toBe('b')
    }
  })

  test('for the one model when it is limited, or may not use that one', () => {
    for (const error of [limited, failure('model_auth_failed', { status: 403 })]) {
      const { ring, model, pickAt } = setUp()
      model.coolDown(a, error)
      expect([pickAt(0, model), pickAt(0, ring.forModel('test/other'))]).toEqual(['b', 'a'])
    }
  })

  test.each<ErrorCode>([
    'model_unavailable',
    'model_timeout',
    'model_refused',
    'context_length_exceeded',
    'internal',
  ])('not after %s', (code) => {
    const { model, pickAt, warnings } = setUp()
    expect(model.coolDown(a, failure(code))).toBe(false)
    expect([pickAt(0, model), warnings]).toEqual(['a', []])
  })
})

describe('when all keys cool down', () => {
  test('the error is that of the first to come back, and says when', async () => {
    const { clock, model } = setUp()
    model.coolDown(a, refused)
    await clock.advance(10_000)
    model.coolDown(b, limited)
    await clock.advance(1000)
    const error = failureOf(() => model.pick(new Set()))
    expect(error).toMatchObject({ code: 'model_rate_limited', retryable: true, retryAfterMs: 29_000 })
    expect(error.message).not.toContain('secret')
  })

  test('an error that cannot be mended by waiting stays one', () => {
    const { model } = setUp()
    model.coolDown(a, unpaid)
    model.coolDown(b, refused)
    expect(failureOf(() => model.pick(new Set()))).toMatchObject({
      code: 'model_rate_limited',
      retryable: false,
      retryAfterMs: 300_000,
    })
  })

  test('a key that was too poor for this request is not tried twice, nor kept from the next', () => {
    const { model, pickAt, warnings } = setUp()
    expect(model.coolDown(a, failure('model_refused', { status: 402 }))).toBe(true)
    model.coolDown(b, refused)
    expect(failureOf(() => model.pick(new Set([a, b])))).toMatchObject({
      code: 'model_refused',
      retryAfterMs: undefined,
    })
    expect([pickAt(0, model), warnings.length]).toEqual(['a', 1])
  })
})

describe('the log', () => {
  test('names provider, key and code, and never the key or the words of the provider', () => {
    const { model, warnings } = setUp()
    model.coolDown(a, refused)
    model.coolDown(b, limited)
    expect(warnings.map(({ fields }) => fields)).toEqual([
      { provider: 'test', key: 'a', code: 'model_auth_failed', cooldown_ms: 300_000 },
      { provider: 'test', key: 'b', code: 'model_rate_limited', cooldown_ms: 30_000, model: 'test/one' },
    ])
    expect(JSON.stringify(warnings)).not.toContain('secret')
  })

  test('says it once for calls that fail together, and again after a cooldown', async () => {
    const { model, warnings, clock } = setUp()
    model.coolDown(a, refused)
    model.coolDown(a, refused)
    expect(warnings).toHaveLength(1)
    await clock.advance(300_000)
    model.coolDown(a, refused)
    expect(warnings).toHaveLength(2)
  })
})
