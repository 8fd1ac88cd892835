import { liveConversation } from './conversation-sql.ts'
import type { ConversationRow } from './rows.ts'
import { conversationColumns } from './rows.ts'
import type { WriteContext } from './write-context.ts'

export interface ConversationInput {
  owner: string
  namespace: string
  id: string
  key: string | null
  /** JSON. */
  metadata: string
  ttl_ms: number | null
  now: number
}

export interface Owned {
  owner: string
  namespace: string
  id: string
}

export function createConversationWrites(context: WriteContext) {
  return { ...createConversationChanges(context), ...createDeletes(context) }
}

function createConversationChanges({ db }: WriteContext) {
  const findByKey = db
    .prepare<[string, string, string, number], ConversationRow>(
      `SELECT ${conversationColumns} FROM conversations
       WHERE owner = ? AND namespace = ? AND key = ? AND ${liveConversation}`,
    )
    .raw()
  const unname = db.prepare(
    'UPDATE conversations SET key = NULL WHERE owner = ? AND namespace = ? AND key = ?',
  )
  const insert = db
    .prepare<ConversationInput & { expires_at: number | null }, ConversationRow>(
      `INSERT INTO conversations (id, owner, namespace, key, metadata, created_at, used_at, ttl_ms, expires_at)
       VALUES (@id, @owner, @namespace, @key, @metadata, @now, @now, @ttl_ms, @expires_at)
       RETURNING ${conversationColumns}`,
    )
    .raw()
  const update = db.prepare(
    'UPDATE conversations SET metadata = @metadata WHERE id = @id AND owner = @owner AND namespace = @namespace',
  )
  const touch = db.prepare(
    `UPDATE conversations SET used_at = max(used_at, ?), expires_at = max(used_at, ?) + ttl_ms
     WHERE id = ? AND owner = ? AND namespace = ? AND ${liveConversation}`,
  )

  return {
    'conversations.create'(input: ConversationInput): ConversationRow {
      if (input.key !== null) {
        const found = findByKey.get(input.owner, input.namespace, input.key, input.now)
        if (found) return found
        unname.run(input.owner, input.namespace, input.key)
      }
      const row = insert.get({
        ...input,
        expires_at: input.ttl_ms === null ? null : input.now + input.ttl_ms,
      })
      if (!row) throw new Error(`Conversation ${input.id} was not written.`)
      return row
    },

    'conversations.update'(input: Owned & { metadata: string }): boolean {
      return update.run(input).changes === 1
    },

    'conversations.touch'({ id, owner, namespace, now }: Owned & { now: number }): void {
      touch.run(now, now, id, owner, namespace, now)
    },
  }
}

function createDeletes({ db }: WriteContext) {
  const isOwned = db.prepare('SELECT 1 FROM conversations WHERE id = ? AND owner = ? AND namespace = ?')
  const openRun = db.prepare(
    `SELECT 1 FROM runs WHERE conversation_id = ? AND status IN ('queued', 'running', 'suspended') LIMIT 1`,
  )
  // Items, log, ledger and approvals go with their run.
  const deleteRuns = db.prepare('DELETE FROM runs WHERE conversation_id = ?')
  const deleteConversation = db.prepare('DELETE FROM conversations WHERE id = ?')

  return {
    'conversations.delete'({ id, owner, namespace }: Owned): boolean {
      if (!isOwned.get(id, owner, namespace) || openRun.get(id)) return false
      deleteRuns.run(id)
      deleteConversation.run(id)
      return true
    },
  }
}
