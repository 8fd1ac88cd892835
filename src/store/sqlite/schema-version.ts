import type { Database } from 'better-sqlite3'
import { AppError } from '../../errors.ts'
import { migrationNames, migrationTable } from '../migrations/migration-names.ts'

export type SchemaState = 'current' | 'behind'

/** Names of the migrations that were applied, oldest first. Raw statements: runs at every start. */
export function appliedMigrations(db: Database): string[] {
  const table = db
    .prepare(`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?`)
    .get(migrationTable)
  if (table === undefined) return []
  return db.prepare<[], string>(`SELECT name FROM ${migrationTable} ORDER BY name`).pluck().all()
}

/** Throws `store_unavailable` for a file that a newer program has changed. */
export function schemaState(db: Database): SchemaState {
  const applied = appliedMigrations(db)
  const known: readonly string[] = migrationNames
  const unknown = applied.find((name) => !known.includes(name))
  if (unknown !== undefined) {
    throw new AppError('store_unavailable', {
      message:
        `${db.name} has schema ${unknown}, which this version of Parley does not know ` +
        `(its newest is ${known.at(-1)}). Use the newer version, or migrate down with it first.`,
      retryable: false,
    })
  }
  return applied.length === known.length ? 'current' : 'behind'
}
