import type { CreateRunResult } from '../store.ts'
import { liveConversation } from './conversation-sql.ts'
import type { RunRow } from './rows.ts'
import { runColumns } from './rows.ts'
import type { CancelNote } from './run-cancel.ts'
import { createCancelling } from './run-cancel.ts'
import { runStart } from './run-start.ts'
import type { WriteContext } from './write-context.ts'

export interface CreateInput {
  id: string
  owner: string
  namespace: string
  agent: string
  /** JSON. */
  options: string
  background: number
  on_disconnect: 'cancel' | 'continue'
  usage: string
  /** Id, role (null for what is no message) and JSON of each input item, one after the other. */
  input: (string | null)[]
  conversation: 'none' | 'id' | 'key' | 'new'
  /** The id that must exist, or the key. */
  conversation_ref: string | null
  new_conversation_id: string | null
  ttl_ms: number | null
  parent_run_id: string | null
  reject: boolean
  /** Cancels all that is before it in the conversation. */
  interrupt: CancelNote | null
  wait_for_suspended: boolean
  max_waiting: number
  idempotency: { route: string; key: string; fingerprint: string; expires_at: number } | null
  claim: { epoch: number; definition: string | null; model: string | null } | null
  now: number
}

type Conflict = Extract<CreateRunResult, { outcome: 'conflict' }>

/** `start` is JSON of the `run.start` event; `interrupted` is null where nothing was to be interrupted. */
export type CreateOutput =
  | { outcome: 'created'; row: RunRow; start: string | null; interrupted: RunRow[] | null }
  | { outcome: 'attached'; row: RunRow }
  | Conflict

interface ConversationState {
  id: string
  head_run_id: string | null
  holder_run_id: string | null
  /** Null where it is still to be made. */
  used_at: number | null
}

export function createRunCreate(context: WriteContext) {
  const { lease, log, runs, attemptGap } = context
  const idempotency = createIdempotency(context)
  const conversations = createConversationChoice(context)
  const queue = createQueueCheck(context)
  const interrupt = createInterrupt(context)
  const insert = createRunInsert(context)

  return {
    'runs.create'(input: CreateInput): CreateOutput {
      const repeated = idempotency.find(input)
      if (repeated) return repeated
      const conversation = conversations.choose(input)
      if (conversation === undefined) return conflict('conversation_not_found')
      if (!isParentFit(runs, input, conversation)) return conflict('run_not_found')
      const interrupted =
        conversation && input.interrupt && interrupt(conversation, input.interrupt, input.now)
      const turn = interrupted ? turnAfter(interrupted) : queue.check(input, conversation)
      if (typeof turn === 'object') return turn

      const claim = turn === 'free' && input.claim && lease.holds(input.claim.epoch) ? input.claim : null
      const row = newRunRow({ input, conversation, epoch: claim?.epoch ?? null, attemptGap })
      if (conversation !== null) conversations.use({ input, conversation, claimed: claim !== null })
      insert(row, turn === 'free' && claim === null, input.input)
      idempotency.note(input)
      if (claim === null) return { outcome: 'created', row, start: null, interrupted }
      const { definition, model } = claim
      const { id: run_id, agent, now } = input
      const start = runStart({
        seq: 1,
        run_id,
        agent,
        definition,
        model,
        conversation_id: row[5],
        attempt: 1,
        now,
      })
      log.append(input.id, 1, 1, `[${start}]`)
      return { outcome: 'created', row, start, interrupted }
    },
  }
}

function conflict(code: Conflict['code'], holder?: string): Conflict {
  return holder === undefined
    ? { outcome: 'conflict', code }
    : { outcome: 'conflict', code, holder_run_id: holder }
}

function isParentFit(
  runs: WriteContext['runs'],
  input: CreateInput,
  conversation: ConversationState | null,
): boolean {
  if (input.parent_run_id === null) return true
  const parent = runs.findOwned(input.parent_run_id, input.owner, input.namespace)
  if (!parent) return false
  const named = input.conversation === 'id' || input.conversation === 'key'
  return !named || parent[5] === conversation?.id
}

/** The row of a new run: running under `epoch`, or queued. */
function newRunRow(options: {
  input: CreateInput
  conversation: ConversationState | null
  epoch: number | null
  attemptGap: number
}): RunRow {
  const { input, conversation, epoch, attemptGap } = options
  const claimed = epoch !== null
  return [
    input.id,
    input.owner,
    input.namespace,
    input.agent,
    claimed ? 'running' : 'queued',
    conversation?.id ?? null,
    input.parent_run_id ?? (claimed ? (conversation?.head_run_id ?? null) : null),
    input.options,
    input.background,
    input.on_disconnect,
    claimed ? 1 : 0,
    epoch,
    claimed ? 1 : 0,
    claimed ? 1 + attemptGap : 1,
    0,
    null,
    null,
    null,
    input.usage,
    0,
    '[]',
    null,
    '[]',
    input.now,
    claimed ? input.now : null,
    null,
    0,
    null,
    null,
    null,
    null,
  ]
}

function createRunInsert({ db }: WriteContext) {
  const places = runColumns.split(',').fill('?').join(', ')
  const insertRun = db.prepare<[...RunRow, claimable: number]>(
    `INSERT INTO runs (${runColumns}, claimable, pruned_seq) VALUES (${places}, ?, 0)`,
  )
  const insertItem = db.prepare<[string, number, string | null, string | null, string | null]>(
    'INSERT INTO items (run_id, position, step, void, item_id, role, item) VALUES (?, ?, NULL, 0, ?, ?, ?)',
  )
  return (row: RunRow, claimable: boolean, input: (string | null)[]): void => {
    insertRun.run(...row, claimable ? 1 : 0)
    for (let i = 0; i < input.length; i += 3) {
      insertItem.run(row[0], i / 3, input[i] ?? null, input[i + 1] ?? null, input[i + 2] ?? null)
    }
  }
}

/** What a key was used for, where it is not due. Of owner, namespace, route, key, now. */
export const keyQuery = `SELECT fingerprint, run_id FROM idempotency
  WHERE owner = ? AND namespace = ? AND route = ? AND key = ? AND expires_at > ?`

function createIdempotency({ db, runs }: WriteContext) {
  const find = db.prepare<[string, string, string, string, number], { fingerprint: string; run_id: string }>(
    keyQuery,
  )
  const replace = db.prepare(
    `INSERT OR REPLACE INTO idempotency (owner, namespace, route, key, fingerprint, run_id, expires_at)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
  )
  return {
    find({ idempotency, owner, namespace, now }: CreateInput): CreateOutput | undefined {
      if (!idempotency) return undefined
      const found = find.get(owner, namespace, idempotency.route, idempotency.key, now)
      // A run that was deleted since cannot be attached to: the key is free again.
      const row = found && runs.find(found.run_id)
      if (!row) return undefined
      if (found.fingerprint !== idempotency.fingerprint) return conflict('idempotency_key_reused')
      return { outcome: 'attached', row }
    },
    note({ idempotency, owner, namespace, id }: CreateInput): void {
      if (!idempotency) return
      const { route, key, fingerprint, expires_at } = idempotency
      replace.run(owner, namespace, route, key, fingerprint, id, expires_at)
    },
  }
}

function createConversationChoice({ db }: WriteContext) {
  const columns = 'id, head_run_id, holder_run_id, used_at'
  const byId = db.prepare<[string, string, string, number], ConversationState>(
    `SELECT ${columns} FROM conversations WHERE id = ? AND owner = ? AND namespace = ? AND ${liveConversation}`,
  )
  const byKey = db.prepare<[string, string, string, number], ConversationState>(
    `SELECT ${columns} FROM conversations WHERE key = ? AND owner = ? AND namespace = ? AND ${liveConversation}`,
  )
  const unname = db.prepare(
    'UPDATE conversations SET key = NULL WHERE owner = ? AND namespace = ? AND key = ?',
  )
  const insert = db.prepare(
    `INSERT INTO conversations (id, owner, namespace, key, head_run_id, holder_run_id, metadata, created_at, used_at,
       ttl_ms, expires_at)
     VALUES (?, ?, ?, ?, ?, ?, '{}', ?, ?, ?, ?)`,
  )
  const touch = db.prepare(
    `UPDATE conversations SET used_at = max(used_at, @now), expires_at = max(used_at, @now) + ttl_ms WHERE id = @id`,
  )
  const hold = db.prepare(
    `UPDATE conversations SET used_at = max(used_at, @now), expires_at = max(used_at, @now) + ttl_ms,
       head_run_id = @run, holder_run_id = @run WHERE id = @id`,
  )
  return {
    /** Null: the run has none. Undefined: the one that was named is not there. */
    choose(input: CreateInput): ConversationState | null | undefined {
      if (input.conversation === 'none') return null
      const { conversation_ref: ref, owner, namespace, now } = input
      if (input.conversation === 'id') return byId.get(ref ?? '', owner, namespace, now)
      if (input.conversation === 'key') {
        const found =
          byKey.get(ref ?? '', owner, namespace, now) ?? byId.get(ref ?? '', owner, namespace, now)
        if (found) return found
      }
      return { id: input.new_conversation_id ?? '', head_run_id: null, holder_run_id: null, used_at: null }
    },
    use(options: { input: CreateInput; conversation: ConversationState; claimed: boolean }): void {
      const { input, conversation, claimed } = options
      const { owner, namespace, now, ttl_ms } = input
      if (conversation.used_at !== null) {
        if (claimed) hold.run({ now, run: input.id, id: conversation.id })
        else touch.run({ now, id: conversation.id })
        return
      }
      const key = input.conversation === 'key' ? input.conversation_ref : null
      if (key !== null) unname.run(owner, namespace, key)
      const run = claimed ? input.id : null
      const expiresAt = ttl_ms === null ? null : now + ttl_ms
      insert.run(conversation.id, owner, namespace, key, run, run, now, now, ttl_ms, expiresAt)
    },
  }
}

function createQueueCheck({ db, runs }: WriteContext) {
  // A holder may be queued again after a suspension; it does not wait for itself.
  const waiting = db.prepare<[string, string | null], { count: number; first: string | null }>(
    `SELECT count(*) AS count, min(id) AS first FROM runs
     WHERE conversation_id = ? AND status = 'queued' AND id IS NOT ?`,
  )
  return {
    check(input: CreateInput, conversation: ConversationState | null): 'free' | 'wait' | Conflict {
      if (conversation === null || conversation.used_at === null) return 'free'
      const { id, holder_run_id: holder } = conversation
      const { count, first } = waiting.get(id, holder) ?? { count: 0, first: null }
      const before = holder ?? first
      if (before === null) return 'free'
      if (!input.wait_for_suspended && holder !== null && runs.find(holder)?.[4] === 'suspended') {
        return conflict('conversation_suspended', holder)
      }
      if (input.reject) return conflict('conversation_busy', before)
      return count >= input.max_waiting ? conflict('queue_full') : 'wait'
    },
  }
}

/** Cancels the runs that have a conversation or wait on it; gives them as they are then. */
function createInterrupt(context: WriteContext) {
  const { db, runs } = context
  const cancel = createCancelling(context)
  const waiting = db
    .prepare<[string], string>(`SELECT id FROM runs WHERE conversation_id = ? AND status = 'queued'`)
    .pluck()
  return ({ id, holder_run_id }: ConversationState, note: CancelNote, now: number): RunRow[] => {
    const before = new Set(waiting.all(id))
    // One that was suspended may be queued again.
    if (holder_run_id !== null) before.add(holder_run_id)
    return [...before].map((run) => cancel(runs.get(run), { ...note, now }).row)
  }
}

/** Only a holder that is alive is waited for. */
function turnAfter(interrupted: RunRow[]): 'free' | 'wait' {
  return interrupted.some((row) => row[4] === 'running') ? 'wait' : 'free'
}
