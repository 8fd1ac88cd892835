import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../identity/principal.ts'
import type { Tails } from '../live/tail.ts'
import type { Wakes } from '../live/wake.ts'
import type { Logger } from '../logger.ts'
import { isTerminal } from '../run-state.ts'
import type { RunRecord, Store } from '../store/store.ts'
import type { Executor } from './executor.ts'
import { noteChange } from './note-change.ts'
import type { Readers } from './readers.ts'
import { eventsOf } from './runs.ts'

/** How long a cancel is followed. */
const cancelWaitMs = 5_000
/** How often it is said again to a holder that may not have been listening yet. */
const cancelRepeatMs = 50

export interface CancelOptions {
  store: Store
  tails: Tails
  wakes: Wakes
  clock: Clock
  logger: Logger
  executor: Executor
  readers: Readers
}

export interface CancelInput {
  scope: Scope
  runId: string
  actor: string
  reason: string
}

/** As the run is now; `ended: false`: its holder has been told, and will end it. */
export interface Cancelled {
  run: RunRecord
  ended: boolean
}

/** Cancels, and waits for the end, though not for long. Throws `run_not_found`. */
export async function cancelRun(options: CancelOptions, input: CancelInput): Promise<Cancelled> {
  const told = await tellCancel(options, input)
  return told.ended ? told : followCancel(options, input, told.run)
}

/** Tells of the cancel of a run that another one interrupted when it was created. What fails is logged: it is written. */
export function tellInterrupted(options: CancelOptions, run: RunRecord): void {
  if (isTerminal(run.status)) return noteChange(options, run)
  tellHolder(options, run.id)
  followCancel(options, { scope: run, runId: run.id }, run).catch((error: unknown) =>
    options.logger.error({ err: error, run_id: run.id }, 'following an interrupted run failed'),
  )
}

/** Writes the cancel and tells the holder. */
async function tellCancel(options: CancelOptions, input: CancelInput): Promise<Cancelled> {
  const { store, wakes, clock } = options
  const { scope, runId: run_id, actor, reason } = input
  const result = await store.runs.cancel({ scope, run_id, actor, reason, now: clock.now() })
  if (result.outcome === 'not_found') throw new AppError('run_not_found')
  if (result.outcome === 'cancelled') {
    noteChange(options, result.run)
    wakes.work()
  }
  if (result.outcome === 'signalled') tellHolder(options, run_id)
  return { run: result.run, ended: result.outcome !== 'signalled' }
}

function tellHolder({ executor, wakes }: CancelOptions, runId: string): void {
  if (!executor.interrupt(runId, 'cancelled')) wakes.cancel(runId)
}

/** Tells the holder again and again until the run ends, or the wait is over. */
async function followCancel(
  { store, readers, clock, executor }: CancelOptions,
  { scope, runId }: Pick<CancelInput, 'scope' | 'runId'>,
  told: RunRecord,
): Promise<Cancelled> {
  const reader = readers.open({ run: told, after: told.last_seq })
  let forgetWait = () => {}
  const waited = new Promise<void>((resolve) => {
    forgetWait = clock.after(cancelWaitMs, resolve)
  })
  let forgetRepeat = () => {}
  const repeat = () => {
    executor.interrupt(runId, 'cancelled')
    forgetRepeat = clock.after(cancelRepeatMs, repeat)
  }
  repeat()
  try {
    await Promise.race([endOf(reader), waited])
  } finally {
    forgetWait()
    forgetRepeat()
    reader.detach('server')
  }
  const run = await store.runs.find(scope, runId)
  if (!run) throw new AppError('run_not_found')
  return { run, ended: isTerminal(run.status) }
}

async function endOf(reader: Parameters<typeof eventsOf>[0]): Promise<void> {
  for await (const event of eventsOf(reader)) if (event.type === 'run.end') return
}
