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

/**
 * Cancels the run that holds a conversation, for one that waits behind it. Resolves when the cancel is written, without
 * waiting for the end; what fails is logged: the one that waits is there, and its turn comes in any case.
 */
export async function interruptHolder(
  options: CancelOptions,
  input: { run: RunRecord; actor: string },
): Promise<void> {
  const { run, actor } = input
  const fail = (error: unknown) =>
    options.logger.error({ err: error, run_id: run.id }, 'interrupting the holder of a conversation failed')
  try {
    const holder = await holderBefore(options, run)
    if (holder === undefined) return
    const cancel = { scope: run, runId: holder, actor, reason: 'interrupted' }
    const told = await tellCancel(options, cancel)
    if (!told.ended) followCancel(options, cancel, told.run).catch(fail)
  } catch (error) {
    fail(error)
  }
}

async function holderBefore({ store, clock }: CancelOptions, run: RunRecord): Promise<string | undefined> {
  if (run.conversation_id === null) return undefined
  const named = { id: run.conversation_id, now: clock.now() }
  const holder = (await store.conversations.find(run, named))?.holder_run_id
  return !holder || holder === run.id ? undefined : holder
}

/** Writes the cancel and tells the holder. */
async function tellCancel(options: CancelOptions, input: CancelInput): Promise<Cancelled> {
  const { store, executor, wakes, clock } = options
  const { scope, runId: run_id, actor, reason } = input
  const result = await store.runs.cancel({ scope, run_id, actor, reason, now: clock.now() })
  if (result.outcome === 'not_found') throw new AppError('run_not_found')
  if (result.outcome === 'cancelled') {
    noteChange(options, result.run)
    wakes.work()
  }
  if (result.outcome === 'signalled' && !executor.interrupt(run_id, 'cancelled')) wakes.cancel(run_id)
  return { run: result.run, ended: result.outcome !== 'signalled' }
}

/** Tells the holder again and again until the run ends, or the wait is over. */
async function followCancel(
  { store, readers, clock, executor }: CancelOptions,
  { scope, runId }: CancelInput,
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
