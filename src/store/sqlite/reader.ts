import type { Database, Statement } from 'better-sqlite3'
import { AppError } from '../../errors.ts'
import { openReadable, toStoreError } from './database.ts'

/** A statement that is prepared when it is first used, then kept. Throws `store_unavailable` when it cannot be answered. */
export interface Query<P extends unknown[], R> {
  get(...parameters: P): R | undefined
  all(...parameters: P): R[]
  /** Rows are read one by one, for as long as `take` says true. */
  each(take: (row: R) => boolean, ...parameters: P): void
}

/** The read side of the file, on the thread that asks. Sees everything that was committed before a query starts. */
export interface Reader {
  /** Rows are tuples in the order of the columns. */
  rows<P extends unknown[], R extends unknown[]>(sql: string): Query<P, R>
  /** Of one column. */
  values<P extends unknown[], R>(sql: string): Query<P, R>
  close(): void
}

export function openReader(path: string): Reader {
  const db = openReadable(path)
  return {
    rows: <P extends unknown[], R extends unknown[]>(sql: string) =>
      lazyQuery(db, () => db.prepare<P, R>(sql).raw() as Statement<P, R>),
    values: <P extends unknown[], R>(sql: string) =>
      lazyQuery(db, () => db.prepare<P, R>(sql).pluck() as Statement<P, R>),
    close: () => void db.close(),
  }
}

function lazyQuery<P extends unknown[], R>(db: Database, prepare: () => Statement<P, R>): Query<P, R> {
  let statement: Statement<P, R> | undefined
  const answer = <T>(ask: (statement: Statement<P, R>) => T): T => {
    if (!db.open) {
      throw new AppError('store_unavailable', { cause: new Error(`The store of ${db.name} is closed.`) })
    }
    try {
      statement ??= prepare()
      return ask(statement)
    } catch (error) {
      throw toStoreError(error)
    }
  }
  return {
    get: (...parameters) => answer((ready) => ready.get(...parameters)),
    all: (...parameters) => answer((ready) => ready.all(...parameters)),
    each: (take, ...parameters) =>
      answer((ready) => {
        for (const row of ready.iterate(...parameters)) if (!take(row)) return
      }),
  }
}
