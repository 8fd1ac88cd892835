import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { attemptGap } from '../../src/events.ts'
import { openWritable } from '../../src/store/sqlite/database.ts'
import type { Operation } from '../../src/store/sqlite/operations.ts'
import { createOperations } from '../../src/store/sqlite/operations.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { createWriterClient } from '../../src/store/sqlite/writer-client.ts'
import { createWriter } from '../../src/store/sqlite/writer.ts'
import { createInput } from './create-input.ts'
import { dataFile, joinNode, openStore } from './data-folder.ts'

/** How many transactions the write-ahead log holds: frames that end one carry the size of the file (SQLite's fileformat2, 4.1). */
function countCommits(path: string): number {
  const wal = readFileSync(`${path}-wal`)
  const frameSize = 24 + wal.readUInt32BE(8)
  const salt = wal.subarray(16, 24)
  let commits = 0
  for (let at = 32; at + frameSize <= wal.length; at += frameSize) {
    if (!wal.subarray(at + 8, at + 16).equals(salt)) break
    if (wal.readUInt32BE(at + 4) !== 0) commits += 1
  }
  return commits
}

describe('commits are grouped', () => {
  test('what is written in one turn of the event loop is one transaction', async () => {
    const path = dataFile()
    const store = await openStore(path)
    const { epoch } = await joinNode(store)
    const before = countCommits(path)
    const results = await Promise.all(
      Array.from({ length: 100 }, () => store.runs.create(createInput(epoch))),
    )
    expect(countCommits(path) - before).toBe(1)
    expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(['created']))
  })

  test('what waits while the writer works is one transaction', async () => {
    const path = dataFile()
    const store = await openStore(path)
    const { epoch } = await joinNode(store)
    const before = countCommits(path)
    // The writer cannot begin while somebody else is in a transaction.
    const other = openWritable(path)
    other.exec('BEGIN IMMEDIATE')
    const writes: Promise<unknown>[] = []
    for (let i = 0; i < 20; i += 1) {
      writes.push(store.runs.create(createInput(epoch)))
      await new Promise(setImmediate)
    }
    other.exec('ROLLBACK')
    await Promise.all(writes)
    other.close()
    // The one that was begun with, and the rest.
    expect(countCommits(path) - before).toBeLessThanOrEqual(2)
  })

  test('ping goes down to the disk', async () => {
    const path = dataFile()
    const store = await openStore(path)
    await joinNode(store)
    const before = countCommits(path)
    await store.ping()
    expect(countCommits(path) - before).toBe(1)
  })
})

/** A writer on this thread, on a file that may have so many more pages. */
async function createLocalWriter(morePages: number) {
  const path = dataFile()
  await (await openSqliteStore({ path })).close()
  const db = openWritable(path)
  const pages = db.pragma('page_count', { simple: true }) as number
  db.pragma(`max_page_count = ${pages + morePages}`)
  const write = createWriter(db, createOperations({ db, attemptGap }))
  return { db, write }
}

function conversation(id: string, size = 10): Operation {
  const metadata = JSON.stringify({ text: 'x'.repeat(size) })
  return [
    'conversations.create',
    { owner: 'o', namespace: '', id, key: null, metadata, ttl_ms: null, now: 1 },
  ]
}

describe('a disk that is full', () => {
  test('fails with store_unavailable, and the writer goes on where there is room', async () => {
    const { db, write } = await createLocalWriter(10)
    expect(write([conversation('big', 1_000_000)])).toMatchObject([
      { failure: { code: 'store_unavailable', sqliteCode: 'SQLITE_FULL' } },
    ])
    expect(db.inTransaction).toBe(false)
    expect(write([conversation('small')])).toMatchObject([{ value: { 0: 'small' } }])
    db.close()
  })

  test('what the others of its transaction are told is what is in the file', async () => {
    const { db, write } = await createLocalWriter(10)
    const ids = ['a', 'big', 'b']
    const outcomes = write(ids.map((id) => conversation(id, id === 'big' ? 1_000_000 : 10)))
    const told = ids.filter((_, i) => 'value' in outcomes[i]!)
    expect(db.prepare('SELECT id FROM conversations ORDER BY id').pluck().all()).toEqual(told)
    expect(outcomes[1]).toMatchObject({ failure: { code: 'store_unavailable' } })
    db.close()
  })

  test('a transaction that cannot start fails all of it', async () => {
    const { db, write } = await createLocalWriter(10)
    db.pragma('query_only = ON')
    const outcomes = write([conversation('a'), conversation('b')])
    expect(outcomes).toMatchObject([
      { failure: { sqliteCode: 'SQLITE_READONLY' } },
      { failure: { code: 'store_unavailable' } },
    ])
    expect(db.inTransaction).toBe(false)
    db.close()
  })
})

describe('operations of one transaction', () => {
  test('one that fails undoes itself alone', async () => {
    const { db, write } = await createLocalWriter(1000)
    const outcomes = write([conversation('a'), conversation('a'), conversation('b')])
    expect(outcomes).toMatchObject([
      { value: { 0: 'a' } },
      { failure: { code: 'internal' } },
      { value: { 0: 'b' } },
    ])
    expect(db.prepare('SELECT id FROM conversations ORDER BY id').pluck().all()).toEqual(['a', 'b'])
    db.close()
  })
})

describe('operations beside one that fails', () => {
  test('are each done once, in their order', async () => {
    const { db, write } = await createLocalWriter(1000)
    const touch: Operation = [
      'conversations.update',
      { owner: 'o', namespace: '', id: 'a', metadata: '{"n":1}' },
    ]
    const outcomes = write([conversation('a'), touch, conversation('a'), conversation('b')])
    expect(outcomes.map((outcome) => 'value' in outcome)).toEqual([true, true, false, true])
    expect(db.prepare('SELECT id, metadata FROM conversations ORDER BY id').raw().all()).toEqual([
      ['a', '{"n":1}'],
      ['b', JSON.stringify({ text: 'x'.repeat(10) })],
    ])
    db.close()
  })

  test('are not undone once a node has joined or left: what that makes the writer remember has no way back', async () => {
    const { db, write } = await createLocalWriter(1000)
    expect(write([['nodes.join', { node_id: 'n', lease_ms: 1000, now: 1 }]])).toEqual([{ value: 1 }])
    const leave: Operation = ['nodes.leave', { epoch: 1, now: 2 }]
    const outcomes = write([claimedRun('r', 1), leave, conversation('a'), conversation('a')])
    expect(outcomes[0]).toMatchObject({
      value: { outcome: 'created', start: expect.stringContaining('run.start') },
    })
    db.close()
  })
})

/** A run that begins at once where the writer still holds `epoch`. */
function claimedRun(id: string, epoch: number): Operation {
  return [
    'runs.create',
    {
      id,
      owner: 'o',
      namespace: '',
      agent: 'a',
      options: '{}',
      background: 0,
      on_disconnect: 'continue',
      usage: '{}',
      input: [],
      conversation: 'none',
      conversation_ref: null,
      new_conversation_id: null,
      ttl_ms: null,
      parent_run_id: null,
      reject: false,
      interrupt: null,
      wait_for_suspended: false,
      max_waiting: 1,
      idempotency: null,
      claim: { epoch, definition: null, model: null },
      now: 1,
    },
  ]
}

describe('a writer thread that dies', () => {
  test('rejects all that waits and all that comes, after what it answered', async () => {
    const program = new URL('./fixtures/dying-writer.ts', import.meta.url)
    const client = createWriterClient({ path: dataFile(), program })
    const answers = await Promise.allSettled([1, 2, 3].map(() => client.write('ping', null)))
    expect(answers[0]).toEqual({ status: 'fulfilled', value: 'ok' })
    for (const answer of answers.slice(1)) {
      expect(answer).toMatchObject({ status: 'rejected', reason: { code: 'store_unavailable' } })
    }
    await expect(client.write('ping', null)).rejects.toMatchObject({ code: 'store_unavailable' })
    expect(client.dead?.code).toBe('store_unavailable')
    await client.close()
  })

  test('because it cannot open the file says so in the cause', async () => {
    const client = createWriterClient({ path: dirname(dataFile()) })
    const error: unknown = await client.write('ping', null).catch((reason: unknown) => reason)
    expect(AppError.is(error) && error.code).toBe('store_unavailable')
    expect(String((error as AppError).cause)).toContain('unable to open database file')
    await client.close()
  })
})

describe('a file that cannot be used', () => {
  test.each([
    ['is no database', (path: string) => writeFileSync(path, 'not a database at all'.repeat(100))],
    ['is a folder', (path: string) => mkdirSync(path)],
  ])('which %s is refused with store_unavailable', async (_, spoil) => {
    const path = dataFile()
    spoil(path)
    await expect(openSqliteStore({ path })).rejects.toMatchObject({
      code: 'store_unavailable',
      message: `The data file ${path} cannot be opened.`,
    })
  })

  test('which has no folder and cannot get one is refused', async () => {
    const path = dataFile()
    writeFileSync(path, '')
    await expect(openSqliteStore({ path: `${path}/data/parley.db` })).rejects.toMatchObject({
      code: 'store_unavailable',
    })
  })
})
