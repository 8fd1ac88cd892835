import type { Directory } from '../agent/context.ts'
import type { Agent } from '../agent/definitions.ts'
import { modelsAtWork } from '../agent/route.ts'
import { AppError } from '../errors.ts'
import { createId } from '../ids.ts'
import { textOf } from '../items.ts'
import type { RunOptions } from '../run-state.ts'
import type {
  ApprovalRecord,
  CreateRun,
  CreateRunResult,
  Definitions,
  RunRecord,
  Store,
} from '../store/store.ts'
import { toApprovalRequest } from './approvals.ts'
import { cancelRun, tellInterrupted, type CancelOptions } from './cancels.ts'
import { checkRequest } from './input-checks.ts'
import type { Lease } from './lease.ts'
import { noteChange } from './note-change.ts'
import type { CreateRunInput, CreatedRun, Runs } from './runs.ts'

/** When a caller that found the node draining shall try again: another takes its place by then. */
const drainRetryMs = 1_000
const queueRetryMs = 1_000
const idempotencyTtlMs = 24 * 3600 * 1000

export interface RunServiceOptions extends CancelOptions {
  agents: ReadonlyMap<string, Agent>
  directory: Directory
  definitions: () => Definitions
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

async function createRun(options: RunServiceOptions, input: CreateRunInput): Promise<CreatedRun> {
  const { store, executor, lease } = options
  // Nothing new is asked for: what would stand in the way of a new run is no reason to refuse it.
  const repeated = input.idempotency && (await findRepeated(options, input))
  if (repeated) return { run: repeated, attached: true }
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
    if (!slot && (await store.runs.countClaimable(options.maxQueuedRuns)) >= options.maxQueuedRuns) {
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
    const { run, start, interrupted } = result
    if (start && slot) {
      executing = true
      slot.execute({ run, start, rescued: false }, input.input)
    }
    for (const other of interrupted) tellInterrupted(options, other)
    return { run, attached: false }
  } finally {
    if (!executing) {
      slot?.release()
      // There may be a queued run, this one or one that found our place taken.
      options.wakes.work()
    }
  }
}

/** The run that the same request was for before. Throws `idempotency_key_reused`. */
async function findRepeated(
  { store, clock }: RunServiceOptions,
  { principal, idempotency }: CreateRunInput,
): Promise<RunRecord | undefined> {
  if (!idempotency) return undefined
  const { route, key, fingerprint } = idempotency
  const used = await store.runs.findByKey(principal, { route, key, now: clock.now() })
  if (used && used.fingerprint !== fingerprint) throw new AppError('idempotency_key_reused')
  return used?.run
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
    on_conflict:
      input.onConflict === 'interrupt'
        ? { interrupt: { actor: input.principal.name, reason: 'interrupted' } }
        : (input.onConflict ?? 'queue'),
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
