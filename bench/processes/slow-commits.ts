import { isMainThread } from 'node:worker_threads'
import Database from 'better-sqlite3'

/*
 * Preloaded into the server under test, this makes every commit of the store's writer thread take 5 ms longer, as on a
 * slow disk: the thread sleeps before COMMIT, while it holds the transaction. The product's code stays as it is, and its
 * main thread is not touched.
 */

const delayMs = 5

if (!isMainThread) {
  const cell = new Int32Array(new SharedArrayBuffer(4))
  const { prototype } = Database
  // Called below with the database it is a method of.
  // oxlint-disable-next-line typescript/unbound-method
  const prepareOf = prototype.prepare as (this: Database.Database, sql: string) => Database.Statement
  prototype.prepare = function (this: Database.Database, sql: string) {
    const statement = prepareOf.call(this, sql)
    if (sql !== 'COMMIT') return statement
    const run = statement.run.bind(statement)
    statement.run = () => {
      Atomics.wait(cell, 0, 0, delayMs)
      return run()
    }
    return statement
  } as typeof prototype.prepare
}
