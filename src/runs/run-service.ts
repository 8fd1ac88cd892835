import type { Directory } from '../agent/context.ts'
import type { Agent } from '../agent/definitions.ts'
import { modelsAtWork } from '../agent/route.ts'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Principal } from '../identity/principal.ts'
import { createId } from '../ids.ts'
import { textOf } from '../items.ts'
import type { Tails } from '../live/tail.ts'
import type { Wakes } from '../live/wake.ts'
import { isTerminal, type RunOptions } from '../run-state.ts'
import type {
  ApprovalRecord,
  CreateRun,
  CreateRunResult,
  Definitions,
  RunRecord,
  Store,
} from '../store/store.ts'
import { toApprovalRequest } from './approvals.ts'
import type { Executor } from './executor.ts'
import { checkRequest } from './input-checks.ts'
import type { Lease } from './lease.ts'
import type { Readers } from './readers.ts'
import { eventsOf, type CreateRunInput, type CreatedRun, type Runs } from './runs.ts'

/** How long `cancel` waits for the end. */
const cancelWaitMs = 5_000
/** How often a cancel is said again to a holder that may not have been listening yet. */
const cancelRepeatMs = 50
/** When a caller that found the node draining shall try again: another takes its place by then. */
const drainRetryMs = 1_000
const queueRetryMs = 1_000
const idempotencyTtlMs = 24 * 3600 * 1000

export interface RunServiceOptions {
  store: Store
  tails: Tails
  wakes: Wakes
  clock: Clock
  agents: ReadonlyMap<string, Agent>
  directory: Directory
  definitions: () => Definitions
  executor: Executor
  readers: Readers
  lease: Lease
  draining: () => boolean
  maxWaitingRuns: number
  maxQueuedRuns: number
  /** Of one picture or file that comes as data. */
  maxFileBytes: number
  sessionTimeoutMs: number
}

export function createRunService(options: RunServiceOptions): Runs {
  const { store, readers } = options
  return {
    create: (input) => createRun(options, input),
    async get(principal, runId) {
      return (await store.runs.find(principal, runId)) ?? notFound()
    },
    list: (principal, input) => store.runs.list(principal, input),
    outputText: (run) => outputText(store, run),
    pendingApprovals: (run) => pendingApprovals(store, run),
    read: (input) => readers.open(input),
    cancel: (principal, runId, reason) =>
      cancelRun(options, { scope: principal, runId, actor: principal.name, reason }),
    async addToolResults(principal, runId, results) {
      const outcome = await store.runs.addToolResults({
        scope: principal,
        run_id: runId,
        results: results.map(({ call_id, output, is_error }) => ({
          item: {
            type: 'tool_result',
            id: createId('item'),
            call_id,
            output,
            ...(is_error ? { error: { code: 'tool_failed', message: 'The caller reports a failure.' } } : {}),
          },
        })),
        now: options.clock.now(),
      })
      switch (outcome.outcome) {
        case 'not_found':
          return notFound()
        case 'not_suspended':
          throw new AppError('run_not_suspended', { details: { run_status: outcome.run.status } })
        case 'unknown_call':
          throw new AppError('call_not_found', { details: { call_id: outcome.call_id } })
        default:
          noteChange(options, outcome.run)
          return outcome.run
      }
    },
  }
}

/** Tells readers of something that was committed to a run nobody holds, and workers where it is queued again. */
export function noteChange(options: Pick<RunServiceOptions, 'tails' | 'wakes'>, run: RunRecord): void {
  options.tails.wake(run.id)
  options.wakes.committed(run.id)
  if (run.status === 'queued') options.wakes.work()
}

async function createRun(options: RunServiceOptions, input: CreateRunInput): Promise<CreatedRun> {
  const { store, executor, lease } = options
  if (options.draining()) throw new AppError('draining', { retryAfterMs: drainRetryMs })
  const agent = options.agents.get(input.agent)
  if (!agent) throw new AppError('agent_not_found', { details: { agent: input.agent } })
  const runOptions = input.options ?? {}
  const [model] = modelsAtWork(options.directory, { agent, options: runOptions })
  checkRequest(input, { agent, model, maxFileBytes: options.maxFileBytes })
  const id = createId('run')
  const slot = lease.held() ? executor.reserve() : undefined
  let executing = false
  try {
    if (!slot && (await store.runs.countQueued(options.maxQueuedRuns)) >= options.maxQueuedRuns) {
      throw new AppError('queue_full', { retryAfterMs: queueRetryMs })
    }
    const create = toCreateRun(options, { input, id, runOptions })
    if (slot) {
      const definition = options.definitions()[agent.name]?.definition ?? ''
      create.claim = {
        epoch: lease.epoch,
        definitions: { [agent.name]: { definition, model: model?.id ?? '' } },
      }
    }
    const result = await store.runs.create(create)
    if (result.outcome === 'conflict') throw await toConflict(options, { input, result })
    if (result.outcome === 'attached') return { run: result.run, attached: true }
    const { run, start } = result
    if (start && slot) {
      executing = true
      slot.execute({ run, start, rescued: false }, input.input)
    } else if (input.onConflict === 'interrupt') await interruptHolder(options, { input, run })
    return { run, attached: false }
  } finally {
    if (!executing) {
      slot?.release()
      // There may be a queued run, this one or one that found our place taken.
      options.wakes.work()
    }
  }
}

function toCreateRun(
  options: RunServiceOptions,
  parts: { input: CreateRunInput; id: string; runOptions: RunOptions },
): CreateRun {
  const { input, id, runOptions } = parts
  const background = input.background ?? false
  const now = options.clock.now()
  const lasts = background || input.idempotency !== undefined
  const create: CreateRun = {
    scope: { owner: input.principal.owner, namespace: input.principal.namespace },
    run: {
      id,
      agent: input.agent,
      options: runOptions,
      background,
      on_disconnect: input.onDisconnect ?? (lasts ? 'continue' : 'cancel'),
    },
    input: input.input,
    on_conflict: input.onConflict === 'reject' ? 'reject' : 'queue',
    wait_for_suspended: background || (input.onConflict !== undefined && input.onConflict !== 'reject'),
    max_waiting: options.maxWaitingRuns,
    now,
  }
  const conversation = toConversation(input, options.sessionTimeoutMs)
  if (conversation) create.conversation = conversation
  if (input.parentRunId !== undefined) create.parent_run_id = input.parentRunId
  if (input.idempotency) create.idempotency = { ...input.idempotency, expires_at: now + idempotencyTtlMs }
  return create
}

function toConversation(input: CreateRunInput, ttl_ms: number): CreateRun['conversation'] {
  const ref = input.conversation
  if (!ref) return undefined
  if ('id' in ref) return { id: ref.id }
  const new_id = createId('conv')
  return ref.session === null ? { new_id, ttl_ms } : { key: ref.session, new_id, ttl_ms }
}

async function toConflict(
  options: RunServiceOptions,
  parts: { input: CreateRunInput; result: Extract<CreateRunResult, { outcome: 'conflict' }> },
): Promise<AppError> {
  const { code, holder_run_id } = parts.result
  const details: Record<string, unknown> = {}
  if (holder_run_id !== undefined) {
    details.run_id = holder_run_id
    if (code === 'conversation_suspended') {
      const holder = await options.store.runs.find(parts.input.principal, holder_run_id)
      const approvals = holder ? await pendingApprovals(options.store, holder) : []
      details.approvals = approvals.map(toApprovalRequest)
      details.tool_calls = holder?.pending_calls ?? []
    }
  }
  const retry = code === 'queue_full' ? { retryAfterMs: queueRetryMs } : {}
  return new AppError(code, Object.keys(details).length > 0 ? { details, ...retry } : retry)
}

async function interruptHolder(
  options: RunServiceOptions,
  parts: { input: CreateRunInput; run: RunRecord },
): Promise<void> {
  const { principal } = parts.input
  const { conversation_id } = parts.run
  if (conversation_id === null) return
  const conversation = await options.store.conversations.find(principal, {
    id: conversation_id,
    now: options.clock.now(),
  })
  const holder = conversation?.holder_run_id
  if (!holder || holder === parts.run.id) return
  await tellCancel(options, { scope: principal, runId: holder, actor: principal.name, reason: 'interrupted' })
}

interface CancelInput {
  scope: Principal
  runId: string
  actor: string
  reason: string
}

/** Writes the cancel and tells the holder, without waiting for the end. */
async function tellCancel(
  options: RunServiceOptions,
  input: CancelInput,
): Promise<{ run: RunRecord; ended: boolean }> {
  const { store, executor, wakes, clock } = options
  const result = await store.runs.cancel({
    scope: input.scope,
    run_id: input.runId,
    actor: input.actor,
    reason: input.reason,
    now: clock.now(),
  })
  if (result.outcome === 'not_found') return notFound()
  if (result.outcome === 'cancelled') {
    noteChange(options, result.run)
    wakes.work()
  }
  if (result.outcome === 'signalled' && !executor.interrupt(input.runId, 'cancelled'))
    wakes.cancel(input.runId)
  return { run: result.run, ended: result.outcome !== 'signalled' }
}

export async function cancelRun(
  options: RunServiceOptions,
  input: CancelInput,
): Promise<{ run: RunRecord; ended: boolean }> {
  const { store, readers, clock, executor } = options
  const told = await tellCancel(options, input)
  if (told.ended) return told
  const reader = readers.open({ run: told.run, after: told.run.last_seq })
  let forgetWait = () => {}
  const waited = new Promise<void>((resolve) => {
    forgetWait = clock.after(cancelWaitMs, resolve)
  })
  let forgetRepeat = () => {}
  const repeat = () => {
    executor.interrupt(input.runId, 'cancelled')
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
  const run = (await store.runs.find(input.scope, input.runId)) ?? notFound()
  return { run, ended: isTerminal(run.status) }
}

async function endOf(reader: Parameters<typeof eventsOf>[0]): Promise<void> {
  for await (const event of eventsOf(reader)) if (event.type === 'run.end') return
}

async function outputText(store: Store, run: RunRecord): Promise<string> {
  if (run.output.length === 0) return ''
  let text = ''
  for (const { item } of await store.items.withIds(run.id, run.output)) {
    if (item.type === 'message') text += textOf(item)
  }
  return text
}

async function pendingApprovals(store: Store, run: RunRecord): Promise<ApprovalRecord[]> {
  if (run.status !== 'suspended') return []
  return (await store.approvals.ofRun(run.id)).filter(({ status }) => status === 'pending')
}

function notFound(): never {
  throw new AppError('run_not_found')
}
