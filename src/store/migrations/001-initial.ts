import type { CreateTableBuilder, Kysely } from 'kysely'
import { sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import type { MigrationEngine } from './migration-engine.ts'

type AnyTable = CreateTableBuilder<string, string>

/**
 * The first schema. Times are milliseconds since 1970. Columns that hold JSON or a person's text are `text`, written with
 * JSON escapes, so that NUL and lone surrogates come back as they went in.
 */
export function initial(engine: MigrationEngine): Migration {
  // Rows that are only ever looked up by their whole key are kept in that key's order.
  const clustered = (table: AnyTable) => (engine === 'sqlite' ? table.modifyEnd(sql`without rowid`) : table)
  return {
    async up(db: Kysely<unknown>) {
      await createNodes(db)
      await createConversations(db)
      await createRuns(db)
      await createRunChildren(db, clustered)
      await createApprovals(db)
      await createIdempotency(db)
    },
    async down(db: Kysely<unknown>) {
      const tables = [
        'idempotency',
        'approvals',
        'tool_ledger',
        'run_log',
        'items',
        'runs',
        'conversations',
        'nodes',
      ]
      for (const table of tables) await db.schema.dropTable(table).execute()
    },
  }
}

async function createNodes(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('nodes')
    .addColumn('epoch', 'bigint', (column) => column.primaryKey())
    .addColumn('node_id', 'text', (column) => column.notNull())
    .addColumn('joined_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('voided_at', 'bigint')
    .execute()
}

async function createConversations(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('conversations')
    .addColumn('id', 'text', (column) => column.notNull().primaryKey())
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('namespace', 'text', (column) => column.notNull())
    .addColumn('key', 'text')
    .addColumn('head_run_id', 'text')
    .addColumn('holder_run_id', 'text')
    .addColumn('metadata', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('used_at', 'bigint', (column) => column.notNull())
    .addColumn('ttl_ms', 'bigint')
    .addColumn('expires_at', 'bigint')
    .execute()
  await sql`create index conversations_by_owner on conversations (owner, namespace, id)`.execute(db)
  await sql`create unique index conversations_by_key on conversations (owner, namespace, key)
    where key is not null`.execute(db)
  await sql`create index conversations_by_expiry on conversations (expires_at)
    where expires_at is not null`.execute(db)
}

async function createRuns(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('runs')
    .addColumn('id', 'text', (column) => column.notNull().primaryKey())
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('namespace', 'text', (column) => column.notNull())
    .addColumn('agent', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('conversation_id', 'text', (column) => column.references('conversations.id'))
    .addColumn('parent_run_id', 'text')
    .addColumn('options', 'text', (column) => column.notNull())
    .addColumn('background', 'integer', (column) => column.notNull())
    .addColumn('on_disconnect', 'text', (column) => column.notNull())
    .addColumn('attempt', 'integer', (column) => column.notNull())
    .addColumn('epoch', 'bigint')
    .addColumn('last_seq', 'bigint', (column) => column.notNull())
    .addColumn('next_seq', 'bigint', (column) => column.notNull())
    .addColumn('crash_count', 'integer', (column) => column.notNull())
    .addColumn('cancel', 'text')
    .addColumn('stop_reason', 'text')
    .addColumn('error', 'text')
    .addColumn('usage', 'text', (column) => column.notNull())
    .addColumn('steps', 'integer', (column) => column.notNull())
    .addColumn('output', 'text', (column) => column.notNull())
    .addColumn('plan', 'text')
    .addColumn('pending_calls', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('started_at', 'bigint')
    .addColumn('ended_at', 'bigint')
    .addColumn('forced', 'integer', (column) => column.notNull())
    // 1 where the run is queued and its conversation is free, or its own: the queue is what has a 1 here.
    .addColumn('claimable', 'integer', (column) => column.notNull())
    // Number of the last event that retention removed; 0 where all are there.
    .addColumn('pruned_seq', 'bigint', (column) => column.notNull())
    .execute()
  for (const index of runIndexes) await sql.raw(index).execute(db)
}

const runIndexes = [
  'create index runs_by_owner on runs (owner, namespace, id)',
  'create index runs_by_conversation on runs (conversation_id, id) where conversation_id is not null',
  'create index runs_by_parent on runs (parent_run_id) where parent_run_id is not null',
  'create index runs_claimable on runs (id) where claimable = 1',
  "create index runs_running on runs (epoch, id) where status = 'running'",
  "create index runs_waiting on runs (conversation_id, id) where status = 'queued'",
  `create index runs_prunable on runs (ended_at)
     where ended_at is not null and (conversation_id is null or pruned_seq = 0)`,
]

async function createRunChildren(
  db: Kysely<unknown>,
  clustered: (table: AnyTable) => AnyTable,
): Promise<void> {
  await clustered(
    runChild(db, 'items')
      .addColumn('position', 'integer', (column) => column.notNull())
      .addColumn('step', 'integer')
      .addColumn('void', 'integer', (column) => column.notNull())
      .addColumn('item_id', 'text', (column) => column.notNull())
      // Of a message; null for the rest.
      .addColumn('role', 'text')
      .addColumn('item', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('items_key', ['run_id', 'position']) as unknown as AnyTable,
  ).execute()
  // One row per commit: the events that became durable together.
  await clustered(
    runChild(db, 'run_log')
      .addColumn('last_seq', 'bigint', (column) => column.notNull())
      .addColumn('attempt', 'integer', (column) => column.notNull())
      .addColumn('events', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('run_log_key', ['run_id', 'last_seq']) as unknown as AnyTable,
  ).execute()
  await clustered(
    runChild(db, 'tool_ledger')
      .addColumn('step', 'integer', (column) => column.notNull())
      .addColumn('place', 'integer', (column) => column.notNull())
      .addColumn('call_id', 'text', (column) => column.notNull())
      .addColumn('input_hash', 'text', (column) => column.notNull())
      .addColumn('effect', 'text', (column) => column.notNull())
      .addColumn('approval_id', 'text')
      .addColumn('state', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('tool_ledger_key', ['run_id', 'step', 'place']) as unknown as AnyTable,
  ).execute()
}

/** A table whose rows go with their run. */
function runChild(db: Kysely<unknown>, table: string) {
  return db.schema
    .createTable(table)
    .addColumn('run_id', 'text', (column) => column.notNull().references('runs.id').onDelete('cascade'))
}

async function createApprovals(db: Kysely<unknown>): Promise<void> {
  await runChild(db, 'approvals')
    .addColumn('id', 'text', (column) => column.notNull().primaryKey())
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('namespace', 'text', (column) => column.notNull())
    .addColumn('call_id', 'text', (column) => column.notNull())
    .addColumn('tool', 'text', (column) => column.notNull())
    .addColumn('arguments', 'text', (column) => column.notNull())
    .addColumn('reason', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('decision', 'text')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint')
    .addColumn('decided_at', 'bigint')
    .execute()
  await sql`create index approvals_by_owner on approvals (owner, namespace, id)`.execute(db)
  await sql`create index approvals_by_run on approvals (run_id, id)`.execute(db)
  await sql`create index approvals_due on approvals (expires_at, id)
    where status = 'pending' and expires_at is not null`.execute(db)
}

async function createIdempotency(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('idempotency')
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('namespace', 'text', (column) => column.notNull())
    .addColumn('route', 'text', (column) => column.notNull())
    .addColumn('key', 'text', (column) => column.notNull())
    .addColumn('fingerprint', 'text', (column) => column.notNull())
    .addColumn('run_id', 'text', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('idempotency_key', ['owner', 'namespace', 'route', 'key'])
    .execute()
  await sql`create index idempotency_by_expiry on idempotency (expires_at)`.execute(db)
}
