import type { TestAPI } from 'vitest'
import { test } from 'vitest'
import type { ApprovalRequest, PendingCall } from '../events.ts'
import { attemptGap } from '../events.ts'
import type { Scope } from '../identity/principal.ts'
import { createId } from '../ids.ts'
import type { Item, MessageItem } from '../items.ts'
import type { TerminalStatus } from '../run-state.ts'
import type {
  ClaimedRun,
  Commit,
  CommitOutcome,
  CreateRun,
  CreateRunResult,
  Definitions,
  RunRecord,
  Store,
} from '../store/store.ts'
import type { StoredEvent } from '../store/stored-event.ts'

export interface OpenedStore {
  store: Store
  /** Closes the store and opens another on the same data. */
  reopen(): Promise<Store>
  cleanup(): Promise<void>
}

export type OpenStore = () => Promise<OpenedStore>

/** What a test of the store needs: a store, a node that has joined, and short ways to bring a run somewhere. */
export interface StoreScene {
  store: Store
  scope: Scope
  epoch: number
  definitions: Definitions
  /** The time of the next call that needs one. Tests move it. */
  now: number
  /** Closes and opens the store again, and joins. */
  reopen(): Promise<void>
  /** Another node takes over: every older epoch is void. */
  takeOver(): Promise<void>
  create(
    input?: Partial<CreateRun> & { agent?: string; options?: RunRecord['options'] },
  ): Promise<CreateRunResult>
  /** Creates and expects a run that is queued. */
  queue(input?: Parameters<StoreScene['create']>[0]): Promise<RunRecord>
  /** Creates and expects a run that is running. */
  run(input?: Parameters<StoreScene['create']>[0]): Promise<RunRecord>
  claim(): Promise<ClaimedRun | null>
  /** Commits for the run's holder; `run` says where it stands. Without events it writes one `warning`. */
  commit(run: RunRecord, input?: Partial<Omit<Commit, 'fence'>>): Promise<CommitOutcome>
  finish(run: RunRecord, status?: TerminalStatus): Promise<CommitOutcome>
  /** Suspends on so many approvals and caller's calls; gives the ids of the approvals. */
  suspend(
    run: RunRecord,
    on: {
      approvals?: Partial<ApprovalRequest & { expires_at_ms: number | null }>[]
      calls?: PendingCall[]
      calls_expire_at?: number | null
    },
  ): Promise<string[]>
  load(run: { id: string }): Promise<RunRecord>
  cancel(run: { id: string }, scope?: Scope): ReturnType<Store['runs']['cancel']>
  /** Every committed event of a run. */
  log(run: { id: string }): Promise<StoredEvent[]>
}

/** A `test` whose body gets a scene, which is cleaned up after it. */
export function sceneTest(
  open: OpenStore,
): (name: string, body: (scene: StoreScene) => Promise<void>) => void {
  const declare: TestAPI = test
  return (name, body) =>
    declare(name, async () => {
      const opened = await open()
      try {
        await body(await createScene(opened))
      } finally {
        await opened.cleanup()
      }
    })
}

export function userMessage(text: string): MessageItem {
  return { type: 'message', id: createId('item'), role: 'user', content: [{ type: 'text', text }] }
}

export function assistantMessage(text: string): MessageItem {
  return { ...userMessage(text), role: 'assistant' }
}

export function toolResult(call_id: string, output = 'done'): Extract<Item, { type: 'tool_result' }> {
  return { type: 'tool_result', id: createId('item'), call_id, output }
}

export function warning(seq: number, message = 'something'): StoredEvent {
  return { seq, type: 'warning', code: 'test', message }
}

/** Items as a commit takes them, from a position on. */
export function placed(first: number, items: Item[], step = 0): NonNullable<Commit['items']> {
  return items.map((item, i) => ({ position: first + i, step, void: false, parent_call_id: null, item }))
}

export function pendingCall(call_id: string): PendingCall {
  return { call_id, name: 'ask_user', arguments: { question: 'why' } }
}

/** A session by a key of the client's. */
export function session(
  key: string,
  ttl_ms: number | null = null,
): { key: string; new_id: string; ttl_ms: number | null } {
  return { key, new_id: createId('conv'), ttl_ms }
}

const endOf = { completed: 'final', failed: 'error', cancelled: 'cancelled' } as const

async function createScene(opened: OpenedStore): Promise<StoreScene> {
  const lease = { lease_ms: 10_000 }
  let nodes = 0
  const scene: StoreScene = {
    ...createSceneCommands(() => scene),
    store: opened.store,
    scope: { owner: 'alice', namespace: 'shop' },
    epoch: 0,
    definitions: { assistant: { definition: 'abc', model: 'scripted/one' } },
    now: 1_790_000_000_000,
    async reopen() {
      scene.store = await opened.reopen()
      await scene.takeOver()
    },
    async takeOver() {
      const { store, now } = scene
      if (scene.epoch > 0) await store.nodes.leave({ epoch: scene.epoch, now })
      const { epoch } = await store.nodes.join({ ...lease, node_id: `node_${(nodes += 1)}`, now })
      scene.epoch = epoch
    },
  }
  await scene.takeOver()
  return scene
}

type Command =
  'create' | 'queue' | 'run' | 'claim' | 'commit' | 'finish' | 'suspend' | 'load' | 'cancel' | 'log'

function createSceneCommands(get: () => StoreScene): Pick<StoreScene, Command> {
  return {
    create(input = {}) {
      const { store, scope, now } = get()
      const { agent = 'assistant', options = {}, ...rest } = input
      return store.runs.create({
        scope,
        run: { id: createId('run'), agent, options, background: false, on_disconnect: 'cancel' },
        input: [userMessage('hello')],
        on_conflict: 'queue',
        wait_for_suspended: true,
        max_waiting: 32,
        now,
        ...rest,
      })
    },
    async queue(input) {
      const result = await get().create(input)
      if (result.outcome !== 'created' || result.run.status !== 'queued') throw unexpected(result)
      return result.run
    },
    async run(input) {
      const { epoch, definitions } = get()
      const result = await get().create({ claim: { epoch, definitions }, ...input })
      if (result.outcome !== 'created' || result.run.status !== 'running') throw unexpected(result)
      return result.run
    },
    claim() {
      const { store, epoch, definitions, now } = get()
      return store.runs.claim({ epoch, definitions, now })
    },
    ...createHolderCommands(get),
    async load({ id }) {
      const run = await get().store.runs.load(id)
      if (!run) throw new Error(`run ${id} is gone`)
      return run
    },
    cancel({ id }, scope = get().scope) {
      return get().store.runs.cancel({ scope, run_id: id, actor: 'alice', reason: 'enough', now: get().now })
    },
    async log({ id }) {
      const { events } = await get().store.log.read({ run_id: id, after: 0, max_batches: 1000 })
      return events
    },
  }
}

function createHolderCommands(get: () => StoreScene): Pick<StoreScene, 'commit' | 'finish' | 'suspend'> {
  return {
    commit(run, input) {
      const { store, now } = get()
      const fence = { run_id: run.id, epoch: run.epoch ?? 0, attempt: run.attempt }
      return store.runs.commit({ fence, events: [warning(run.last_seq + 1)], now, ...input })
    },
    finish(run, status = 'completed') {
      const stop_reason = endOf[status]
      const error = status === 'completed' ? null : { code: 'internal', message: 'It broke.' }
      const { usage, steps } = run
      const seq = run.last_seq + 1
      return get().commit(run, {
        events: [{ seq, type: 'run.end', status, stop_reason, output: [], usage, steps, error }],
        end: { status, stop_reason, error, output: [] },
      })
    },
    async suspend(run, { approvals = [], calls = [], calls_expire_at = null }) {
      const requests = approvals.map((approval, i) => ({
        id: createId('appr'),
        call_id: `call_${i}`,
        tool: 'send_email',
        arguments: { to: 'bob' },
        reason: 'policy' as const,
        expires_at: null,
        expires_at_ms: null,
        created_at: get().now,
        ...approval,
      }))
      const outcome = await get().commit(run, {
        end: { status: 'suspended', approvals: requests, pending_calls: calls, calls_expire_at },
      })
      if (outcome !== 'ok') throw unexpected(outcome)
      return requests.map(({ id }) => id)
    },
  }
}

function unexpected(result: unknown): Error {
  return new Error(`unexpected: ${JSON.stringify(result)}`)
}

export { attemptGap }
