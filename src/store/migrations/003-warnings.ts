import type { Kysely } from 'kysely'
import type { Migration } from 'kysely/migration'

/** What a run was warned of, kept with the run: its log is pruned, and who waits for the answer alone never reads it. */
export function warnings(): Migration {
  return {
    async up(db: Kysely<unknown>) {
      // JSON array of `{ code, message }`; null: none.
      await db.schema.alterTable('runs').addColumn('warnings', 'text').execute()
    },
    /** Lost: the warnings of runs whose log is pruned; the log holds the others. */
    async down(db: Kysely<unknown>) {
      await db.schema.alterTable('runs').dropColumn('warnings').execute()
    },
  }
}
