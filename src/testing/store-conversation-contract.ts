import { describe, expect } from 'vitest'
import { createId } from '../ids.ts'
import type { Item } from '../items.ts'
import type { OpenStore, StoreScene } from './store-scene.ts'
import { assistantMessage, placed, sceneTest, session, toolResult } from './store-scene.ts'

const strangers = [
  { owner: 'bob', namespace: 'shop' },
  { owner: 'alice', namespace: '' },
]

export function describeConversations(open: OpenStore): void {
  const it = sceneTest(open)

  const make = (scene: StoreScene, input: { key?: string; ttl_ms?: number | null } = {}) =>
    scene.store.conversations.create({
      scope: scene.scope,
      id: createId('conv'),
      metadata: { topic: 'cats' },
      ttl_ms: null,
      now: scene.now,
      ...input,
    })

  describe('conversations', () => {
    it('are made and found by id and key', async (scene) => {
      const made = await make(scene, { key: 'k', ttl_ms: 500 })
      expect(made).toEqual({
        id: made.id,
        owner: 'alice',
        namespace: 'shop',
        key: 'k',
        head_run_id: null,
        holder_run_id: null,
        metadata: { topic: 'cats' },
        created_at: scene.now,
        used_at: scene.now,
        ttl_ms: 500,
      })
      const { conversations } = scene.store
      expect(await conversations.find(scene.scope, { id: made.id, now: scene.now })).toEqual(made)
      expect(await conversations.find(scene.scope, { key: 'k', now: scene.now })).toEqual(made)
      expect(await conversations.find(scene.scope, { key: made.id, now: scene.now })).toBeUndefined()
    })

    it('one with the key that is there is returned as it is; an expired one gives up its key', async (scene) => {
      const first = await make(scene, { key: 'k', ttl_ms: 100 })
      expect(await make(scene, { key: 'k' })).toEqual(first)
      scene.now += 100
      const second = await make(scene, { key: 'k' })
      expect(second.id).not.toBe(first.id)
      expect(await scene.store.conversations.find(scene.scope, { key: 'k', now: scene.now })).toEqual(second)
    })

    it('of another owner or namespace are not found', async (scene) => {
      const { id } = await make(scene, { key: 'k' })
      const { conversations, items } = scene.store
      const { now } = scene
      const before = await conversations.find(scene.scope, { id, now })
      for (const scope of strangers) {
        expect(await conversations.find(scope, { id, now })).toBeUndefined()
        expect(await conversations.find(scope, { key: 'k', now })).toBeUndefined()
        expect((await conversations.list(scope, { limit: 10, now })).data).toEqual([])
        expect(await conversations.update(scope, { id, metadata: {} })).toBe(false)
        await conversations.touch(scope, { id, now: now + 50 })
        expect(await conversations.countMessages(scope, id)).toBe(0)
        expect(await items.ofConversation(scope, id, { limit: 10, order: 'asc' })).toBeUndefined()
        expect(await conversations.delete(scope, id)).toBe(false)
      }
      expect(await conversations.find(scene.scope, { id, now })).toEqual(before)
      expect(await conversations.find(scene.scope, { id: "x' OR 1=1 --\ud800\u0000", now })).toBeUndefined()
    })

    it('are listed newest first, in pages, the expired left out', async (scene) => {
      const ids: string[] = []
      for (let i = 0; i < 4; i += 1) ids.push((await make(scene, i === 1 ? { ttl_ms: 10 } : {})).id)
      const { conversations } = scene.store
      const listed = async (input: { limit: number; after?: string }) => {
        const { data, has_more } = await conversations.list(scene.scope, { ...input, now: scene.now })
        return [data.map(({ id }) => ids.indexOf(id)), has_more]
      }
      expect(await listed({ limit: 4 })).toEqual([[3, 2, 1, 0], false])
      expect(await conversations.count(scene.now)).toBe(4)
      scene.now += 10
      expect(await listed({ limit: 4 })).toEqual([[3, 2, 0], false])
      expect(await listed({ limit: 2 })).toEqual([[3, 2], true])
      expect(await listed({ limit: 2, after: ids[2]! })).toEqual([[0], false])
      expect(await conversations.count(scene.now)).toBe(3)
    })

    it('take new metadata', async (scene) => {
      const { id } = await make(scene)
      const { conversations } = scene.store
      expect(await conversations.update(scene.scope, { id, metadata: { a: 'b' } })).toBe(true)
      expect(await conversations.find(scene.scope, { id, now: scene.now })).toMatchObject({
        metadata: { a: 'b' },
      })
      expect(await conversations.update(scene.scope, { id: 'conv_nope', metadata: {} })).toBe(false)
    })

    it('expire when they were idle for their time; use slides it, and nothing wakes the dead', async (scene) => {
      const { id } = await make(scene, { key: 'k', ttl_ms: 100 })
      const { conversations } = scene.store
      const find = () => conversations.find(scene.scope, { id, now: scene.now })
      scene.now += 99
      await conversations.touch(scene.scope, { id, now: scene.now })
      expect((await find())?.used_at).toBe(scene.now)
      scene.now += 99
      const run = await scene.run({ conversation: { id } })
      await scene.finish(run)
      scene.now += 99
      expect(await find()).toBeDefined()
      scene.now += 1
      expect(await find()).toBeUndefined()
      expect(await conversations.find(scene.scope, { key: 'k', now: scene.now })).toBeUndefined()
      await conversations.touch(scene.scope, { id, now: scene.now })
      expect(await find()).toBeUndefined()
    })

    it('count the messages of users and assistants along the chain', async (scene) => {
      const first = await scene.run({ conversation: session('k') })
      const items = placed(1, [
        assistantMessage('a'),
        toolResult('c'),
        { ...assistantMessage('s'), role: 'system' },
      ])
      items.push(
        { position: 4, step: 0, void: true, parent_call_id: null, item: assistantMessage('thrown away') },
        { position: 5, step: 0, void: false, parent_call_id: 'c', item: assistantMessage('to its caller') },
      )
      const note: Item = { type: 'note', id: createId('item'), kind: 'plan', text: 'first this' }
      items.push({ position: 6, step: 0, void: false, parent_call_id: null, item: note })
      await scene.commit(first, { items })
      await scene.finish(await scene.load(first), 'failed')
      const aside = await scene.run({ conversation: session('k') })
      await scene.finish(aside)
      const branch = await scene.run({ conversation: session('k'), parent_run_id: first.id })
      await scene.queue({ conversation: session('k') })
      const id = branch.conversation_id!
      expect(await scene.store.conversations.countMessages(scene.scope, id)).toBe(3)
    })

    it('know their runs that have not ended', async (scene) => {
      const holder = await scene.run({ conversation: session('k') })
      const waiting = await scene.queue({ conversation: session('k') })
      await scene.run({ conversation: session('other') })
      const openRuns = () => scene.store.conversations.openRuns(holder.conversation_id!)
      expect(await openRuns()).toEqual([holder.id, waiting.id])
      await scene.suspend(holder, { approvals: [{}] })
      expect(await openRuns()).toEqual([holder.id, waiting.id])
      await scene.cancel(holder)
      expect(await openRuns()).toEqual([waiting.id])
    })

    it('go with all that hangs on them, but not while a run on them is open', async (scene) => {
      const claims = [{ step: 0, index: 0, call_id: 'c', effect: 'read', approval_id: null } as const]
      const run = await scene.run({ conversation: session('k') })
      await scene.commit(run, { claims: [...claims] })
      const [approval] = await scene.suspend(await scene.load(run), { approvals: [{}] })
      const { store, scope } = scene
      const id = run.conversation_id!
      expect(await store.conversations.delete(scope, id)).toBe(false)
      const waiting = await scene.queue({ conversation: session('k') })
      await scene.cancel(run)
      expect(await store.conversations.delete(scope, id)).toBe(false)
      await scene.cancel(waiting)
      const kept = await scene.run({ conversation: session('other') })
      expect(await store.conversations.delete(scope, id)).toBe(true)
      expect(await store.conversations.find(scope, { id, now: scene.now })).toBeUndefined()
      expect(await store.runs.find(scope, run.id)).toBeUndefined()
      expect(await store.items.ofRun(run.id)).toEqual([])
      expect(await scene.log(run)).toEqual([])
      expect(await store.ledger.ofRun(run.id)).toEqual([])
      expect(await store.approvals.find(scope, approval!)).toBeUndefined()
      expect(await store.conversations.delete(scope, id)).toBe(false)
      expect(await store.runs.find(scope, kept.id)).toBeDefined()
      const again = await scene.run({ conversation: session('k') })
      expect(again.parent_run_id).toBeNull()
    })
  })
}
