import type {
  ApprovalQuestion,
  ApprovalRequest,
  LoggedEvent,
  PendingCall,
  RunEndEvent,
  RunStartEvent,
} from '../events.ts'
import type { Scope } from '../identity/principal.ts'
import type { Item, PlacedItem } from '../items.ts'
import type {
  RunError,
  RunOptions,
  RunStatus,
  RunWarning,
  Spent,
  StopReason,
  TerminalStatus,
  Usage,
} from '../run-state.ts'
import type { StoredEvent } from './stored-event.ts'

/*
 * Durable state. One implementation per engine; `src/testing/store-contract.ts` holds them all to what is written here.
 * Times are milliseconds since 1970 and always come from the caller. A promise that resolves means: on disk.
 * Reads see every write that has resolved. `internal` marks what may be called only by the engine itself, never with an
 * id that a caller sent: it has no scope.
 */

export interface RunRecord {
  id: string
  owner: string
  namespace: string
  /** The agent that was called. */
  agent: string
  /** The one at work, where the run was routed or handed over; null: the one that was called. */
  active_agent: string | null
  status: RunStatus
  conversation_id: string | null
  /** The run whose history this one continues. Fixed when the run is first claimed. */
  parent_run_id: string | null
  options: RunOptions
  background: boolean
  on_disconnect: 'cancel' | 'continue'
  /** How many holders the run has had. 0 while it was never claimed. */
  attempt: number
  /** The lease that holds the run; null when nobody does. */
  epoch: number | null
  /** Number of the last committed event; 0 when there is none. */
  last_seq: number
  /** Where the next attempt starts: the first number it may use. */
  next_seq: number
  /** Rescues since the last commit of a holder. */
  crash_count: number
  cancel: { at: number; actor: string; reason: string } | null
  stop_reason: StopReason | null
  /** Its answer was made by one last call without tools, at the limit of steps. */
  forced: boolean
  error: RunError | null
  /** Oldest first; at most `maxRunWarnings`. */
  warnings: RunWarning[]
  usage: Usage
  /** What else the run has used up; null where nobody counts. */
  spent: Spent | null
  /** Model replies so far. */
  steps: number
  /** Item ids of the answer. */
  output: string[]
  /** The answer as its schema gives it; null where there is none. */
  output_parsed: unknown
  /** The last plan. */
  plan: string | null
  /** While suspended: calls of the caller's tools that wait for results. */
  pending_calls: PendingCall[]
  created_at: number
  started_at: number | null
  ended_at: number | null
}

/** Times are milliseconds since 1970. */
export interface ConversationRecord {
  id: string
  owner: string
  namespace: string
  /** The session id a client chose; unique per owner and namespace. */
  key: string | null
  head_run_id: string | null
  /** The run that is claimed or suspended on it. */
  holder_run_id: string | null
  metadata: Record<string, string>
  created_at: number
  /** The last time a run was created or ended on it, or it was read as a session. */
  used_at: number
  /** Idle time after which it ends, though never while a run on it is not terminal; null: never. */
  ttl_ms: number | null
}

export type ApprovalStatus = 'pending' | 'approved' | 'rejected' | 'answered' | 'expired' | 'cancelled'

/** Times are milliseconds since 1970. */
export interface ApprovalRecord extends Scope {
  id: string
  run_id: string
  call_id: string
  tool: string
  arguments: unknown
  reason: ApprovalRequest['reason']
  /** What a tool asks; null where it is asked whether a call may run. */
  question: ApprovalQuestion | null
  status: ApprovalStatus
  /** Who decided, why, with which arguments instead, or with which answer; null before. */
  decision: { by: string; reason?: string; arguments?: unknown; answer?: unknown } | null
  created_at: number
  expires_at: number | null
  decided_at: number | null
}

/** The ledger of a tool call: claimed before it runs, committed with its result. */
export interface LedgerRecord {
  step: number
  /** Place of the call in the reply, from 0. */
  index: number
  call_id: string
  effect: 'read' | 'idempotent' | 'write'
  /** The approval this claim was made under; null where none was asked for. An approval allows one claim. */
  approval_id: string | null
  /** `unknown`: it was started and nobody can say how it ended. */
  state: 'claimed' | 'committed' | 'unknown'
}

/** The fence: a write of a holder takes effect only while the run is `running` under this epoch and attempt. */
export interface Fence {
  run_id: string
  epoch: number
  attempt: number
}

/** What a node knows of the agents it serves, for `run.start`. */
export type Definitions = Record<string, { definition: string; model: string }>

export interface CreateRun {
  scope: Scope
  run: {
    id: string
    agent: string
    options: RunOptions
    background: boolean
    on_disconnect: 'cancel' | 'continue'
  }
  /** Input items, in order. Their positions are 0, 1, 2… */
  input: Item[]
  /**
   * `id`: must exist in the scope. `key`: the session with that key or that id, made with `new_id` when there is none (an
   * expired one counts as none: it is unnamed, its rows stay for retention). `new_id` alone: a new one. Absent: none.
   */
  conversation?:
    | { id: string }
    | { key: string; new_id: string; ttl_ms: number | null }
    | { new_id: string; ttl_ms: number | null }
  /** Branch from this run instead of the head. It must be in the same scope and, where one is named, conversation. */
  parent_run_id?: string
  /**
   * `queue` waits behind the holder; `reject` gives the conflict back. `interrupt` cancels, in the same transaction, the
   * holder and all that wait, as `cancel` does, and is then next: it waits for nothing but a live holder to end.
   */
  on_conflict: 'queue' | 'reject' | { interrupt: { actor: string; reason: string } }
  /** Whether to wait behind a suspended holder too. Where false, that is the conflict `conversation_suspended`. */
  wait_for_suspended: boolean
  /** How many queued runs a conversation may have before `queue_full`. */
  max_waiting: number
  idempotency?: { route: string; key: string; fingerprint: string; expires_at: number }
  /** Claim it in the same transaction when its conversation is free and nothing waits on it. */
  claim?: { epoch: number; definitions: Definitions }
  now: number
}

export type CreateRunResult =
  /**
   * `start` is the committed `run.start` where the run was claimed. `interrupted`: the runs it cancelled, as they are now; one
   * that is `running` has a live holder, which will end it.
   */
  | { outcome: 'created'; run: RunRecord; start: RunStartEvent | null; interrupted: RunRecord[] }
  /** The idempotency key was used before for the same request. */
  | { outcome: 'attached'; run: RunRecord }
  | {
      outcome: 'conflict'
      code:
        | 'idempotency_key_reused'
        | 'conversation_not_found'
        | 'run_not_found'
        | 'conversation_busy'
        | 'conversation_suspended'
        | 'queue_full'
      /** The holder, for `conversation_busy` and `conversation_suspended`. */
      holder_run_id?: string
    }

export interface ClaimedRun {
  run: RunRecord
  start: RunStartEvent
  /** Its last holder died. */
  rescued: boolean
}

export interface NewLedgerClaim {
  step: number
  index: number
  call_id: string
  effect: LedgerRecord['effect']
  approval_id: string | null
}

/** One atomic step forward of a run by its holder. */
export interface Commit {
  fence: Fence
  /** In ascending order of seq; the first is above the run's `last_seq`. May be empty. */
  events: StoredEvent[]
  /** New items; positions go on from the run's last without gaps. */
  items?: Omit<PlacedItem, 'run_id'>[]
  /**
   * Calls that are about to start; a call id is unique in its run. Where the claim exists already, it is `claimed` again under
   * the new `approval_id`.
   */
  claims?: NewLedgerClaim[]
  /**
   * What became of claims: the result is among `items`, or nobody knows the outcome. `unused`: the call never began, or did
   * nothing but ask; its row goes, as if it had not been claimed.
   */
  settled?: { call_id: string; state: 'committed' | 'unknown' | 'unused' }[]
  /** Replaces the run's totals. */
  usage?: Usage
  spent?: Spent
  steps?: number
  plan?: string
  /** Added to the run's, as `addWarnings` does. */
  warnings?: RunWarning[]
  /** The agent at work from now on (`agent.switch`). */
  agent?: string
  end?:
    | {
        status: 'suspended'
        approvals: (ApprovalRequest & { created_at: number; expires_at_ms: number | null })[]
        pending_calls: PendingCall[]
        /** When these calls are overdue; null: never. */
        calls_expire_at: number | null
      }
    | {
        status: TerminalStatus
        stop_reason: StopReason
        error: RunError | null
        output: string[]
        /** The answer as its schema gives it. */
        output_parsed?: unknown
        forced?: true
      }
    /** Gives the run back: it is claimed again when its turn comes. */
    | { status: 'queued' }
  /** Only notes that the run was rescued: `crash_count` stays. */
  recovery?: true
  now: number
}

/**
 * `fenced`: somebody else holds the run, or nobody may; nothing was written; the holder must stop.
 * `cancelled`: the run was cancelled before; nothing was written, and only a commit that ends it as `cancelled` will be.
 */
export type CommitOutcome = 'ok' | 'fenced' | 'cancelled'

export type CancelResult =
  | { outcome: 'not_found' }
  /** It had ended before; nothing changed. */
  | { outcome: 'ended'; run: RunRecord }
  /** A live holder has it and will end it. */
  | { outcome: 'signalled'; run: RunRecord }
  /** It was queued, suspended or without a live holder, and has been ended here. */
  | { outcome: 'cancelled'; run: RunRecord; end: RunEndEvent }

export type DecideResult =
  | { outcome: 'not_found' }
  | { outcome: 'decided_before'; approval: ApprovalRecord }
  /** `events` are the committed ones (`approval.resolve`). `run.status` is `queued` when nothing more is awaited. */
  | { outcome: 'ok'; approval: ApprovalRecord; run: RunRecord; events: LoggedEvent[] }

export interface CallerResult {
  item: Extract<Item, { type: 'tool_result' }>
}

export type ToolResultsResult =
  | { outcome: 'not_found' }
  | { outcome: 'not_suspended'; run: RunRecord }
  /** One of the calls is not awaited; nothing was written. */
  | { outcome: 'unknown_call'; call_id: string }
  | { outcome: 'ok'; run: RunRecord; events: LoggedEvent[] }

/**
 * How much one page holds, in bytes as stored, the text of a run's answer included. A page ends before it would be more, with
 * `has_more`; its first row is always given.
 */
export const maxPageBytes = 4 * 1024 * 1024

export interface Page {
  /** 1 to 100. */
  limit: number
  /** The id of the last row of the page before. */
  after?: string
}

export interface Store {
  /** Short name of the engine, for logs: `sqlite`, `postgres`. */
  readonly engine: string
  /** Where the data is, for people. No secrets. */
  readonly location: string

  readonly nodes: {
    /** False on an embedded engine: its lock is the lease, and holds as long as the process has it. */
    readonly leaseExpires: boolean
    /**
     * internal. Takes a lease for this node and returns its epoch, above every one before. Embedded: voids all others at
     * once and fails with `store_unavailable` while another process executes on the same file.
     */
    join(input: { node_id: string; lease_ms: number; now: number }): Promise<{ epoch: number }>
    /** internal. False: the lease is lost for good. */
    renew(input: { epoch: number; lease_ms: number; now: number }): Promise<boolean>
    /** internal. Gives up the lease; runs still held under it may be rescued at once. */
    leave(input: { epoch: number; now: number }): Promise<void>
  }

  readonly runs: {
    create(input: CreateRun): Promise<CreateRunResult>
    /**
     * internal. Takes the next run for this node: first one whose holder's lease is void (rescue, `crash_count` + 1), else
     * the oldest queued one whose conversation is free. Sets attempt + 1, makes it the holder and the head of its
     * conversation, fixes the parent (the head, unless one was named) when it is the first claim, and commits `run.start`
     * at `next_seq`.
     */
    claim(input: { epoch: number; definitions: Definitions; now: number }): Promise<ClaimedRun | null>
    /** internal. All or nothing. Resets `crash_count`, unless `recovery`. A terminal end frees the conversation. */
    commit(input: Commit): Promise<CommitOutcome>
    /** Sets `cancel` where the run is not terminal; the first cancel stands. Pending approvals are cancelled with it. */
    cancel(input: {
      scope: Scope
      run_id: string
      actor: string
      reason: string
      now: number
    }): Promise<CancelResult>
    /** Takes results of the caller's tools: items, `tool.end` events; queues the run when nothing more is awaited. */
    addToolResults(input: {
      scope: Scope
      run_id: string
      results: CallerResult[]
      now: number
    }): Promise<ToolResultsResult>
    /** internal. At most `limit` of the runs that wait for calls of the caller's tools which are due, the longest due first. */
    overdue(input: { now: number; limit: number }): Promise<RunRecord[]>
    find(scope: Scope, run_id: string): Promise<RunRecord | undefined>
    /** The run that an idempotency key was used for, and the fingerprint of that request. Undefined: the key is free. */
    findByKey(
      scope: Scope,
      input: { route: string; key: string; now: number },
    ): Promise<{ run: RunRecord; fingerprint: string } | undefined>
    /** Newest first. */
    list(
      scope: Scope,
      input: Page & { status?: RunStatus; agent?: string; conversation_id?: string },
    ): Promise<{ data: RunRecord[]; has_more: boolean }>
    /** internal. */
    load(run_id: string): Promise<RunRecord | undefined>
    /** internal. How many queued runs wait for nothing but a place, counted up to `limit`. */
    countClaimable(limit: number): Promise<number>
    /** internal. Whether anything can be claimed now; cheap. */
    hasWork(input: { epoch: number; now: number }): Promise<boolean>
  }

  readonly items: {
    /** internal. All items of a run by position, void ones and those of agents that serve as tools included. */
    ofRun(run_id: string): Promise<PlacedItem[]>
    /** internal. Those of a run's items that have one of these ids, by position. Reads the content of no other. */
    withIds(run_id: string, ids: readonly string[]): Promise<PlacedItem[]>
    /**
     * internal. What the runs before `run_id` said, oldest run first: the chain of parents, without void items and without
     * the work of agents that served as tools. Ends at the run that the newest summary of the chain goes up to: that one
     * and all before it are left out. Stops early, at a run's border, once `max_runs` runs were read or where the next would
     * make it more than `max_bytes`, as stored: not `complete`. The newest run is always given, and whole. Nothing more is read.
     */
    history(input: {
      run_id: string
      max_runs: number
      max_bytes: number
    }): Promise<{ items: PlacedItem[]; complete: boolean }>
    /** Items of a conversation along the chain from its head, in order. `order: 'desc'`: newest first. */
    ofConversation(
      scope: Scope,
      conversation_id: string,
      input: Page & { order: 'asc' | 'desc' },
    ): Promise<{ data: PlacedItem[]; has_more: boolean } | undefined>
  }

  readonly ledger: {
    /** internal. In the order of their ids, which is the order in which they were made. */
    ofRun(run_id: string): Promise<LedgerRecord[]>
  }

  readonly log: {
    /**
     * internal. Committed events with seq > `after`, in order, in whole batches: at most `max_batches` of those that were
     * committed together. `oldest` is set where events above `after` were pruned: the first that is left, or null.
     */
    read(input: {
      run_id: string
      after: number
      max_batches: number
    }): Promise<{ events: StoredEvent[]; pruned: boolean; oldest: number | null }>
  }

  readonly approvals: {
    find(scope: Scope, id: string): Promise<ApprovalRecord | undefined>
    /** Newest first. */
    list(
      scope: Scope,
      input: Page & { status?: ApprovalStatus; run_id?: string },
    ): Promise<{ data: ApprovalRecord[]; has_more: boolean }>
    /** internal. Of one run, oldest first. */
    ofRun(run_id: string): Promise<ApprovalRecord[]>
    /**
     * Decides once: the second decision is `decided_before`. `answer` is for what has a question. Appends `approval.resolve` under a new attempt (attempt + 1,
     * at `next_seq`); queues the run when no approval is pending and no caller's call is awaited.
     */
    decide(input: {
      scope: Scope
      approval_id: string
      decision: 'approve' | 'reject' | 'answer'
      by: string
      reason?: string
      arguments?: unknown
      answer?: unknown
      now: number
    }): Promise<DecideResult>
    /** internal. Expires at most `limit` approvals that are due, as a decision `expire`. Returns the runs it changed. */
    expire(input: { now: number; limit: number }): Promise<RunRecord[]>
  }

  readonly conversations: {
    /** Where one with that key is there, it is returned as it is and nothing is made. */
    create(input: {
      scope: Scope
      id: string
      key?: string
      metadata: Record<string, string>
      ttl_ms: number | null
      now: number
    }): Promise<ConversationRecord>
    /** By id, or by key. An expired one is not found. */
    find(
      scope: Scope,
      input: { id: string; now: number } | { key: string; now: number },
    ): Promise<ConversationRecord | undefined>
    /** Newest first. Expired ones are left out. */
    list(
      scope: Scope,
      input: Page & { now: number },
    ): Promise<{ data: ConversationRecord[]; has_more: boolean }>
    update(scope: Scope, input: { id: string; metadata: Record<string, string> }): Promise<boolean>
    /** Marks it as used, so that its expiry slides. */
    touch(scope: Scope, input: { id: string; now: number }): Promise<void>
    /** Messages of users and assistants along the chain from its head. */
    countMessages(scope: Scope, id: string): Promise<number>
    /** internal. Ids of its runs that are not terminal. */
    openRuns(id: string): Promise<string[]>
    /** Removes it with its runs, items, events, approvals and ledger. False while a run on it is not terminal. */
    delete(scope: Scope, id: string): Promise<boolean>
    /** How many live ones there are. internal. */
    count(now: number): Promise<number>
  }

  readonly retention: {
    /**
     * internal. Deletes, at most `limit` of each: expired conversations without an open run; event logs of runs that ended
     * before `log_before` (their runs and items stay); runs without a conversation that ended before `log_before` and
     * that no other run continues; idempotency rows that are due. Returns how many rows it touched; 0: nothing is left.
     */
    prune(input: { now: number; log_before: number; limit: number }): Promise<number>
  }

  /** Throws `store_unavailable` when a read or a write would fail now. */
  ping(): Promise<void>
  /** Finishes what was accepted, then closes. Idempotent. */
  close(): Promise<void>
}
