import Database from 'better-sqlite3'
import { AppError } from '../../errors.ts'

export type { Database } from 'better-sqlite3'

/** Opens the file for writing; makes it where there is none. Throws what SQLite throws. */
export function openWritable(path: string): Database.Database {
  const db = new Database(path, { timeout: 5000 })
  try {
    db.pragma('journal_mode = WAL')
    // A commit that returned must survive the loss of power.
    db.pragma('synchronous = FULL')
    db.pragma('foreign_keys = ON')
    db.pragma('cache_size = -16000')
    db.pragma('temp_store = MEMORY')
    // After a burst the log file shrinks to this again.
    db.pragma('journal_size_limit = 67108864')
  } catch (error) {
    db.close()
    throw error
  }
  return db
}

/** Opens an existing file for reading only. */
export function openReadable(path: string): Database.Database {
  const db = new Database(path, { readonly: true, timeout: 5000 })
  db.pragma('cache_size = -16000')
  return db
}

/**
 * An error of the engine as callers meet it. A broken constraint is a mistake of ours, and so is anything that is not
 * SQLite's own error; all else means that the store does not work now.
 */
export function toStoreError(error: unknown): AppError {
  if (AppError.is(error)) return error
  const code = sqliteCodeOf(error)
  if (code === undefined || code.startsWith('SQLITE_CONSTRAINT'))
    return new AppError('internal', { cause: error })
  return new AppError('store_unavailable', { cause: error })
}

/** `SQLITE_FULL`, `SQLITE_IOERR_WRITE`…; undefined where the error is not SQLite's. */
export function sqliteCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' && error.code.startsWith('SQLITE_') ? error.code : undefined
}
