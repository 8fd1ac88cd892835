import type { PlacedItem } from '../../items.ts'
import type { ApprovalRecord, ConversationRecord, LedgerRecord, RunRecord } from '../store.ts'
import { fromColumn } from './text-column.ts'

/*
 * Rows are tuples in the order of these column lists: what `raw()` statements give and what crosses between the threads
 * most cheaply.
 */

export const runColumns = `id, owner, namespace, agent, status, conversation_id, parent_run_id, options, background,
  on_disconnect, attempt, epoch, last_seq, next_seq, crash_count, cancel, stop_reason, error, usage, steps, output, plan,
  pending_calls, created_at, started_at, ended_at, forced, active_agent, spent, output_parsed, warnings`

export type RunRow = [
  id: string,
  owner: string,
  namespace: string,
  agent: string,
  status: RunRecord['status'],
  conversationId: string | null,
  parentRunId: string | null,
  options: string,
  background: number,
  onDisconnect: RunRecord['on_disconnect'],
  attempt: number,
  epoch: number | null,
  lastSeq: number,
  nextSeq: number,
  crashCount: number,
  cancel: string | null,
  stopReason: RunRecord['stop_reason'],
  error: string | null,
  usage: string,
  steps: number,
  output: string,
  plan: string | null,
  pendingCalls: string,
  createdAt: number,
  startedAt: number | null,
  endedAt: number | null,
  forced: number,
  activeAgent: string | null,
  spent: string | null,
  outputParsed: string | null,
  warnings: string | null,
]

export function toRunRecord(row: RunRow): RunRecord {
  return {
    id: row[0],
    owner: fromColumn(row[1]),
    namespace: fromColumn(row[2]),
    agent: row[3],
    status: row[4],
    conversation_id: row[5],
    parent_run_id: row[6],
    options: parse(row[7]),
    background: row[8] === 1,
    on_disconnect: row[9],
    attempt: row[10],
    epoch: row[11],
    last_seq: row[12],
    next_seq: row[13],
    crash_count: row[14],
    cancel: parseNullable(row[15]),
    stop_reason: row[16],
    error: parseNullable(row[17]),
    usage: parse(row[18]),
    steps: row[19],
    output: parse(row[20]),
    plan: parseNullable(row[21]),
    pending_calls: parse(row[22]),
    created_at: row[23],
    started_at: row[24],
    ended_at: row[25],
    forced: row[26] === 1,
    active_agent: row[27],
    spent: parseNullable(row[28]),
    output_parsed: parseNullable(row[29]),
    warnings: parseNullable(row[30]) ?? [],
  }
}

export const conversationColumns = `id, owner, namespace, key, head_run_id, holder_run_id, metadata, created_at, used_at,
  ttl_ms`

export type ConversationRow = [
  id: string,
  owner: string,
  namespace: string,
  key: string | null,
  headRunId: string | null,
  holderRunId: string | null,
  metadata: string,
  createdAt: number,
  usedAt: number,
  ttlMs: number | null,
]

export function toConversationRecord(row: ConversationRow): ConversationRecord {
  return {
    id: row[0],
    owner: fromColumn(row[1]),
    namespace: fromColumn(row[2]),
    key: row[3] === null ? null : fromColumn(row[3]),
    head_run_id: row[4],
    holder_run_id: row[5],
    metadata: parse(row[6]),
    created_at: row[7],
    used_at: row[8],
    ttl_ms: row[9],
  }
}

export const approvalColumns = `id, owner, namespace, run_id, call_id, tool, arguments, reason, status, decision,
  created_at, expires_at, decided_at, question`

export type ApprovalRow = [
  id: string,
  owner: string,
  namespace: string,
  runId: string,
  callId: string,
  tool: string,
  arguments_: string,
  reason: ApprovalRecord['reason'],
  status: ApprovalRecord['status'],
  decision: string | null,
  createdAt: number,
  expiresAt: number | null,
  decidedAt: number | null,
  question: string | null,
]

export function toApprovalRecord(row: ApprovalRow): ApprovalRecord {
  return {
    id: row[0],
    owner: fromColumn(row[1]),
    namespace: fromColumn(row[2]),
    run_id: row[3],
    call_id: row[4],
    tool: fromColumn(row[5]),
    arguments: parse(row[6]),
    reason: row[7],
    status: row[8],
    decision: parseNullable(row[9]),
    created_at: row[10],
    expires_at: row[11],
    decided_at: row[12],
    question: parseNullable(row[13]),
  }
}

export const itemColumns = 'run_id, position, step, void, item, parent_call_id'

/**
 * `void` is 0 for what was said in the run, 1 for what was thrown away, 2 for the work of an agent that serves as a tool: what
 * reads a conversation asks for 0.
 */
export type ItemRow = [
  runId: string,
  position: number,
  step: number | null,
  void_: number,
  item: string,
  parentCallId: string | null,
]

export function toPlacedItem(row: ItemRow): PlacedItem {
  return {
    run_id: row[0],
    position: row[1],
    step: row[2],
    void: row[3] === 1,
    item: parse(row[4]),
    parent_call_id: row[5],
  }
}

export const ledgerColumns = 'step, place, call_id, effect, approval_id, state'

export type LedgerRow = [
  step: number,
  place: number,
  callId: string,
  effect: LedgerRecord['effect'],
  approvalId: string | null,
  state: LedgerRecord['state'],
]

export function toLedgerRecord(row: LedgerRow): LedgerRecord {
  return {
    step: row[0],
    index: row[1],
    call_id: row[2],
    effect: row[3],
    approval_id: row[4],
    state: row[5],
  }
}

/** Only for text that this store wrote with `JSON.stringify` from a value of that type. */
export function parse<T>(json: string): T {
  return JSON.parse(json) as T
}

export function parseNullable<T>(json: string | null): T | null {
  return json === null ? null : parse<T>(json)
}
