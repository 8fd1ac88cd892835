import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Principal } from '../identity/principal.ts'
import { createId } from '../ids.ts'
import type { Store } from '../store/store.ts'
import type { Conversations, Runs } from './runs.ts'

/** Runs can be added while a conversation is being emptied; more rounds than this and the caller is told to try again. */
const deleteRounds = 5

export function createConversationService(options: {
  store: Store
  clock: Clock
  runs: Runs
}): Conversations {
  const { store, clock } = options
  const get = async (principal: Principal, id: string) =>
    (await store.conversations.find(principal, { id, now: clock.now() })) ?? notFound()
  return {
    get,
    async create(principal, { key, metadata }) {
      const id = createId('conv')
      const conversation = await store.conversations.create({
        scope: principal,
        id,
        ...(key === undefined ? {} : { key }),
        metadata: metadata ?? {},
        ttl_ms: null,
        now: clock.now(),
      })
      // The store gives the one that has the key.
      if (conversation.id !== id) throw keyTaken(conversation.id)
      return conversation
    },
    async findSession(principal, session) {
      const now = clock.now()
      const found =
        (await store.conversations.find(principal, { key: session, now })) ??
        (await store.conversations.find(principal, { id: session, now }))
      return found ?? notFound()
    },
    list: (principal, page) => store.conversations.list(principal, { ...page, now: clock.now() }),
    async update(principal, id, metadata) {
      await get(principal, id)
      await store.conversations.update(principal, { id, metadata })
      return get(principal, id)
    },
    async items(principal, id, page) {
      await get(principal, id)
      return (await store.items.ofConversation(principal, id, page)) ?? notFound()
    },
    async countMessages(principal, id) {
      await get(principal, id)
      return store.conversations.countMessages(principal, id)
    },
    delete: (principal, id) => deleteConversation(options, { principal, id, get }),
  }
}

async function deleteConversation(
  options: { store: Store; runs: Runs },
  input: { principal: Principal; id: string; get: Conversations['get'] },
): Promise<void> {
  const { store, runs } = options
  const { principal, id } = input
  const conversation = await input.get(principal, id)
  for (let round = 0; round < deleteRounds; round++) {
    for (const runId of await store.conversations.openRuns(conversation.id)) {
      await runs.cancel(principal, runId, 'conversation deleted')
    }
    if (await store.conversations.delete(principal, conversation.id)) return
  }
  throw new AppError('conversation_busy')
}

function keyTaken(id: string): AppError {
  const message = `Another conversation has this key: ${id}.`
  return new AppError('invalid_request', { message, locations: [{ path: ['body', 'key'], message }] })
}

function notFound(): never {
  throw new AppError('conversation_not_found')
}
