import type { Store } from '../store.ts'
import { anyDepth, chain } from './chain-sql.ts'
import { liveConversation } from './conversation-sql.ts'
import type { Reader } from './reader.ts'
import type { ConversationRow } from './rows.ts'
import { conversationColumns, toConversationRecord } from './rows.ts'
import { toColumn, toScopeColumns } from './text-column.ts'
import type { WriterClient } from './writer-client.ts'

export function createConversationStore(reader: Reader, writer: WriterClient): Store['conversations'] {
  return { ...createConversationReads(reader), ...createConversationWriting(writer) }
}

type Reading = 'find' | 'list' | 'countMessages' | 'openRuns' | 'count'

function createConversationReads(reader: Reader): Pick<Store['conversations'], Reading> {
  const findBy = (column: 'id' | 'key') =>
    reader.rows<[string, string, string, number], ConversationRow>(
      `SELECT ${conversationColumns} FROM conversations
       WHERE ${column} = ? AND owner = ? AND namespace = ? AND ${liveConversation}`,
    )
  const byId = findBy('id')
  const byKey = findBy('key')
  const openRuns = reader.values<[string], string>(
    `SELECT id FROM runs WHERE conversation_id = ? AND status IN ('queued', 'running', 'suspended') ORDER BY id`,
  )
  // All, from an index, less the few that are over: the rows themselves stay unread.
  const count = reader.values<[number, number], number>(
    `SELECT (SELECT count(*) FROM conversations)
       - (SELECT count(*) FROM conversations WHERE expires_at IS NOT NULL AND expires_at <= ?
            AND NOT ${liveConversation})`,
  )
  return {
    async find(scope, input) {
      const { owner, namespace } = toScopeColumns(scope)
      const row =
        'id' in input
          ? byId.get(input.id, owner, namespace, input.now)
          : byKey.get(toColumn(input.key), owner, namespace, input.now)
      return row && toConversationRecord(row)
    },
    list: createList(reader),
    countMessages: createMessageCount(reader),
    openRuns: async (id) => openRuns.all(id),
    count: async (now) => count.get(now, now) ?? 0,
  }
}

function createList(reader: Reader): Store['conversations']['list'] {
  const select = `SELECT ${conversationColumns} FROM conversations WHERE owner = ? AND namespace = ?`
  const first = reader.rows<[string, string, number, number], ConversationRow>(
    `${select} AND ${liveConversation} ORDER BY id DESC LIMIT ?`,
  )
  const next = reader.rows<[string, string, string, number, number], ConversationRow>(
    `${select} AND id < ? AND ${liveConversation} ORDER BY id DESC LIMIT ?`,
  )
  return async (scope, { limit, after, now }) => {
    const { owner, namespace } = toScopeColumns(scope)
    const rows =
      after === undefined
        ? first.all(owner, namespace, now, limit + 1)
        : next.all(owner, namespace, after, now, limit + 1)
    return { data: rows.slice(0, limit).map(toConversationRecord), has_more: rows.length > limit }
  }
}

function createMessageCount(reader: Reader): Store['conversations']['countMessages'] {
  const head = reader.values<[string, string, string], string | null>(
    'SELECT head_run_id FROM conversations WHERE id = ? AND owner = ? AND namespace = ?',
  )
  const messages = reader.values<[string, number], number>(
    `${chain} SELECT count(*) FROM chain CROSS JOIN items ON items.run_id = chain.id
     WHERE void = 0 AND role IN ('user', 'assistant')`,
  )
  return async (scope, id) => {
    const { owner, namespace } = toScopeColumns(scope)
    const from = head.get(id, owner, namespace)
    return from ? (messages.get(from, anyDepth) ?? 0) : 0
  }
}

function createConversationWriting(writer: WriterClient): Omit<Store['conversations'], Reading> {
  return {
    async create({ scope, id, key, metadata, ttl_ms, now }) {
      const row = await writer.write('conversations.create', {
        ...toScopeColumns(scope),
        id,
        key: key === undefined ? null : toColumn(key),
        metadata: JSON.stringify(metadata),
        ttl_ms,
        now,
      })
      return toConversationRecord(row)
    },
    update: async (scope, { id, metadata }) =>
      writer.write('conversations.update', {
        ...toScopeColumns(scope),
        id,
        metadata: JSON.stringify(metadata),
      }),
    touch: async (scope, input) =>
      writer.write('conversations.touch', { ...toScopeColumns(scope), ...input }),
    delete: async (scope, id) => writer.write('conversations.delete', { ...toScopeColumns(scope), id }),
  }
}
