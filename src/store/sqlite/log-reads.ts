import type { Store } from '../store.ts'
import type { StoredEvent } from '../stored-event.ts'
import type { Reader } from './reader.ts'
import type { LedgerRow } from './rows.ts'
import { ledgerColumns, parse, toLedgerRecord } from './rows.ts'

export function createLogReads(reader: Reader): Store['log'] {
  const batches = reader.values<[string, number, number], string>(
    'SELECT events FROM run_log WHERE run_id = ? AND last_seq > ? ORDER BY last_seq LIMIT ?',
  )
  const prunedSeq = reader.values<[string], number>('SELECT pruned_seq FROM runs WHERE id = ?')
  return {
    async read({ run_id, after, max_batches }) {
      const events: StoredEvent[] = []
      for (const batch of batches.all(run_id, after, max_batches)) {
        for (const event of parse<StoredEvent[]>(batch)) if (event.seq > after) events.push(event)
      }
      const pruned = (prunedSeq.get(run_id) ?? 0) > after
      return { events, pruned, oldest: pruned ? (events[0]?.seq ?? null) : null }
    },
  }
}

export function createLedgerReads(reader: Reader): Store['ledger'] {
  const ofRun = reader.rows<[string], LedgerRow>(
    `SELECT ${ledgerColumns} FROM tool_ledger WHERE run_id = ? ORDER BY call_id`,
  )
  return { ofRun: async (run_id) => ofRun.all(run_id).map(toLedgerRecord) }
}
