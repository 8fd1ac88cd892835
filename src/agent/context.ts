import type { Clock } from '../clock.ts'
import type { EventDraft, ToolProgressEvent } from '../events.ts'
import type { Principal } from '../identity/principal.ts'
import type { Item, PlacedItem } from '../items.ts'
import type { Logger } from '../logger.ts'
import type { Model } from '../models/model.ts'
import type { RunOptions, Usage } from '../run-state.ts'
import type { ApprovalRecord, Commit, LedgerRecord } from '../store/store.ts'
import type { Agent } from './agent.ts'

/** A tool call's place in the ledger, and whether it was started before. */
export type CallRecord = Pick<LedgerRecord, 'step' | 'index' | 'call_id' | 'state' | 'approval_id'>

/** A decision that was asked for about a call. `arguments`: what was shown to the person. */
export type CallApproval = Pick<
  ApprovalRecord,
  'id' | 'call_id' | 'arguments' | 'reason' | 'status' | 'decision'
>

/** A new item, before the log gives it its position. */
export interface NewItem {
  step: number
  void: boolean
  item: Item
}

/** What becomes durable together. Its events are visible to readers once it is. */
export interface Batch extends Pick<
  Commit,
  'claims' | 'settled' | 'usage' | 'steps' | 'plan' | 'agent' | 'end' | 'recovery'
> {
  events?: EventDraft[]
  items?: NewItem[]
}

export type RunOutcome = NonNullable<Commit['end']>

/** The loop's way into the run log. */
export interface StepLog {
  /** Makes a tail event visible at once. It becomes durable with the next commit. */
  emit(draft: EventDraft): void
  /** Shows live progress; kept nowhere. */
  progress(event: ToolProgressEvent): void
  /** Adds to whatever is committed next: events and items that nobody waits for. */
  defer(batch: Pick<Batch, 'events' | 'items' | 'settled'>): void
  /**
   * Resolves once the batch is durable and visible. Batches of the same moment share a transaction. Rejects with an
   * `Interruption` when the run is no longer ours (`fenced`) or was cancelled; what was visible stays with the log, which
   * takes it into the commit that ends the run.
   */
  commit(batch: Batch): Promise<void>
}

export type InterruptionReason = 'cancelled' | 'fenced' | 'timeout' | 'drain'

/** Why a run stops where it is. Not an error of anybody. */
export class Interruption extends Error {
  readonly reason: InterruptionReason
  constructor(reason: InterruptionReason) {
    super(`run interrupted: ${reason}`)
    this.name = 'Interruption'
    this.reason = reason
  }
}

/** Everything a run's loop works with. One per attempt. */
export interface RunContext {
  readonly runId: string
  readonly agent: Agent
  readonly model: Model
  readonly options: RunOptions
  readonly principal: Principal
  readonly conversationId: string | null
  readonly attempt: number
  /** The last holder died: what it was streaming is lost. */
  readonly rescued: boolean
  /** The agent is not the one the run began with. */
  readonly agentChanged: boolean
  /** What earlier runs said, oldest first; not `complete` where there are more than are ever read. Read when first needed. */
  history(): Promise<{ items: readonly PlacedItem[]; complete: boolean }>
  /** The run's own items so far, by position. Grows as batches are committed. */
  readonly items: readonly PlacedItem[]
  /** Ledger and the latest approvals of earlier attempts, by call id. Empty on a first attempt. */
  readonly calls: ReadonlyMap<string, CallRecord>
  readonly approvals: ReadonlyMap<string, CallApproval>
  /** Totals of the attempts before this one, then kept up by the loop. */
  usage: Usage
  steps: number
  readonly log: StepLog
  /** Fires with an `Interruption` as its reason. */
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly logger: Logger
}
