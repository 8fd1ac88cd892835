import { AppError } from '../../errors.ts'
import type { LoggedEvent, RunEndEvent, RunStartEvent } from '../../events.ts'
import type { Item } from '../../items.ts'
import { noUsage } from '../../run-state.ts'
import type { CreateRun, Store } from '../store.ts'
import { encodeCommit } from './commit-input.ts'
import { createListQuery } from './list-query.ts'
import type { Reader } from './reader.ts'
import type { RunRow } from './rows.ts'
import { parse, runColumns, toRunRecord } from './rows.ts'
import type { CancelNote } from './run-cancel.ts'
import { keyQuery, type CreateInput } from './run-create.ts'
import { fromColumn, toColumn, toScopeColumns } from './text-column.ts'
import type { WriterClient } from './writer-client.ts'

export function createRunStore(reader: Reader, writer: WriterClient, live: LiveEpoch): Store['runs'] {
  const load = reader.rows<[string], RunRow>(`SELECT ${runColumns} FROM runs WHERE id = ?`)
  const find = reader.rows<[string, string, string], RunRow>(
    `SELECT ${runColumns} FROM runs WHERE id = ? AND owner = ? AND namespace = ?`,
  )
  const byKey = reader.rows<[string, string, string, string, number], [fingerprint: string, run_id: string]>(
    keyQuery,
  )
  const overdue = reader.rows<[number, number], RunRow>(
    `SELECT ${runColumns} FROM runs WHERE calls_expire_at IS NOT NULL AND calls_expire_at <= ?
     ORDER BY calls_expire_at, id LIMIT ?`,
  )
  const claimable = reader.values<[number], number>(
    'SELECT count(*) FROM (SELECT 1 FROM runs WHERE claimable = 1 LIMIT ?)',
  )
  const work = reader.values<[number], number>(
    `SELECT EXISTS (SELECT 1 FROM runs WHERE claimable = 1)
       OR EXISTS (SELECT 1 FROM runs WHERE status = 'running' AND epoch < ?)`,
  )
  return {
    async create(input) {
      const result = await writer.write('runs.create', encodeCreate(input))
      if (result.outcome === 'conflict') return result
      const run = toRunRecord(result.row)
      if (result.outcome === 'attached') return { outcome: 'attached', run }
      return {
        outcome: 'created',
        run,
        start: result.start === null ? null : parse<RunStartEvent>(result.start),
        interrupted: result.interrupted?.map(toRunRecord) ?? [],
      }
    },
    async claim(input) {
      const claimed = await writer.write('runs.claim', input)
      if (!claimed) return null
      const { row, start, rescued } = claimed
      return { run: toRunRecord(row), start: parse<RunStartEvent>(start), rescued }
    },
    commit: async (input) => writer.write('runs.commit', encodeCommit(input)),
    cancel: createCancel(writer),
    addToolResults: createAddToolResults(writer),
    overdue: async ({ now, limit }) => overdue.all(now, limit).map(toRunRecord),
    async find(scope, run_id) {
      const { owner, namespace } = toScopeColumns(scope)
      const row = find.get(run_id, owner, namespace)
      return row && toRunRecord(row)
    },
    async findByKey(scope, { route, key, now }) {
      const { owner, namespace } = toScopeColumns(scope)
      const used = byKey.get(owner, namespace, toColumn(route), toColumn(key), now)
      // A run that was deleted since leaves its key free.
      const row = used && load.get(used[1])
      return row && { run: toRunRecord(row), fingerprint: fromColumn(used[0]) }
    },
    list: createList(reader),
    async load(run_id) {
      const row = load.get(run_id)
      return row && toRunRecord(row)
    },
    countClaimable: async (limit) => claimable.get(limit) ?? 0,
    hasWork: async ({ epoch }) => live.holds(epoch) && work.get(epoch) === 1,
  }
}

/** What the client side knows of the lease. */
export interface LiveEpoch {
  holds(epoch: number): boolean
}

const noUsageJson = JSON.stringify(noUsage)

function encodeCreate(input: CreateRun): CreateInput {
  const { run, claim, idempotency, conversation, on_conflict } = input
  const definition =
    claim && Object.hasOwn(claim.definitions, run.agent) ? claim.definitions[run.agent] : undefined
  return {
    id: run.id,
    ...toScopeColumns(input.scope),
    agent: run.agent,
    options: JSON.stringify(run.options),
    background: run.background ? 1 : 0,
    on_disconnect: run.on_disconnect,
    usage: noUsageJson,
    input: encodeInput(input.input),
    ...encodeConversation(conversation),
    parent_run_id: input.parent_run_id ?? null,
    reject: on_conflict === 'reject',
    interrupt: typeof on_conflict === 'object' ? encodeCancel(on_conflict.interrupt, input.now) : null,
    wait_for_suspended: input.wait_for_suspended,
    max_waiting: input.max_waiting,
    idempotency: idempotency
      ? {
          route: toColumn(idempotency.route),
          key: toColumn(idempotency.key),
          fingerprint: toColumn(idempotency.fingerprint),
          expires_at: idempotency.expires_at,
        }
      : null,
    claim: claim
      ? {
          epoch: claim.epoch,
          definition: definition?.definition ?? null,
          model: run.options.model ?? definition?.model ?? null,
        }
      : null,
    now: input.now,
  }
}

function encodeInput(items: Item[]): (string | null)[] {
  const flat: (string | null)[] = []
  for (const item of items) {
    flat.push(item.id, item.type === 'message' ? item.role : null, JSON.stringify(item))
  }
  return flat
}

function encodeConversation(
  conversation: CreateRun['conversation'],
): Pick<CreateInput, 'conversation' | 'conversation_ref' | 'new_conversation_id' | 'ttl_ms'> {
  if (!conversation) {
    return { conversation: 'none', conversation_ref: null, new_conversation_id: null, ttl_ms: null }
  }
  if ('id' in conversation) {
    return { conversation: 'id', conversation_ref: conversation.id, new_conversation_id: null, ttl_ms: null }
  }
  const { new_id, ttl_ms } = conversation
  if ('key' in conversation) {
    return {
      conversation: 'key',
      conversation_ref: toColumn(conversation.key),
      new_conversation_id: new_id,
      ttl_ms,
    }
  }
  return { conversation: 'new', conversation_ref: null, new_conversation_id: new_id, ttl_ms }
}

const cancelledJson = JSON.stringify({
  code: 'run_cancelled',
  message: new AppError('run_cancelled').message,
})

function encodeCancel({ actor, reason }: { actor: string; reason: string }, at: number): CancelNote {
  return {
    cancel: JSON.stringify({ at, actor, reason }),
    error: cancelledJson,
    decision: JSON.stringify({ by: actor, reason }),
  }
}

function createCancel(writer: WriterClient): Store['runs']['cancel'] {
  return async ({ scope, run_id, actor, reason, now }) => {
    const note = encodeCancel({ actor, reason }, now)
    const result = await writer.write('runs.cancel', { ...toScopeColumns(scope), run_id, ...note, now })
    if (result.outcome === 'not_found') return result
    const run = toRunRecord(result.row)
    if (result.outcome !== 'cancelled') return { outcome: result.outcome, run }
    return { outcome: 'cancelled', run, end: parse<RunEndEvent>(result.end) }
  }
}

function createAddToolResults(writer: WriterClient): Store['runs']['addToolResults'] {
  return async ({ scope, run_id, results }) => {
    const result = await writer.write('runs.addToolResults', {
      ...toScopeColumns(scope),
      run_id,
      results: results.map(({ item }) => ({
        item_id: item.id,
        call_id: item.call_id,
        item: JSON.stringify(item),
        error: item.error ?? null,
      })),
    })
    if (result.outcome === 'not_found' || result.outcome === 'unknown_call') return result
    const run = toRunRecord(result.row)
    if (result.outcome === 'not_suspended') return { outcome: 'not_suspended', run }
    return { outcome: 'ok', run, events: parse<LoggedEvent[]>(result.events) }
  }
}

function createList(reader: Reader): Store['runs']['list'] {
  // Of the content only the length is looked up.
  const answerSize = reader.values<[string, string], number>(
    `SELECT sum(octet_length(item)) FROM items WHERE run_id = ? AND item_id IN (SELECT value FROM json_each(?))`,
  )
  const list = createListQuery(reader, {
    table: 'runs',
    columns: runColumns,
    narrowest: 'conversation_id',
    toRecord: toRunRecord,
    sizeBeside: (row) => (row[20] === '[]' ? 0 : (answerSize.get(row[0], row[20]) ?? 0)),
  })
  return async (scope, input) =>
    list(scope, input, [
      ['status', input.status],
      ['agent', input.agent],
      ['conversation_id', input.conversation_id],
    ])
}
