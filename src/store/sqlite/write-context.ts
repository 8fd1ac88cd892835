import type { Database } from 'better-sqlite3'
import type { RunRow } from './rows.ts'
import { runColumns } from './rows.ts'

/** What the operations of the writer thread share. */
export interface WriteContext {
  db: Database
  attemptGap: number
  lease: Lease
  turns: Turns
  runs: RunStatements
  log: Log
}

export function createWriteContext({
  db,
  attemptGap,
}: Pick<WriteContext, 'db' | 'attemptGap'>): WriteContext {
  return {
    db,
    attemptGap,
    lease: createLease(db),
    turns: createTurns(db),
    runs: createRunStatements(db),
    log: createLog(db),
  }
}

export interface Lease {
  /** Whether this process holds runs under that epoch now. */
  holds(epoch: number): boolean
  /**
   * Whether anybody holds runs under it. A process that has not joined believes the nodes table, in which a killed process
   * still stands until the next one joins.
   */
  isLive(epoch: number): boolean
  set(epoch: number | undefined): void
}

function createLease(db: Database): Lease {
  const findLive = db.prepare('SELECT 1 FROM nodes WHERE epoch = ? AND voided_at IS NULL')
  // The lock on the file is the lease, so memory is enough to know.
  let held: number | undefined
  return {
    holds: (epoch) => held === epoch,
    isLive: (epoch) => (held === undefined ? findLive.get(epoch) !== undefined : held === epoch),
    set(epoch) {
      held = epoch
    },
  }
}

export interface Turns {
  /** A run that holds a conversation or waits on it has ended: the next one's turn. */
  pass(input: { conversation_id: string; run_id: string; now: number }): void
}

function createTurns(db: Database): Turns {
  const free = db.prepare(
    `UPDATE conversations SET holder_run_id = NULL, used_at = max(used_at, @now),
       expires_at = max(used_at, @now) + ttl_ms
     WHERE id = @conversation_id AND holder_run_id = @run_id`,
  )
  const promote = db.prepare(
    `UPDATE runs SET claimable = 1
     WHERE id = (SELECT id FROM runs WHERE conversation_id = @conversation_id AND status = 'queued' ORDER BY id LIMIT 1)
       AND claimable = 0
       AND (SELECT holder_run_id FROM conversations WHERE id = @conversation_id) IS NULL`,
  )
  return {
    pass(input) {
      free.run(input)
      promote.run(input)
    },
  }
}

export interface RunStatements {
  find(id: string): RunRow | undefined
  findOwned(id: string, owner: string, namespace: string): RunRow | undefined
  /** A row that must be there. */
  get(id: string): RunRow
}

function createRunStatements(db: Database): RunStatements {
  const byId = db.prepare<[string], RunRow>(`SELECT ${runColumns} FROM runs WHERE id = ?`).raw()
  const owned = db
    .prepare<[string, string, string], RunRow>(
      `SELECT ${runColumns} FROM runs WHERE id = ? AND owner = ? AND namespace = ?`,
    )
    .raw()
  return {
    find: (id) => byId.get(id),
    findOwned: (id, owner, namespace) => owned.get(id, owner, namespace),
    get(id) {
      const row = byId.get(id)
      if (!row) throw new Error(`Run ${id} is not there.`)
      return row
    },
  }
}

export interface Log {
  /** `events`: a JSON array of the events of one commit, the last of which has number `lastSeq`. */
  append(runId: string, lastSeq: number, attempt: number, events: string): void
}

function createLog(db: Database): Log {
  const insert = db.prepare<[string, number, number, string]>(
    'INSERT INTO run_log (run_id, last_seq, attempt, events) VALUES (?, ?, ?, ?)',
  )
  return {
    append(runId, lastSeq, attempt, events) {
      insert.run(runId, lastSeq, attempt, events)
    },
  }
}
