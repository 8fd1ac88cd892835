import type { LoggedEvent } from '../../events.ts'
import type { Store } from '../store.ts'
import { createListQuery } from './list-query.ts'
import type { Reader } from './reader.ts'
import type { ApprovalRow } from './rows.ts'
import { approvalColumns, parse, toApprovalRecord, toRunRecord } from './rows.ts'
import { toScopeColumns } from './text-column.ts'
import type { WriterClient } from './writer-client.ts'

export function createApprovalStore(reader: Reader, writer: WriterClient): Store['approvals'] {
  const find = reader.rows<[string, string, string], ApprovalRow>(
    `SELECT ${approvalColumns} FROM approvals WHERE id = ? AND owner = ? AND namespace = ?`,
  )
  const ofRun = reader.rows<[string], ApprovalRow>(
    `SELECT ${approvalColumns} FROM approvals WHERE run_id = ? ORDER BY id`,
  )
  return {
    async find(scope, id) {
      const { owner, namespace } = toScopeColumns(scope)
      const row = find.get(id, owner, namespace)
      return row && toApprovalRecord(row)
    },
    list: createList(reader),
    ofRun: async (run_id) => ofRun.all(run_id).map(toApprovalRecord),
    decide: createDecide(writer),
    async expire(input) {
      const rows = await writer.write('approvals.expire', { ...input, details: expiredDetails })
      return rows.map(toRunRecord)
    },
  }
}

/** Nobody decided: time did. */
const expiredDetails = JSON.stringify({ by: 'system' })

function createList(reader: Reader): Store['approvals']['list'] {
  const list = createListQuery(reader, {
    table: 'approvals',
    columns: approvalColumns,
    narrowest: 'run_id',
    toRecord: toApprovalRecord,
  })
  return async (scope, input) =>
    list(scope, input, [
      ['status', input.status],
      ['run_id', input.run_id],
    ])
}

function createDecide(writer: WriterClient): Store['approvals']['decide'] {
  return async ({ scope, approval_id, decision, by, reason, arguments: edited, answer, now }) => {
    const result = await writer.write('approvals.decide', {
      ...toScopeColumns(scope),
      approval_id,
      decision,
      // Fields that are undefined are left out.
      details: JSON.stringify({ by, reason, arguments: edited, answer }),
      now,
    })
    if (result.outcome === 'not_found') return result
    const approval = toApprovalRecord(result.approval)
    if (result.outcome === 'decided_before') return { outcome: 'decided_before', approval }
    return {
      outcome: 'ok',
      approval,
      run: toRunRecord(result.row),
      events: parse<LoggedEvent[]>(result.events),
    }
  }
}
