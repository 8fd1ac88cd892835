import { describe, expect } from 'vitest'
import type { OpenStore, StoreScene } from './store-scene.ts'
import { sceneTest, session } from './store-scene.ts'

export function describeRetention(open: OpenStore): void {
  const it = sceneTest(open)

  const prune = (scene: StoreScene, limit = 100, log_before = 0) =>
    scene.store.retention.prune({ now: scene.now, log_before, limit })

  const ended = async (scene: StoreScene, input?: Parameters<StoreScene['run']>[0]) => {
    const run = await scene.run(input)
    await scene.finish(run)
    return run
  }

  describe('retention.prune', () => {
    it('touches nothing that is not due', async (scene) => {
      await ended(scene, {
        conversation: session('a', 1000),
        idempotency: { route: 'r', key: 'k', fingerprint: 'f', expires_at: scene.now + 1 },
      })
      await ended(scene)
      await scene.queue()
      expect(await prune(scene, 100, scene.now)).toBe(0)
    })

    it('deletes expired conversations without an open run', async (scene) => {
      const gone = await ended(scene, { conversation: session('a', 10) })
      const waits = await scene.queue({ conversation: session('b', 10) })
      const held = await scene.run({ conversation: session('c', 10) })
      await scene.suspend(held, { approvals: [{}] })
      const stays = await ended(scene, { conversation: session('d') })
      scene.now += 10
      expect(await prune(scene)).toBeGreaterThan(0)
      expect(await prune(scene)).toBe(0)
      expect(await scene.store.runs.load(gone.id)).toBeUndefined()
      expect(await scene.store.items.ofRun(gone.id)).toEqual([])
      for (const run of [waits, held, stays]) expect(await scene.store.runs.load(run.id)).toBeDefined()
      expect(await scene.store.conversations.count(scene.now)).toBe(3)
    })

    it('removes a long conversation in several rounds', async (scene) => {
      const runs = []
      for (let i = 0; i < 5; i += 1) runs.push(await ended(scene, { conversation: session('a', 10) }))
      const other = await ended(scene, { conversation: session('b', 10) })
      scene.now += 10
      let rounds = 0
      while ((await prune(scene, 2)) > 0) rounds += 1
      expect(rounds).toBeGreaterThanOrEqual(3)
      for (const run of [...runs, other]) expect(await scene.store.runs.load(run.id)).toBeUndefined()
    })

    it('removes the log of a run that ended long ago; the run and its items stay', async (scene) => {
      const run = await ended(scene, { conversation: session('a') })
      const open = await scene.run({ conversation: session('b') })
      scene.now += 1
      expect(await prune(scene, 100, scene.now)).toBe(1)
      const before = await scene.load(run)
      const read = (after: number) => scene.store.log.read({ run_id: run.id, after, max_batches: 10 })
      expect(await read(0)).toEqual({ events: [], pruned: true, oldest: null })
      expect(await read(before.last_seq - 1)).toMatchObject({ pruned: true })
      expect(await read(before.last_seq)).toEqual({ events: [], pruned: false, oldest: null })
      expect(before.status).toBe('completed')
      expect(await scene.store.items.ofRun(run.id)).toHaveLength(1)
      expect(await scene.log(open)).toHaveLength(1)
      expect(await prune(scene, 100, scene.now)).toBe(0)
    })

    it('deletes runs without a conversation from the last of a chain to the first', async (scene) => {
      const first = await ended(scene)
      const second = await ended(scene, { parent_run_id: first.id })
      scene.now += 1
      const third = await ended(scene, { parent_run_id: second.id })
      const log_before = scene.now
      while ((await prune(scene, 100, log_before)) > 0);
      for (const run of [first, second, third]) expect(await scene.store.runs.load(run.id)).toBeDefined()
      expect(await scene.log(first)).toEqual([])
      expect(await scene.log(third)).not.toEqual([])
      while ((await prune(scene, 100, log_before + 1)) > 0);
      for (const run of [first, second, third]) expect(await scene.store.runs.load(run.id)).toBeUndefined()
    })

    it('does at most limit of each, and in the end all', async (scene) => {
      for (let i = 0; i < 5; i += 1) await ended(scene)
      for (let i = 0; i < 5; i += 1) await ended(scene, { conversation: session(`s${i}`) })
      const idempotency = { route: 'r', fingerprint: 'f', expires_at: scene.now + 1 }
      for (let i = 0; i < 5; i += 1) await scene.queue({ idempotency: { ...idempotency, key: `k${i}` } })
      scene.now += 1
      const touched = []
      for (let count = 1; count > 0;) {
        count = await prune(scene, 2, scene.now)
        touched.push(count)
      }
      expect(Math.max(...touched)).toBeLessThanOrEqual(6)
      // Logs of the ten, the five runs without a conversation themselves, and the keys.
      expect(touched.reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(15)
      const { data } = await scene.store.runs.list(scene.scope, { limit: 100, status: 'completed' })
      expect(data).toHaveLength(5)
    })
  })
}
