import { sql, type Kysely } from 'kysely'
import type { Migration } from 'kysely/migration'

/** The ledger's hash of a call's arguments goes: a call is known by its id, and its arguments never change. */
export function ledgerWithoutHash(): Migration {
  return {
    async up(db: Kysely<unknown>) {
      await db.schema.alterTable('tool_ledger').dropColumn('input_hash').execute()
    },
    /** Empty from then on: no version reads it. */
    async down(db: Kysely<unknown>) {
      await db.schema
        .alterTable('tool_ledger')
        .addColumn('input_hash', 'text', (column) => column.notNull().defaultTo(sql`''`))
        .execute()
    },
  }
}
