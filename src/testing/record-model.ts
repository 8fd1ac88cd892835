import type { ModelChoice } from '../agent/definitions.ts'
import { systemClock, type Clock } from '../clock.ts'
import { AppError, errorCodes } from '../errors.ts'
import type { Model, ModelPart, ModelRequest, ModelStreamOptions } from '../models/model.ts'
import { findSecrets } from './find-secrets.ts'
import {
  toFilePath,
  writeFixture,
  type FixturePath,
  type RecordedCall,
  type RecordedEnd,
  type RecordedModelInfo,
  type RecordedPart,
} from './model-fixture.ts'
import { openModel } from './open-model.ts'
import { toRecordedRequest, type NormaliseText } from './recorded-request.ts'

export interface RecordModelOptions {
  path: FixturePath
  normalise?: NormaliseText
  /** Keeps when each part came. Default false: a new recording of the same replies is the same file. */
  timings?: boolean
  /** What `timings` are taken from. */
  clock?: Clock
}

/** A model that is recorded or played back. */
export interface FixtureModel extends Model {
  /**
   * Of a recording: writes the file. Rejects, and writes nothing, while a call is under way, and where the file would hold a
   * key. Of a replay: rejects with the first mismatch there was, or where recorded calls were not made. Close it after the
   * server. Idempotent.
   */
  close(): Promise<void>
}

/**
 * Passes calls on to a model and keeps them: each request without its ids, each part of the reply, how it ended. `close`
 * writes the file that `replayModel` plays. Throws `model_not_configured` for a name that the settings of the environment do
 * not resolve.
 *
 * @example
 * const model = recordModel('openai/gpt-4o-mini', { path: new URL('./weather.json', import.meta.url) })
 */
export function recordModel(choice: ModelChoice, options: RecordModelOptions): FixtureModel {
  const opened = openModel(choice)
  const { model } = opened
  const { path, normalise, timings = false, clock = systemClock } = options
  const calls: (RecordedCall | undefined)[] = []
  let closing: Promise<void> | undefined

  async function record(request: ModelRequest, streamOptions: ModelStreamOptions) {
    const place = calls.length
    calls.push(undefined)
    const began = clock.monotonic()
    const at = () => (timings ? { at_ms: Math.round(clock.monotonic() - began) } : {})
    const recorded = toRecordedRequest(request, normalise)
    const parts: RecordedPart[] = []
    const emit = (part: ModelPart) => {
      streamOptions.emit(part)
      parts.push({ ...part, ...at() })
    }
    const finish = (end: RecordedEnd) => {
      calls[place] = { request: recorded, parts, end: { ...end, ...at() } }
    }
    try {
      const reply = await model.stream(request, { ...streamOptions, emit })
      finish({ type: 'reply', finishReason: reply.finishReason, usage: reply.usage })
      return reply
    } catch (error) {
      finish(streamOptions.signal.aborted ? { type: 'aborted' } : toRecordedError(error))
      throw error
    }
  }

  async function finish(): Promise<void> {
    try {
      save({ path, model, calls })
    } finally {
      await opened.close()
    }
  }

  return {
    ...infoOf(model),
    stream: record,
    close: () => (closing ??= finish()),
  }
}

function save(input: {
  path: FixturePath
  model: Model
  calls: readonly (RecordedCall | undefined)[]
}): void {
  const { path, model } = input
  const calls = input.calls.filter((call) => call !== undefined)
  if (calls.length < input.calls.length) {
    throw new Error(
      `recordModel: a call is still under way: close the server before ${toFilePath(path)} is written`,
    )
  }
  const places = calls.flatMap((call, i) => findSecrets(call).map((place) => `call ${i + 1}: ${place}`))
  if (places.length > 0) {
    const advice =
      'Take it out of what the model is told, or replace it with `normalise`; where it is in a reply, record anew without it.'
    throw new Error(
      `recordModel: ${toFilePath(path)} would hold a key, so it was not written.\n${places.join('\n')}\n${advice}`,
    )
  }
  writeFixture(path, { model: infoOf(model), calls })
}

function infoOf({ provider, id, contextWindow, accepts, enforcesOutputSchema }: Model): RecordedModelInfo {
  return {
    provider,
    id,
    ...(contextWindow !== undefined && { contextWindow }),
    ...(accepts && { accepts: [...accepts] }),
    ...(enforcesOutputSchema !== undefined && { enforcesOutputSchema }),
  }
}

/** What a model rejects with against its contract is `internal`, as it is for the loop. */
function toRecordedError(error: unknown): RecordedEnd {
  const { code, message, retryable, retryAfterMs } = AppError.from(error)
  const usual = new AppError(code)
  return {
    type: 'error',
    code,
    ...(message !== usual.message && { message }),
    ...(retryable !== errorCodes[code].retryable && { retryable }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  }
}
