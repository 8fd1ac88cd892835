import { existsSync, realpathSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Clock } from '../../clock.ts'
import { systemClock } from '../../clock.ts'
import { AppError } from '../../errors.ts'
import type { Store } from '../store.ts'
import { createApprovalStore } from './approval-store.ts'
import { createConversationStore } from './conversation-store.ts'
import { makeDataFolder } from './data-folder.ts'
import { openWritable, toStoreError } from './database.ts'
import { createItemReads } from './item-reads.ts'
import { createLedgerReads, createLogReads } from './log-reads.ts'
import { migrate } from './migrate.ts'
import { createNodeLease } from './node-lease.ts'
import type { Reader } from './reader.ts'
import { openReader } from './reader.ts'
import { createRunStore } from './run-store.ts'
import { schemaState } from './schema-version.ts'
import type { WriterClient } from './writer-client.ts'
import { createWriterClient } from './writer-client.ts'

/**
 * Opens the data file at `path`, makes it and its folder where there are none, and brings its schema up to date. Throws
 * `store_unavailable` when the file cannot be used, and when a newer version of the program has changed it. Any number of
 * processes may open it; one at a time may join.
 */
export async function openSqliteStore(options: { path: string; clock?: Clock }): Promise<Store> {
  const path = await prepareFile(options.path)
  const writer = createWriterClient({ path })
  try {
    return composeStore({ path, writer, reader: openReader(path), clock: options.clock ?? systemClock })
  } catch (error) {
    await writer.close()
    throw toStoreError(error)
  }
}

/** Returns the file's one true path, so that every name of it has the same lock. */
async function prepareFile(given: string): Promise<string> {
  try {
    makeDataFolder(dirname(given))
    if (!existsSync(given)) writeFileSync(given, '', { mode: 0o600 })
    const db = openWritable(given)
    const path = realpathSync(given)
    let behind: boolean
    try {
      behind = schemaState(db) === 'behind'
    } finally {
      db.close()
    }
    if (behind) await migrate(path, 'up')
    return path
  } catch (error) {
    if (AppError.is(error)) throw error
    const message = `The data file ${given} cannot be opened.`
    throw new AppError('store_unavailable', { message, cause: error })
  }
}

interface StoreParts {
  path: string
  writer: WriterClient
  reader: Reader
  /** Dates the end of the lease on `close`; all other times come with the calls. */
  clock: Clock
}

function composeStore({ path, writer, reader, clock }: StoreParts): Store {
  const lease = createNodeLease(path, writer)
  const readable = reader.values<[], number>('SELECT count(*) FROM nodes')
  let closing: Promise<void> | undefined

  const close = async () => {
    const left = lease.leave(clock.now())
    // Both are posted before anything is awaited, so nothing gets in between. A lease that could not be given up is one
    // whose writer is dead, and it goes with the lock.
    await Promise.allSettled([left, writer.close()])
    reader.close()
    lease.release()
  }

  return {
    engine: 'sqlite',
    location: path,
    nodes: lease.nodes,
    runs: createRunStore(reader, writer, lease),
    items: createItemReads(reader),
    ledger: createLedgerReads(reader),
    log: createLogReads(reader),
    approvals: createApprovalStore(reader, writer),
    conversations: createConversationStore(reader, writer),
    retention: { prune: async (input) => writer.write('retention.prune', input) },
    async ping() {
      readable.get()
      await writer.write('ping', null)
    },
    close: () => (closing ??= close()),
  }
}
