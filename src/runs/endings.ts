import type { Batch, RunOutcome, Totals } from '../agent/context.ts'
import { Interruption } from '../agent/context.ts'
import { costField, spentNow } from '../agent/totals.ts'
import { sleep, type Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { EventDraft } from '../events.ts'
import { logOutcome, type Logger } from '../logger.ts'
import type { RunError, StopReason, TerminalStatus } from '../run-state.ts'
import type { LogWriter } from './log-writer.ts'

const firstRetryMs = 1_000
const maxRetryMs = 5_000

export interface Ending {
  log: LogWriter
  clock: Clock
  totals: Totals
  steps: number
}

/**
 * Ends a run whose loop threw, or gives it back. A cancel that comes in at the same moment wins. Throws only when nothing
 * could be written; another attempt then finds the run where it is.
 */
export async function endInterrupted(
  ending: Ending,
  input: { error: unknown; logger: Logger },
): Promise<void> {
  const { error, logger } = input
  try {
    if (error instanceof Interruption) return await endInterruption(ending, error)
    const failure = AppError.from(error)
    if (failure.code === 'store_unavailable') throw failure
    logFailure(logger, failure)
    await end(ending, failed(failure))
  } catch (second) {
    // The run was cancelled, or taken from us, while we were writing its end.
    if (second instanceof Interruption && second !== error) return endInterruption(ending, second)
    throw second
  }
}

async function endInterruption(ending: Ending, interruption: Interruption): Promise<void> {
  switch (interruption.reason) {
    case 'fenced':
      return
    case 'cancelled':
      return end(ending, cancelled)
    case 'timeout':
      return end(ending, failed(new AppError('run_timeout')))
    case 'drain':
      return release(ending)
    default:
      return interruption.reason satisfies never
  }
}

interface Final {
  status: TerminalStatus
  stopReason: StopReason
  error: RunError
}

const cancelled: Final = {
  status: 'cancelled',
  stopReason: 'cancelled',
  error: { code: 'run_cancelled', message: 'The run was cancelled.' },
}

function failed(failure: AppError): Final {
  const { code, message } = failure
  return { status: 'failed', stopReason: stopReasonOf(code), error: { code, message } }
}

function stopReasonOf(code: string): StopReason {
  if (code === 'run_timeout') return 'timeout'
  return code === 'content_filter' ? 'content_filter' : 'error'
}

async function end(ending: Ending, final: Final): Promise<void> {
  const { log, totals, steps } = ending
  // What was streamed stays: the cut message is the output.
  const output = log.deferredItems
    .filter((one) => one.item.type === 'message' && !one.void && one.parentCallId === undefined)
    .map(({ item }) => item.id)
  const event: EventDraft = {
    type: 'run.end',
    status: final.status,
    stop_reason: final.stopReason,
    output,
    usage: totals.usage,
    ...costField(totals),
    steps,
    error: final.error,
  }
  const outcome: RunOutcome = {
    status: final.status,
    stop_reason: final.stopReason,
    error: final.error,
    output,
  }
  await log.commit({ events: [event], ...standing(ending), end: outcome })
}

/**
 * The last resort, where the store refused even the end: lets go of what was streamed and not committed, and tries to write
 * a bare end until it is written or may not be. A run must not stay open with nobody on it.
 */
export async function endBare(
  ending: Ending,
  input: { clock: Clock; mayWrite: () => boolean },
): Promise<void> {
  let final = failed(new AppError('store_unavailable'))
  for (let ms = firstRetryMs; ; ms = Math.min(ms * 2, maxRetryMs)) {
    await sleep({ clock: input.clock, ms })
    if (!input.mayWrite()) return
    try {
      ending.log.discard()
      await end(ending, final)
      return
    } catch (error) {
      // Anything else is the store that still refuses; what it says was logged the first time.
      if (!(error instanceof Interruption)) continue
      if (error.reason !== 'cancelled') return
      final = cancelled
    }
  }
}

/** Gives the run back, for another node or another day. A reply that was cut is void: the model will be asked again. */
async function release(ending: Ending): Promise<void> {
  const { log, steps } = ending
  const batch: Batch = { ...standing(ending), end: { status: 'queued' } }
  if (log.voidDeferred()) batch.events = [{ type: 'step.retry', step: steps, reason: 'node_drain' }]
  await log.commit(batch)
}

/** What the run has come to. */
function standing({ totals, steps, clock }: Ending): Pick<Batch, 'usage' | 'spent' | 'steps'> {
  return { usage: totals.usage, spent: spentNow(totals, clock), steps }
}

function logFailure(logger: Logger, failure: AppError): void {
  const { code, cause } = failure
  if (code === 'internal') logger.error({ code, err: cause ?? failure }, 'run failed: bug')
  else logOutcome(logger, { error: failure, message: 'run failed' })
}
