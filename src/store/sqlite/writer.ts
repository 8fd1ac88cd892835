import type { Database } from 'better-sqlite3'
import { toStoreError, sqliteCodeOf } from './database.ts'
import type { Operation, OperationName, Operations } from './operations.ts'

/** The result of one operation, or why it failed, in a form that crosses between threads. */
export type Outcome = { value: unknown } | { failure: WriteFailure }

export interface WriteFailure {
  code: 'store_unavailable' | 'internal'
  /** Of the original error, for the log. */
  message: string
  sqliteCode: string | undefined
}

/** They change what the lease remembers as well, which no rollback undoes: these never run twice. */
const runOnce: ReadonlySet<OperationName> = new Set(['nodes.join', 'nodes.leave'])

/**
 * Runs operations in one transaction; one that throws undoes itself alone. When the transaction itself fails, everything in it
 * did. Never throws.
 *
 * A savepoint for each operation costs a copy of every page it changes, and operations hardly ever throw. So a batch is tried
 * without them first; where an operation throws, all is undone and done again, each in a savepoint of its own.
 */
export function createWriter(db: Database, operations: Operations): (batch: Operation[]) => Outcome[] {
  const begin = db.prepare('BEGIN IMMEDIATE')
  const commit = db.prepare('COMMIT')
  const rollback = db.prepare('ROLLBACK')
  const savepoint = db.prepare('SAVEPOINT operation')
  const release = db.prepare('RELEASE operation')
  const rollbackTo = db.prepare('ROLLBACK TO operation')

  // The name and the input of an Operation belong together; the type of the union cannot say so here.
  const perform = (operation: Operation): Outcome => ({
    value: (operations[operation[0]] as (input: unknown) => unknown)(operation[1]),
  })

  const performAlone = (operation: Operation): Outcome => {
    savepoint.run()
    let outcome: Outcome
    try {
      outcome = perform(operation)
    } catch (error) {
      // Some failures, a full disk for one, end the whole transaction.
      if (!db.inTransaction) throw error
      rollbackTo.run()
      outcome = { failure: toFailure(error) }
    }
    release.run()
    return outcome
  }

  /** Undefined: an operation threw, and nothing was done. */
  const performAll = (batch: Operation[]): Outcome[] | undefined => {
    try {
      return batch.map(perform)
    } catch (error) {
      if (!db.inTransaction || batch.length === 1) throw error
      rollback.run()
      return undefined
    }
  }

  return (batch) => {
    try {
      begin.run()
      let outcomes = batch.some(([name]) => runOnce.has(name)) ? undefined : performAll(batch)
      if (!outcomes) {
        if (!db.inTransaction) begin.run()
        outcomes = batch.map(performAlone)
      }
      commit.run()
      return outcomes
    } catch (error) {
      const failure = toFailure(error)
      try {
        if (db.inTransaction) rollback.run()
      } catch (second) {
        failure.message += `; rollback: ${String(second)}`
      }
      return batch.map(() => ({ failure }))
    }
  }
}

function toFailure(error: unknown): WriteFailure {
  const { code } = toStoreError(error)
  return {
    code: code === 'store_unavailable' ? code : 'internal',
    message: error instanceof Error ? error.message : String(error),
    sqliteCode: sqliteCodeOf(error),
  }
}
