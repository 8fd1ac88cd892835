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

/** The keys of one provider, and which of them rest. */
export interface KeyRing {
  /** What the model of this name sees of the keys. */
  forModel(id: string): ModelKeys
}

export interface ModelKeys {
  readonly keys: readonly ProviderKey[]
  /**
   * A key that does not rest and is not among those of `except`, by weight. Where there is none, throws the error of the key
   * that can be asked again first; `retryAfterMs` says when.
   */
  pick(except: ReadonlySet<ProviderKey>): ProviderKey
  /** Takes what the key's call failed with. A failure that is not about the key changes nothing: then it is false. */
  rest(key: ProviderKey, error: AppError): boolean
}

const refusedRestMs = 5 * 60_000
const limitedRestMs = 30_000
/** A provider's word on when to come back counts up to here: a mistaken one must not cost the key for good. */
const maxRestMs = 60 * 60_000

/** On the clock that never jumps. Kept when it is over, for its error. */
interface Rest {
  until: number
  error: AppError
}

type Rests = Map<ProviderKey, Rest>

/**
 * A refused key (401) or one without credit rests for all models; after 403 and 429, which providers decide model by model,
 * it rests for the one that was asked: nobody can take a key from the others by naming a model it may not use.
 */
export function createKeyRing(options: KeyRingOptions): KeyRing {
  const { provider, keys, clock, logger, random } = options
  const forAll: Rests = new Map()
  return {
    forModel(id) {
      const own: Rests = new Map()
      const restOf = (key: ProviderKey) => longer(forAll.get(key), own.get(key))
      return {
        keys,
        pick(except) {
          const now = clock.monotonic()
          const free = keys.filter((key) => !except.has(key) && (restOf(key)?.until ?? now) <= now)
          const picked = pickByWeight(free, random())
          if (picked) return picked
          throw exhausted(keys.map(restOf), { now, provider })
        },
        rest(key, error) {
          const scope = scopeOf(error)
          if (!scope) return false
          const rests = scope === 'key' ? forAll : own
          const now = clock.monotonic()
          const before = rests.get(key)
          const restMs = restMsOf(error)
          rests.set(key, longer(before, { until: now + restMs, error }))
          // Calls that were under way with the same key fail as well; the first said it.
          if (before && before.until > now) return true
          const fields = { provider, key: key.name, code: error.code, rest_ms: restMs }
          logger.warn(scope === 'key' ? fields : { ...fields, model: id }, 'a key of a model provider rests')
          return true
        },
      }
    },
  }
}

function longer<T extends Rest | undefined>(a: Rest | undefined, b: T): Rest | T {
  return a && !(b && b.until > a.until) ? a : b
}

/** What rests: the key for every model, or for the one that was asked. Undefined: the key is not to blame. */
function scopeOf(error: AppError): 'key' | 'model' | undefined {
  if (error.code === 'model_auth_failed') return statusOf(error.cause) === 403 ? 'model' : 'key'
  if (error.code === 'model_rate_limited') return error.retryable ? 'model' : 'key'
  return undefined
}

function statusOf(cause: unknown): unknown {
  return typeof cause === 'object' && cause !== null && 'status' in cause ? cause.status : undefined
}

function restMsOf({ code, retryable, retryAfterMs }: AppError): number {
  if (code === 'model_auth_failed') return refusedRestMs
  return Math.min(retryAfterMs ?? (retryable ? limitedRestMs : refusedRestMs), maxRestMs)
}

function pickByWeight(keys: readonly ProviderKey[], random: number): ProviderKey | undefined {
  let at = random * keys.reduce((sum, { weight = 1 }) => sum + weight, 0)
  // The last one where rounding leaves nothing for it.
  return keys.find(({ weight = 1 }) => (at -= weight) < 0) ?? keys.at(-1)
}

function exhausted(
  rests: readonly (Rest | undefined)[],
  { now, provider }: { now: number; provider: string },
): AppError {
  const soonest = rests.filter((rest) => rest !== undefined).toSorted((a, b) => a.until - b.until)[0]
  if (!soonest) throw new Error(`the provider ${provider} has no keys`)
  const { code, message, retryable } = soonest.error
  const retryAfterMs = Math.max(0, Math.ceil(soonest.until - now))
  return new AppError(code, { message, retryable, retryAfterMs, cause: soonest.error })
}
