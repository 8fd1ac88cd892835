import { describe, expect } from 'vitest'
import type { OpenStore } from './store-scene.ts'
import { attemptGap, pendingCall, sceneTest, session } from './store-scene.ts'

export function describeClaim(open: OpenStore): void {
  const it = sceneTest(open)

  describe('runs.claim', () => {
    it('takes the oldest queued run, and none when there is none', async (scene) => {
      expect(await scene.claim()).toBeNull()
      const first = await scene.queue()
      const second = await scene.queue()
      scene.now += 5
      const claimed = await scene.claim()
      expect(claimed).toMatchObject({
        rescued: false,
        run: { id: first.id, status: 'running', attempt: 1, epoch: scene.epoch, last_seq: 1, crash_count: 0 },
        start: { seq: 1, type: 'run.start', run_id: first.id, attempt: 1, definition: 'abc' },
      })
      expect(claimed?.run.started_at).toBe(scene.now)
      expect(claimed?.run.next_seq).toBe(1 + attemptGap)
      expect(await scene.load(first)).toEqual(claimed?.run)
      expect(await scene.log(first)).toEqual([claimed?.start])
      expect((await scene.claim())?.run.id).toBe(second.id)
      expect(await scene.claim()).toBeNull()
    })

    it('has before it what waits for nothing but a place, and not what waits behind a conversation', async (scene) => {
      const { runs } = scene.store
      const holder = await scene.run({ conversation: session('a') })
      await scene.suspend(holder, { calls: [pendingCall('call_1')] })
      for (let i = 0; i < 3; i += 1) await scene.queue({ conversation: session('a') })
      expect(await runs.countClaimable(9)).toBe(0)
      await scene.queue()
      await scene.queue({ conversation: session('b') })
      await scene.queue({ conversation: session('b') })
      expect(await runs.countClaimable(9)).toBe(2)
      expect(await runs.countClaimable(1)).toBe(1)
      await scene.cancel(holder)
      expect(await runs.countClaimable(9)).toBe(3)
      await scene.claim()
      expect(await runs.countClaimable(9)).toBe(2)
    })

    it('takes nothing under an epoch that is not live', async (scene) => {
      await scene.queue()
      const { epoch, definitions, now, store } = scene
      await scene.takeOver()
      expect(await store.runs.claim({ epoch, definitions, now })).toBeNull()
      expect(await scene.claim()).not.toBeNull()
    })

    it('runs one of a conversation at a time, in their order, and conversations beside each other', async (scene) => {
      const a1 = await scene.queue({ conversation: session('a') })
      const a2 = await scene.queue({ conversation: session('a') })
      const a3 = await scene.queue({ conversation: session('a') })
      const b1 = await scene.queue({ conversation: session('b') })
      const first = await scene.claim()
      expect(first?.run.id).toBe(a1.id)
      expect((await scene.claim())?.run.id).toBe(b1.id)
      expect(await scene.claim()).toBeNull()
      await scene.finish(first!.run, 'failed')
      const second = await scene.claim()
      expect(second?.run.id).toBe(a2.id)
      expect(await scene.claim()).toBeNull()
      await scene.finish(second!.run)
      expect((await scene.claim())?.run.id).toBe(a3.id)
    })

    it('makes it the holder and the head of its conversation', async (scene) => {
      const { conversation_id } = await scene.queue({ conversation: session('a') })
      const find = () => scene.store.conversations.find(scene.scope, { id: conversation_id!, now: scene.now })
      expect(await find()).toMatchObject({ head_run_id: null, holder_run_id: null })
      const { run } = (await scene.claim())!
      expect(await find()).toMatchObject({ head_run_id: run.id, holder_run_id: run.id })
      await scene.finish(run)
      expect(await find()).toMatchObject({ head_run_id: run.id, holder_run_id: null })
    })

    it('fixes the parent when it is first claimed: the head of then, unless one was named', async (scene) => {
      const first = await scene.run({ conversation: session('a') })
      const second = await scene.queue({ conversation: session('a') })
      const third = await scene.queue({ conversation: session('a') })
      const branch = await scene.queue({ conversation: session('a'), parent_run_id: first.id })
      expect([second.parent_run_id, third.parent_run_id]).toEqual([null, null])
      await scene.finish(first)
      await scene.finish((await scene.claim())!.run)
      await scene.finish((await scene.claim())!.run)
      const claimedBranch = (await scene.claim())!.run
      expect((await scene.load(second)).parent_run_id).toBe(first.id)
      expect((await scene.load(third)).parent_run_id).toBe(second.id)
      expect(claimedBranch).toMatchObject({ id: branch.id, parent_run_id: first.id })
      await scene.finish(claimedBranch)
      expect(await scene.run({ conversation: session('a') })).toMatchObject({ parent_run_id: branch.id })
    })

    it('does not claim behind a suspended run, which keeps its conversation', async (scene) => {
      const holder = await scene.run({ conversation: session('a') })
      await scene.suspend(holder, { calls: [{ call_id: 'call_1', name: 'x', arguments: {} }] })
      await scene.queue({ conversation: session('a') })
      expect(await scene.claim()).toBeNull()
      expect(await scene.store.runs.hasWork({ epoch: scene.epoch, now: scene.now })).toBe(false)
    })

    it('hasWork tells whether there is something to claim', async (scene) => {
      const hasWork = (epoch = scene.epoch) => scene.store.runs.hasWork({ epoch, now: scene.now })
      expect(await hasWork()).toBe(false)
      const run = await scene.run({ conversation: session('a') })
      await scene.queue({ conversation: session('a') })
      expect(await hasWork()).toBe(false)
      await scene.finish(run)
      expect(await hasWork()).toBe(true)
      await scene.claim()
      expect(await hasWork()).toBe(false)
      await scene.takeOver()
      expect(await hasWork()).toBe(true)
    })
  })

  describe('a rescue', () => {
    it('comes first, takes the run of a void epoch and counts the crash', async (scene) => {
      const lost = await scene.run({ conversation: session('a') })
      await scene.commit(lost)
      const waiting = await scene.queue({ conversation: session('a') })
      const other = await scene.queue()
      await scene.takeOver()
      const { run, start, rescued } = (await scene.claim())!
      expect(rescued).toBe(true)
      expect(run).toMatchObject({
        id: lost.id,
        attempt: 2,
        epoch: scene.epoch,
        crash_count: 1,
        status: 'running',
      })
      expect(start).toMatchObject({ seq: 2 + attemptGap, attempt: 2, type: 'run.start' })
      expect(run).toMatchObject({ last_seq: 2 + attemptGap, next_seq: 2 + 2 * attemptGap })
      expect(run.started_at).toBe(lost.started_at)
      expect((await scene.log(run)).map((event) => event.seq)).toEqual([1, 2, 2 + attemptGap])
      expect((await scene.claim())?.run.id).toBe(other.id)
      expect(await scene.claim()).toBeNull()
      await scene.finish(run)
      expect((await scene.claim())?.run).toMatchObject({ id: waiting.id, parent_run_id: lost.id })
    })

    it('counts crashes until the holder commits', async (scene) => {
      await scene.run()
      for (const crash_count of [1, 2, 3]) {
        await scene.takeOver()
        expect((await scene.claim())?.run).toMatchObject({ crash_count, attempt: crash_count + 1 })
      }
      await scene.takeOver()
      const { run } = (await scene.claim())!
      await scene.commit(run, { recovery: true })
      expect((await scene.load(run)).crash_count).toBe(4)
      await scene.commit(await scene.load(run))
      expect((await scene.load(run)).crash_count).toBe(0)
    })

    it('finds what it needs after the store was closed', async (scene) => {
      const { id } = await scene.run()
      await scene.reopen()
      expect(await scene.claim()).toMatchObject({ rescued: true, run: { id, attempt: 2 } })
    })
  })

  describe('nodes', () => {
    it('join gives an epoch above every one before', async (scene) => {
      const epochs = [scene.epoch]
      await scene.takeOver()
      epochs.push(scene.epoch)
      await scene.reopen()
      epochs.push(scene.epoch)
      expect(epochs).toEqual(epochs.toSorted((a, b) => a - b))
      expect(new Set(epochs).size).toBe(3)
    })

    it('renew holds for the live lease, and is false once it is given up', async (scene) => {
      const { epoch, now, store } = scene
      expect(await store.nodes.renew({ epoch, lease_ms: 10_000, now })).toBe(true)
      await store.nodes.leave({ epoch, now })
      expect(await store.nodes.renew({ epoch, lease_ms: 10_000, now })).toBe(false)
      expect(await scene.claim()).toBeNull()
      await store.nodes.leave({ epoch, now })
    })
  })
}
