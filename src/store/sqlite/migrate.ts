import { existsSync } from 'node:fs'
import type { Database } from 'better-sqlite3'
import { AppError } from '../../errors.ts'
import { migrationLockTable, migrationNames, migrationTable } from '../migrations/migration-names.ts'
import { openWritable, toStoreError } from './database.ts'
import { takeProcessLock } from './process-lock.ts'
import { appliedMigrations, schemaState } from './schema-version.ts'

export interface MigrationStatus {
  name: string
  applied: boolean
}

/** Every migration this program knows, oldest first. Changes nothing; a file that is not there has none applied. */
export function migrationStatus(path: string): MigrationStatus[] {
  const applied = existsSync(path) ? withDatabase(path, appliedMigrations) : []
  return migrationNames.map((name) => ({ name, applied: applied.includes(name) }))
}

/**
 * Changes the schema of the file: `up` to the newest, `down` one step, which deletes what that step made. All or nothing.
 * Returns the names that were applied or taken back. Throws `store_unavailable` while a Parley executes on the file, and
 * for a file of a newer version.
 */
export async function migrate(path: string, direction: 'up' | 'down'): Promise<string[]> {
  const lock = takeProcessLock(path, 2000)
  try {
    return await migrateLocked(path, direction)
  } finally {
    lock.release()
  }
}

/** Like `migrate`, for who holds the process lock. */
export async function migrateLocked(path: string, direction: 'up' | 'down'): Promise<string[]> {
  let db: Database | undefined
  try {
    db = openWritable(path)
    schemaState(db)
    return await runMigrations(db, direction)
  } catch (error) {
    throw toStoreError(error)
  } finally {
    db?.close()
  }
}

/** Loads Kysely, which costs more time than all the rest of a start: that is why this is not imported at the top. */
async function runMigrations(db: Database, direction: 'up' | 'down'): Promise<string[]> {
  const [{ Kysely, SqliteDialect }, { Migrator }, { createMigrations }] = await Promise.all([
    import('kysely'),
    import('kysely/migration'),
    import('../migrations/migrations.ts'),
  ])
  const kysely = new Kysely<unknown>({ dialect: new SqliteDialect({ database: db }) })
  const migrator = new Migrator({
    db: kysely,
    provider: { getMigrations: () => Promise.resolve(createMigrations('sqlite')) },
    migrationTableName: migrationTable,
    migrationLockTableName: migrationLockTable,
  })
  // Kysely holds SQLite for unable to change a schema in a transaction. It is able, and a killed process leaves no half.
  db.exec('BEGIN IMMEDIATE')
  const { error, results } =
    direction === 'up' ? await migrator.migrateToLatest() : await migrator.migrateDown()
  if (error === undefined) {
    db.exec('COMMIT')
    return (results ?? []).map((result) => result.migrationName)
  }
  if (db.inTransaction) db.exec('ROLLBACK')
  throw new AppError('store_unavailable', {
    message: `Migrating ${db.name} ${direction} failed.`,
    cause: error,
  })
}

function withDatabase<T>(path: string, use: (db: Database) => T): T {
  const db = openWritable(path)
  try {
    return use(db)
  } catch (error) {
    throw toStoreError(error)
  } finally {
    db.close()
  }
}
