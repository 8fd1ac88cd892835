import { sql, type Kysely } from 'kysely'
import type { Migration } from 'kysely/migration'

/** Until when a suspended run waits for results of its caller's tools. Runs that waited before this wait without an end. */
export function callDeadlines(): Migration {
  return {
    async up(db: Kysely<unknown>) {
      // Null while no call is awaited, and where one may wait for ever.
      await db.schema.alterTable('runs').addColumn('calls_expire_at', 'bigint').execute()
      await sql`create index runs_overdue on runs (calls_expire_at, id) where calls_expire_at is not null`.execute(
        db,
      )
    },
    /** Lost: the deadlines. Who waits then waits without an end. */
    async down(db: Kysely<unknown>) {
      await db.schema.dropIndex('runs_overdue').execute()
      await db.schema.alterTable('runs').dropColumn('calls_expire_at').execute()
    },
  }
}
