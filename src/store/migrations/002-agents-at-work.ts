import type { CreateTableBuilder, Kysely } from 'kysely'
import { sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import type { MigrationEngine } from './migration-engine.ts'

type AnyTable = CreateTableBuilder<string, string>

/**
 * Runs on which several agents work: which one does, what the run has spent, its parsed answer; items and calls of agents that
 * serve as tools; questions to people.
 */
export function agentsAtWork(engine: MigrationEngine): Migration {
  return {
    async up(db: Kysely<unknown>) {
      await addColumns(db, 'runs', ['active_agent', 'spent', 'output_parsed'])
      await addColumns(db, 'items', ['parent_call_id'])
      await addColumns(db, 'approvals', ['question'])
      await rebuildLedger(db, { engine, key: ['run_id', 'call_id'] })
    },
    /**
     * Lost: who is at work on a run, what it spent, its parsed answer, what questions said. What an older program cannot read
     * stays as if it had been thrown away, notes and the work of agents that served as tools; such a call begins anew when its run
     * goes on. A question becomes the question whether its call may run again.
     */
    async down(db: Kysely<unknown>) {
      await sql`delete from tool_ledger where (run_id, call_id) in
        (select run_id, json_extract(item, '$.call_id') from items where parent_call_id is not null)`.execute(
        db,
      )
      await sql`update items set void = 1 where void = 2 or json_extract(item, '$.type') = 'note'`.execute(db)
      await sql`update approvals set reason = 'outcome_unknown',
        status = case status when 'answered' then 'approved' else status end where question is not null`.execute(
        db,
      )
      await rebuildLedger(db, { engine, key: ['run_id', 'step', 'place'] })
      await dropColumns(db, 'approvals', ['question'])
      await dropColumns(db, 'items', ['parent_call_id'])
      await dropColumns(db, 'runs', ['active_agent', 'spent', 'output_parsed'])
    },
  }
}

async function addColumns(db: Kysely<unknown>, table: string, columns: readonly string[]): Promise<void> {
  for (const column of columns) await db.schema.alterTable(table).addColumn(column, 'text').execute()
}

async function dropColumns(db: Kysely<unknown>, table: string, columns: readonly string[]): Promise<void> {
  for (const column of columns) await db.schema.alterTable(table).dropColumn(column).execute()
}

/** SQLite cannot change a primary key in place. */
async function rebuildLedger(
  db: Kysely<unknown>,
  { engine, key }: { engine: MigrationEngine; key: string[] },
): Promise<void> {
  const table = db.schema
    .createTable('tool_ledger_new')
    .addColumn('run_id', 'text', (column) => column.notNull().references('runs.id').onDelete('cascade'))
    .addColumn('step', 'integer', (column) => column.notNull())
    .addColumn('place', 'integer', (column) => column.notNull())
    .addColumn('call_id', 'text', (column) => column.notNull())
    .addColumn('input_hash', 'text', (column) => column.notNull())
    .addColumn('effect', 'text', (column) => column.notNull())
    .addColumn('approval_id', 'text')
    .addColumn('state', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('tool_ledger_key', key as never) as unknown as AnyTable
  await (engine === 'sqlite' ? table.modifyEnd(sql`without rowid`) : table).execute()
  await sql`insert into tool_ledger_new select run_id, step, place, call_id, input_hash, effect, approval_id, state
    from tool_ledger`.execute(db)
  await db.schema.dropTable('tool_ledger').execute()
  await db.schema.alterTable('tool_ledger_new').renameTo('tool_ledger').execute()
}
