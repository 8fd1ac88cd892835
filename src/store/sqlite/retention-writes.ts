import type { WriteContext } from './write-context.ts'

export interface PruneInput {
  now: number
  log_before: number
  limit: number
}

export function createRetentionWrites(context: WriteContext) {
  const conversations = createConversationPrune(context)
  const runs = createRunPrune(context)
  const logs = createLogPrune(context)
  // A key that is due is already free; this only removes its row.
  const keys = context.db.prepare(
    `DELETE FROM idempotency
     WHERE rowid IN (SELECT rowid FROM idempotency WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)`,
  )
  return {
    'retention.prune'(input: PruneInput): number {
      return conversations(input) + runs(input) + logs(input) + keys.run(input.now, input.limit).changes
    },
  }
}

/** Deletes at most `limit` conversations and `limit` of their runs; a long one goes in several rounds, newest run first. */
function createConversationPrune({ db }: WriteContext) {
  const expired = db
    .prepare<[number, number], string>(
      `SELECT id FROM conversations WHERE expires_at IS NOT NULL AND expires_at <= ? AND holder_run_id IS NULL
         AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.conversation_id = conversations.id AND runs.status = 'queued')
       ORDER BY expires_at LIMIT ?`,
    )
    .pluck()
  const deleteRuns = db.prepare(
    `DELETE FROM runs
     WHERE rowid IN (SELECT rowid FROM runs WHERE conversation_id = ? ORDER BY id DESC LIMIT ?)`,
  )
  const deleteConversation = db.prepare('DELETE FROM conversations WHERE id = ?')
  return ({ now, limit }: PruneInput): number => {
    let left = limit
    let conversations = 0
    for (const id of expired.all(now, limit)) {
      // One more than may go would tell that it is not the last round; less than may go tells that it is.
      const deleted = left > 0 ? deleteRuns.run(id, left).changes : 0
      left -= deleted
      if (left === 0) break
      conversations += deleteConversation.run(id).changes
    }
    return conversations + limit - left
  }
}

/** The index `runs_prunable` serves a query only where its own condition stands word for word. */
const prunable = 'ended_at IS NOT NULL AND (conversation_id IS NULL OR pruned_seq = 0) AND ended_at < ?'

function createRunPrune({ db }: WriteContext) {
  const remove = db.prepare(
    `DELETE FROM runs WHERE rowid IN (
       SELECT rowid FROM runs WHERE ${prunable} AND conversation_id IS NULL
         AND NOT EXISTS (SELECT 1 FROM runs AS child WHERE child.parent_run_id = runs.id)
       ORDER BY ended_at LIMIT ?)`,
  )
  return ({ log_before, limit }: PruneInput): number => remove.run(log_before, limit).changes
}

function createLogPrune({ db }: WriteContext) {
  const ended = db
    .prepare<[number, number], string>(
      `SELECT id FROM runs WHERE ${prunable} AND pruned_seq = 0 ORDER BY ended_at LIMIT ?`,
    )
    .pluck()
  const remove = db.prepare('DELETE FROM run_log WHERE run_id = ?')
  const note = db.prepare('UPDATE runs SET pruned_seq = last_seq WHERE id = ?')
  return ({ log_before, limit }: PruneInput): number => {
    const ids = ended.all(log_before, limit)
    for (const id of ids) {
      remove.run(id)
      note.run(id)
    }
    return ids.length
  }
}
