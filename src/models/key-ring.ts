import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Logger } from '../logger.ts'

/** One of several keys for the same provider. */
export interface ProviderKey {
  /** For the log, which never sees the key. Unique within its provider. */
  name: string
  key: string
  /** Share of the calls, relative to the other keys. More than 0; default 1. */
  weight?: number
}

export interface KeyRingOptions {
  provider: string
  /** At least one. */
  keys: readonly ProviderKey[]
  clock: Clock
  logger: Logger
  /** From 0, below 1. */
  random: () => number
}

/** The keys of one provider, and which of them cool down. */
export interface KeyRing {
  /** What the model of this name sees of the keys. */
  forModel(id: string): ModelKeys
}

export interface ModelKeys {
  readonly keys: readonly ProviderKey[]
  /**
   * A key that does not cool down and is not among those of `except`, by weight. Where there is none, throws the error of the key
   * that can be asked again first; `retryAfterMs` says when.
   */
  pick(except: ReadonlySet<ProviderKey>): ProviderKey
  /**
   * Takes what the key's call failed with, and whether another key may do better. A failure that is not about the key
   * changes nothing: then it is false.
   */
  coolDown(key: ProviderKey, error: AppError): boolean
}

const refusedCooldownMs = 5 * 60_000
const limitedCooldownMs = 30_000
/** A provider's word on when to come back counts up to here: a mistaken one must not cost the key for good. */
const maxCooldownMs = 60 * 60_000

/** On the clock that never jumps. Kept when it is over, for its error. */
interface Cooldown {
  until: number
  error: AppError
}

type Cooldowns = Map<ProviderKey, Cooldown>

/**
 * A refused key (401) or one without credit cools down for all models; after 403 and 429, which providers decide model by
 * model, for the one that was asked: nobody can take a key from the others by naming a model it may not use. A request that
 * is too expensive for a key takes it from nobody.
 */
export function createKeyRing(options: KeyRingOptions): KeyRing {
  const { provider, keys, clock, logger, random } = options
  const forAll: Cooldowns = new Map()
  return {
    forModel(id) {
      const own: Cooldowns = new Map()
      const cooldownOf = (key: ProviderKey) => longer(forAll.get(key), own.get(key))
      return {
        keys,
        pick(except) {
          const now = clock.monotonic()
          const free = keys.filter((key) => !except.has(key) && (cooldownOf(key)?.until ?? now) <= now)
          const picked = pickByWeight(free, random())
          if (picked) return picked
          throw exhausted(keys.map(cooldownOf), { now, provider })
        },
        coolDown(key, error) {
          const scope = scopeOf(error)
          if (!scope) return false
          const cooldowns = scope === 'key' ? forAll : own
          const now = clock.monotonic()
          const before = cooldowns.get(key)
          const ms = cooldownMsOf(error)
          cooldowns.set(key, longer(before, { until: now + ms, error }))
          // Calls that were under way with the same key fail as well; the first said it.
          if (ms === 0 || (before && before.until > now)) return true
          const fields = { provider, key: key.name, code: error.code, cooldown_ms: ms }
          logger.warn(
            scope === 'key' ? fields : { ...fields, model: id },
            'a key of a model provider cools down',
          )
          return true
        },
      }
    },
  }
}

function longer<T extends Cooldown | undefined>(a: Cooldown | undefined, b: T): Cooldown | T {
  return a && !(b && b.until > a.until) ? a : b
}

/** What cools down: the key for every model, or for the one that was asked. Undefined: the key is not to blame. */
function scopeOf(error: AppError): 'key' | 'model' | undefined {
  if (error.code === 'model_auth_failed') return statusOf(error.cause) === 403 ? 'model' : 'key'
  if (error.code === 'model_rate_limited') return error.retryable ? 'model' : 'key'
  return isTooExpensive(error) ? 'model' : undefined
}

function isTooExpensive({ code, cause }: AppError): boolean {
  return code === 'model_refused' && statusOf(cause) === 402
}

function statusOf(cause: unknown): unknown {
  return typeof cause === 'object' && cause !== null && 'status' in cause ? cause.status : undefined
}

function cooldownMsOf(error: AppError): number {
  const { code, retryable, retryAfterMs } = error
  if (isTooExpensive(error)) return 0
  if (code === 'model_auth_failed') return refusedCooldownMs
  return Math.min(retryAfterMs ?? (retryable ? limitedCooldownMs : refusedCooldownMs), maxCooldownMs)
}

function pickByWeight(keys: readonly ProviderKey[], random: number): ProviderKey | undefined {
  let at = random * keys.reduce((sum, { weight = 1 }) => sum + weight, 0)
  // The last one where rounding leaves nothing for it.
  return keys.find(({ weight = 1 }) => (at -= weight) < 0) ?? keys.at(-1)
}

function exhausted(
  cooldowns: readonly (Cooldown | undefined)[],
  { now, provider }: { now: number; provider: string },
): AppError {
  const [soonest] = cooldowns.filter((one) => one !== undefined).toSorted((a, b) => a.until - b.until)
  if (!soonest) throw new Error(`the provider ${provider} has no keys`)
  const { code, message, retryable } = soonest.error
  const waitMs = Math.ceil(soonest.until - now)
  const retryAfterMs = waitMs > 0 ? waitMs : undefined
  return new AppError(code, { message, retryable, retryAfterMs, cause: soonest.error })
}
