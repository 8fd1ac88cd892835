import type { Clock } from '../clock.ts'
import type { EventDraft, ToolProgressEvent } from '../events.ts'
import type { Principal } from '../identity/principal.ts'
import type { Item, PlacedItem } from '../items.ts'
import type { Logger } from '../logger.ts'
import type { Model } from '../models/model.ts'
import type { RunOptions, RunWarning, Spent, Usage } from '../run-state.ts'
import type { ApprovalRecord, Commit, LedgerRecord } from '../store/store.ts'
import type { Agent, AnyTool, Budget, ModelChoice } from './definitions.ts'

/** What the ledger has of a tool call that was started before. */
export type CallRecord = Pick<LedgerRecord, 'effect' | 'approval_id'>

/** A decision that was asked for about a call. `arguments`: what was shown to the person. */
export type CallApproval = Pick<
  ApprovalRecord,
  'id' | 'call_id' | 'arguments' | 'reason' | 'question' | 'status' | 'decision'
>

/** A new item, before the log gives it its position. */
export interface NewItem {
  step: number
  void: boolean
  item: Item
  /** The call it was made for, by an agent that serves as a tool. */
  parentCallId?: string
}

/** What becomes durable together. Its events are visible to readers once it is. */
export interface Batch extends Pick<
  Commit,
  'claims' | 'settled' | 'usage' | 'spent' | 'steps' | 'plan' | 'agent' | 'end' | 'recovery'
> {
  events?: EventDraft[]
  items?: NewItem[]
}

export type RunOutcome = NonNullable<Commit['end']>
export type Suspension = Extract<RunOutcome, { status: 'suspended' }>
export type Completion = Extract<RunOutcome, { stop_reason: unknown }>

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
   * `Interruption` when the run is no longer ours (`fenced`) or was cancelled, and with what the store fails with. The batch then
   * stays with the log, which takes it into the next commit, but for its claims and its end.
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

/** What the loop may look up of the server it runs in. */
export interface Directory {
  /** Any agent that is served, or that a served one names. */
  agentNamed(name: string): Agent | undefined
  /** The models of an agent in order of preference, at least one. Throws `model_not_configured`. */
  modelsOf(agent: Agent, override: string | undefined): readonly Model[]
  /** Throws `model_not_configured`. */
  modelFor(choice: ModelChoice): Model
  /**
   * The tools of the agent's sources, as they are now, by name; those of one name in the order of the sources. `missing`: names
   * of the sources that have none to give.
   */
  foundTools(agent: Agent, signal: AbortSignal): Promise<{ tools: readonly AnyTool[]; missing: string[] }>
  /** In the unit of the price table; undefined where the model has no price. */
  costOf(modelId: string, usage: Usage): number | undefined
  /** False: its provider refuses a request with a JSON Schema of the answer. */
  takesOutputSchema(modelId: string): boolean
}

/** What a run has used up so far, or an agent that serves it as a tool. */
export interface Totals {
  usage: Usage
  spent: Spent
  /** Clock of the attempt when `spent.worked_ms` was 0 for it: monotonic, in milliseconds. */
  readonly workingSince: number
  /** Of whoever called the agent: what is counted here is counted there too. Null: these are the run's. */
  readonly parent: Totals | null
}

/** Everything a run's loop works with. One per attempt; one more for each agent that serves it as a tool. */
export interface RunContext {
  readonly runId: string
  /** The agent that was called. */
  readonly called: Agent
  /** The agent at work: the one that was called, or one that the run was routed or handed to. */
  agent: Agent
  /** Its models, in order of preference; the first is asked. A model that failed goes to the end. */
  models: readonly Model[]
  readonly directory: Directory
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
  /** Its own items so far, by position. Grows as batches are committed. */
  readonly items: readonly PlacedItem[]
  /** Items of agents that served as tools in earlier attempts, by the call they served. */
  readonly served: ReadonlyMap<string, readonly PlacedItem[]>
  /** Ledger and approvals of earlier attempts, by call id; approvals oldest first. Empty on a first attempt. */
  readonly calls: ReadonlyMap<string, CallRecord>
  readonly approvals: ReadonlyMap<string, readonly CallApproval[]>
  /** Of this run, or of this agent where it serves as a tool; agents that serve it included. */
  readonly totals: Totals
  /** The limits that hold for it, each with what counts against it. */
  budgets: readonly { budget: Budget; totals: Totals }[]
  /** The tools of an agent that has sources of them, as they were found for a step. */
  toolsFound: { agent: Agent; step: number; tools: ReadonlyMap<string, AnyTool> } | null
  /** Handoffs that the run may still make. */
  handoffsLeft: number
  /** Replies so far, those of agents that serve as tools left out. */
  steps: number
  /** How many of them were made when the agent at work took over. */
  stepsBefore: number
  /**
   * Nobody has chosen yet who answers. `current`: who did in the conversation before. `gone`: the name of that one, or of the
   * one at work, where it is not served any more. Null: there is nothing to choose.
   */
  readonly unrouted: { current: Agent | null; gone: string | null } | null
  /** The loop, for agents that serve as tools. */
  readonly drive: (context: RunContext) => Promise<void>
  /** The call that this agent serves; null where it is the run's own. */
  readonly parentCallId: string | null
  readonly log: StepLog
  /** The run's own, where `log` is of an agent that serves it as a tool; else the same. */
  readonly runLog: StepLog
  /** What was said by `warnOnce`, and all warnings of earlier attempts. One list with the agents that serve it. */
  readonly warned: RunWarning[]
  /** Fires with an `Interruption` as its reason. */
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly logger: Logger
}
