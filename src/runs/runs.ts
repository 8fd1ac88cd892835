import type { RunEvent } from '../events.ts'
import type { Principal } from '../identity/principal.ts'
import type { Item, PlacedItem } from '../items.ts'
import type { RunOptions, RunStatus } from '../run-state.ts'
import type { ApprovalRecord, ConversationRecord, Page, RunRecord } from '../store/store.ts'

/** Where a new run's history comes from. Absent: nowhere, it stands alone. */
export type ConversationRef =
  /** One that exists, by its id. */
  | { id: string }
  /** A session: found by the id its client chose (or by our id), made where there is none. Idle ones expire. */
  | { session: string }
  /** A session of its own, named by us. */
  | { session: null }

export interface CreateRunInput {
  principal: Principal
  agent: string
  /** The new turn; ids are given here. At least one. */
  input: Item[]
  conversation?: ConversationRef
  /** Continue this run instead of the conversation's head. */
  parentRunId?: string
  options?: RunOptions
  background?: boolean
  onConflict?: 'queue' | 'reject' | 'interrupt'
  onDisconnect?: 'cancel' | 'continue'
  idempotency?: { route: string; key: string; fingerprint: string }
}

export interface CreatedRun {
  run: RunRecord
  /** The run existed: an idempotency key attached this request to it. */
  attached: boolean
}

/**
 * A cursor over one run's log. Not a listener: what is not taken waits in the log.
 *
 * Events come in order, each once; `tool.progress` comes live only. After `run.end` was taken, or the `run.suspend` in which
 * the run still is with all that was decided since, `ended` is true and nothing follows. A replay passes a suspension that is
 * over: look at `ended`, not at the event's type. A reader that begins behind a `run.suspend` waits for its end and goes on.
 */
export interface LogReader {
  readonly runId: string
  /** The next event that is in memory. Undefined: nothing now; `onReady` tells when to look again. */
  take(): RunEvent | undefined
  /**
   * Called, at most once a tick and never from inside `take`, when `take` may have something again. Also after a failure:
   * then `error` is set. Set it once, before the first `take`, to a function that has a name: V8 counts one that is written
   * straight into the assignment as an old object, and keeps all it sees until the next full collection.
   */
  onReady: () => void
  readonly ended: boolean
  /** An `AppError`: `log_pruned`, `store_unavailable`. Nothing more comes. */
  readonly error: Error | undefined
  /**
   * Ends the cursor. `client`: whoever read is gone; where that was the last reader of a run with
   * `on_disconnect: cancel`, the run is cancelled. `server`: we stop reading, the run goes on. After the end both are the
   * same. Idempotent.
   */
  detach(left: 'client' | 'server'): void
}

export interface ToolResultInput {
  call_id: string
  output: string
  is_error?: boolean
}

/** What protocols may do with runs. Ids of others are `run_not_found`, `approval_not_found`. All errors are `AppError`. */
export interface Runs {
  /**
   * Accepts a run: durable when it resolves. Throws `agent_not_found`, `conversation_not_found`, `run_not_found` (parent),
   * `conversation_busy`, `conversation_suspended` (with `run_id` and `approvals` in its details), `queue_full`,
   * `idempotency_key_reused`, `model_not_configured`, `run_context_missing`, `input_not_accepted`, `draining`,
   * `invalid_request`.
   */
  create(input: CreateRunInput): Promise<CreatedRun>
  get(principal: Principal, runId: string): Promise<RunRecord>
  list(
    principal: Principal,
    input: Page & { status?: RunStatus; agent?: string; conversation_id?: string },
  ): Promise<{ data: RunRecord[]; has_more: boolean }>
  /** Text of the answer: the run's output items. */
  outputText(run: RunRecord): Promise<string>
  /** Approvals that are pending on a suspended run. */
  pendingApprovals(run: RunRecord): Promise<ApprovalRecord[]>
  /** Reads events with seq > `after` (0: all) of a run that the caller may see (`get` it first). */
  read(input: { run: RunRecord; after: number }): LogReader
  /**
   * Cancels, and waits up to 5 s for the end. `ended: false`: it has been told, and will end. A run that had ended before is
   * returned as it is.
   */
  cancel(principal: Principal, runId: string, reason: string): Promise<{ run: RunRecord; ended: boolean }>
  /** Gives the results a suspended run waits for. Throws `run_not_suspended`, `call_not_found`. */
  addToolResults(principal: Principal, runId: string, results: ToolResultInput[]): Promise<RunRecord>
}

export interface Approvals {
  get(principal: Principal, id: string): Promise<ApprovalRecord>
  list(
    principal: Principal,
    input: Page & { status?: ApprovalRecord['status']; run_id?: string },
  ): Promise<{ data: ApprovalRecord[]; has_more: boolean }>
  /**
   * Approves or rejects a call, perhaps with other arguments, or answers a question. Throws `approval_not_found`,
   * `approval_decided`, and `invalid_request` where edited arguments do not fit the tool or an answer its question.
   */
  decide(
    principal: Principal,
    id: string,
    decision: {
      decision: 'approve' | 'reject' | 'answer'
      reason?: string
      arguments?: unknown
      answer?: unknown
    },
  ): Promise<ApprovalRecord>
}

/** What protocols may do with conversations. Ids of others are `conversation_not_found`. All errors are `AppError`. */
export interface Conversations {
  /** One that never expires. `key` is the name its client may call it by; `invalid_request` where it is taken. */
  create(
    principal: Principal,
    input: { key?: string; metadata?: Record<string, string> },
  ): Promise<ConversationRecord>
  get(principal: Principal, id: string): Promise<ConversationRecord>
  /** By the name a client chose, or by our id. Does not count as use. */
  findSession(principal: Principal, session: string): Promise<ConversationRecord>
  /** Newest first. */
  list(principal: Principal, page: Page): Promise<{ data: ConversationRecord[]; has_more: boolean }>
  /** Replaces the metadata. */
  update(principal: Principal, id: string, metadata: Record<string, string>): Promise<ConversationRecord>
  items(
    principal: Principal,
    id: string,
    page: Page & { order: 'asc' | 'desc' },
  ): Promise<{ data: PlacedItem[]; has_more: boolean }>
  /** Messages of users and assistants. */
  countMessages(principal: Principal, id: string): Promise<number>
  /** Cancels its open runs, then removes it with everything that belongs to it. */
  delete(principal: Principal, id: string): Promise<void>
}

/** Every event of a reader until the stream's end, for callers off the hot path. Detaches as `server` when left early. */
export async function* eventsOf(reader: LogReader): AsyncGenerator<RunEvent, void, undefined> {
  let wake: (() => void) | undefined
  let ready = false
  const look = () => {
    ready = true
    wake?.()
  }
  reader.onReady = look
  try {
    for (;;) {
      const event = reader.take()
      if (event) yield event
      else if (reader.error) throw reader.error
      else if (reader.ended) return
      else if (ready) ready = false
      else {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
        wake = undefined
        ready = false
      }
    }
  } finally {
    reader.detach('server')
  }
}
