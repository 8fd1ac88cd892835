import { sleep, systemClock, type Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Model, ModelPart, ModelReply, ModelStreamOptions } from '../models/model.ts'
import { describeDifferences, differencesOf, isSame, type Difference } from './differences.ts'
import {
  readFixture,
  toFilePath,
  type FixturePath,
  type RecordedCall,
  type RecordedEnd,
} from './model-fixture.ts'
import type { FixtureModel } from './record-model.ts'
import { toRecordedRequest, type NormaliseText, type RecordedRequest } from './recorded-request.ts'

/**
 * Which recorded call a request gets. `strict`: the next one, which must be the same. `request`: the first of those left that
 * is the same, for calls that overlap. `order`: the next one, whatever was asked.
 */
export type ReplayMatch = 'strict' | 'request' | 'order'

export interface ReplayModelOptions {
  path: FixturePath
  /** Default `strict`. */
  match?: ReplayMatch
  /** As it was recorded with. */
  normalise?: NormaliseText
  /** Waits as the recorded model did, where the recording has `timings`. Default false: all parts come at once. */
  timings?: boolean
  /** What `timings` waits on. */
  clock?: Clock
}

/**
 * Plays recorded calls. A request that is not as recorded fails its run with `internal`, and the message says what is
 * different; `close` rejects with the same. Recorded errors come as the same coded errors.
 *
 * Throws an `Error` where there is no such file, or it is no fixture.
 */
export function replayModel(options: ReplayModelOptions): FixtureModel {
  const { path, match = 'strict', normalise, timings = false, clock = systemClock } = options
  const fixture = readFixture(path)
  const script = createScript({ file: toFilePath(path), calls: fixture.calls, match })
  let closing: Promise<void> | undefined
  // The file has no fields that are present and undefined.
  const info = fixture.model as Pick<Model, 'provider' | 'id'>

  return {
    ...info,
    async stream(request, streamOptions) {
      // A microtask at least before the first part: no caller is called back before its call has returned.
      const call = await script.take(toRecordedRequest(request, normalise))
      return play(call, { ...streamOptions, clock: timings ? clock : undefined })
    },
    close: () => (closing ??= script.check()),
  }
}

interface Script {
  /** Rejects with a mismatch. */
  take(request: RecordedRequest): Promise<RecordedCall>
  /** Rejects with the first mismatch, or where calls are left. */
  check(): Promise<void>
}

function createScript(input: { file: string; calls: readonly RecordedCall[]; match: ReplayMatch }): Script {
  const { file, calls, match } = input
  const left = [...calls]
  let asked = 0
  let mismatch: AppError | undefined

  return {
    async take(request) {
      asked++
      const at = match === 'request' ? left.findIndex((call) => isSame(call.request, request)) : 0
      const call = left[at]
      const fits = call && (match !== 'strict' || isSame(call.request, request))
      if (fits) return (void left.splice(at, 1), call)
      const message = describeMismatch({ file, request, asked, next: left[0], count: calls.length })
      // Against the rule for errors, the message tells all: nobody but a test meets it.
      const failure = new AppError('internal', { message, retryable: false })
      mismatch ??= failure
      throw failure
    },
    async check() {
      if (mismatch) throw mismatch
      if (left.length === 0) return
      const count = `${left.length} of ${calls.length} recorded calls`
      const first = left[0]?.request.items.at(-1)
      throw new Error(
        `replayModel: ${count} in ${file} were not made. The first of them ends in ${show(first)}.\n${advice}`,
      )
    },
  }
}

const advice = 'Where that is meant, delete the file and record it again.'

function show(item: Record<string, unknown> | undefined): string {
  const text = JSON.stringify(item) ?? 'nothing'
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}

function describeMismatch(input: {
  file: string
  request: RecordedRequest
  asked: number
  next: RecordedCall | undefined
  count: number
}): string {
  const { file, request, asked, next, count } = input
  if (!next) {
    const last = show(request.items.at(-1))
    return `replayModel: ${file} holds ${count} calls, and this is call ${asked}. It ends in ${last}.\n${advice}`
  }
  const names = { expected: 'recorded', actual: 'asked' }
  const differences = describeDifferences(requestDifferences(next.request, request), names)
  return `replayModel: call ${asked} is not as it was recorded in ${file}\n${differences}\n${advice}`
}

/** What was said first: it is mostly what explains the rest. */
function requestDifferences(recorded: RecordedRequest, request: RecordedRequest): Difference[] {
  const { items: recordedItems, ...recordedRest } = recorded
  const { items, ...rest } = request
  return [...differencesOf(recordedRest, rest), ...differencesOf(recordedItems, items, 'items')]
}

async function play(
  { parts, end }: RecordedCall,
  { emit, signal, clock }: ModelStreamOptions & { clock: Clock | undefined },
): Promise<ModelReply> {
  const began = clock?.monotonic() ?? 0
  const waitUntil = async (at: number | undefined) => {
    if (clock && at !== undefined) await sleep({ clock, ms: began + at - clock.monotonic(), signal })
    signal.throwIfAborted()
  }
  for (const { at_ms, ...part } of parts) {
    // Only awaited where there is something to wait for: else all parts come in one go.
    if (clock) await waitUntil(at_ms)
    signal.throwIfAborted()
    // The file has no fields that are present and undefined.
    emit(part as ModelPart)
  }
  await waitUntil(end.at_ms)
  return finish(end, signal)
}

async function finish(end: RecordedEnd, signal: AbortSignal): Promise<ModelReply> {
  switch (end.type) {
    case 'reply':
      return { finishReason: end.finishReason, usage: end.usage }
    case 'error':
      throw toError(end)
    case 'aborted':
      return aborted(signal)
    default:
      return end satisfies never
  }
}

function toError({
  code,
  message,
  retryable,
  retryAfterMs,
}: Extract<RecordedEnd, { type: 'error' }>): AppError {
  return new AppError(code, {
    cause: new Error('recorded failure'),
    ...(message !== undefined && { message }),
    ...(retryable !== undefined && { retryable }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  })
}

/** Silent until the signal fires, as the recorded model was. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const abort = () => reject(signal.reason as Error)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}
