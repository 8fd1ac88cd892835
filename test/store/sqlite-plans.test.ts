import type { Database } from 'better-sqlite3'
import { expect, test } from 'vitest'
import { attemptGap } from '../../src/events.ts'
import { createApprovalStore } from '../../src/store/sqlite/approval-store.ts'
import { createConversationStore } from '../../src/store/sqlite/conversation-store.ts'
import { openWritable } from '../../src/store/sqlite/database.ts'
import { createItemReads } from '../../src/store/sqlite/item-reads.ts'
import { createLedgerReads, createLogReads } from '../../src/store/sqlite/log-reads.ts'
import { createOperations } from '../../src/store/sqlite/operations.ts'
import type { Query, Reader } from '../../src/store/sqlite/reader.ts'
import { createRunStore } from '../../src/store/sqlite/run-store.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import type { WriterClient } from '../../src/store/sqlite/writer-client.ts'
import { scope } from './create-input.ts'
import { dataFile } from './data-folder.ts'

/** Statements that may look at all of something, and why. */
const allowed: [sql: RegExp, why: string][] = [
  [/SELECT max\(epoch\) FROM nodes/, 'a hundred rows at most, by key'],
  [/^UPDATE nodes SET voided_at = \? WHERE voided_at IS NULL$/, 'a hundred rows at most'],
  [/\(SELECT count\(\*\) FROM conversations\)/, 'counts along an index'],
  [/FROM \(SELECT 1 FROM runs WHERE claimable = 1 LIMIT \?\)/, 'counts along an index, up to a limit'],
  [/SELECT id FROM chain ORDER BY depth$/, 'sorts the ids of one chain'],
]

/** Every statement the writer prepares. */
function writeStatements(db: Database): string[] {
  const statements: string[] = []
  const recording = new Proxy(db, {
    get(target, name) {
      if (name !== 'prepare') return Reflect.get(target, name, target) as unknown
      return (sql: string) => {
        statements.push(sql)
        return target.prepare(sql)
      }
    },
  })
  createOperations({ db: recording, attemptGap })
  return statements
}

/** Every statement the readers prepare, lists with each of their filters among them. */
async function readStatements(): Promise<string[]> {
  const statements: string[] = []
  const note = <P extends unknown[], R>(sql: string): Query<P, R> => {
    statements.push(sql)
    return { get: () => undefined, all: () => [], each: () => {} }
  }
  const reader: Reader = { rows: note, values: note, close: () => {} }
  const writer: WriterClient = {
    dead: undefined,
    write: () => Promise.reject(new Error('reads only')),
    close: () => Promise.resolve(),
  }
  const runs = createRunStore(reader, writer, { holds: () => true })
  const approvals = createApprovalStore(reader, writer)
  createConversationStore(reader, writer)
  createItemReads(reader)
  createLogReads(reader)
  createLedgerReads(reader)
  const page = { limit: 10, after: 'x' }
  await runs.list(scope, page)
  await runs.list(scope, { ...page, status: 'queued', agent: 'a', conversation_id: 'c' })
  await approvals.list(scope, page)
  await approvals.list(scope, { ...page, status: 'pending', run_id: 'r' })
  return statements
}

function scansOf(db: Database, sql: string): string[] {
  // The plan is the same for any value.
  const bound = sql.replaceAll(/\?|@\w+/g, '1')
  const plan = db.prepare<[], { detail: string }>(`EXPLAIN QUERY PLAN ${bound}`).all()
  return (
    plan
      .map(({ detail }) => detail)
      // The index of what can be claimed holds nothing else; a list that was given is read whole.
      .filter(
        (detail) => !/^SCAN (?:chain|CONSTANT|json_each|runs USING .*INDEX runs_claimable)/.test(detail),
      )
      .filter((detail) => detail.startsWith('SCAN') || detail.includes('TEMP B-TREE'))
  )
}

test('no statement reads a table from end to end', async () => {
  const path = dataFile()
  await (await openSqliteStore({ path })).close()
  const db = openWritable(path)
  const statements = [...writeStatements(db), ...(await readStatements())]
  expect(statements.length).toBeGreaterThan(60)
  const explained = statements.filter((sql) => /^\s*(?:SELECT|UPDATE|DELETE|WITH)/.test(sql))
  const faults = explained
    .filter((sql) => !allowed.some(([pattern]) => pattern.test(sql)))
    .map((sql) => ({ sql, scans: scansOf(db, sql) }))
    .filter(({ scans }) => scans.length > 0)
  db.close()
  expect(faults).toEqual([])
})
