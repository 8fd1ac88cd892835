import Database from 'better-sqlite3'
import { AppError } from '../../errors.ts'
import { sqliteCodeOf } from './database.ts'

export interface ProcessLock {
  /** Idempotent. */
  release(): void
}

/**
 * Takes the right to execute on a data file: an exclusive transaction on an empty database beside it. The operating system
 * drops the lock when the process dies, however it dies. The file stays; removing it would race with who opens it next.
 * Throws `store_unavailable` when it is not free within `waitMs`. Synchronous: keep `waitMs` at 0 outside of a start.
 */
export function takeProcessLock(path: string, waitMs = 0): ProcessLock {
  const lock = new Database(`${path}.lock`, { timeout: waitMs })
  try {
    lock.pragma('locking_mode = EXCLUSIVE')
    lock.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    lock.close()
    if (sqliteCodeOf(error)?.startsWith('SQLITE_BUSY')) throw takenError(path, error)
    throw new AppError('store_unavailable', {
      message: `The lock file ${path}.lock cannot be used.`,
      cause: error,
    })
  }
  return { release: () => void lock.close() }
}

function takenError(path: string, cause: unknown): AppError {
  return new AppError('store_unavailable', {
    message: `Another Parley executes on ${path}. Stop it, or give this one a data folder of its own.`,
    cause,
  })
}
