import { describe, expect } from 'vitest'
import type { OpenStore, StoreScene } from './store-scene.ts'
import { attemptGap, pendingCall, sceneTest, session } from './store-scene.ts'

export function describeCancel(open: OpenStore): void {
  const it = sceneTest(open)

  const expectEndedHere = async (scene: StoreScene, id: string) => {
    const before = await scene.load({ id })
    const result = await scene.cancel({ id })
    if (result.outcome !== 'cancelled') throw new Error(result.outcome)
    const { run, end } = result
    expect(run).toEqual({
      ...before,
      status: 'cancelled',
      attempt: before.attempt + 1,
      epoch: null,
      last_seq: before.next_seq,
      next_seq: before.next_seq + attemptGap,
      cancel: { at: scene.now, actor: 'alice', reason: 'enough' },
      stop_reason: 'cancelled',
      error: { code: 'run_cancelled', message: 'The run was cancelled.' },
      output: [],
      pending_calls: [],
      ended_at: scene.now,
    })
    expect(end).toEqual({
      seq: before.next_seq,
      type: 'run.end',
      status: 'cancelled',
      stop_reason: 'cancelled',
      output: [],
      usage: before.usage,
      steps: before.steps,
      error: run.error,
    })
    expect(await scene.load({ id })).toEqual(run)
    expect((await scene.log({ id })).at(-1)).toEqual(end)
  }

  describe('runs.cancel', () => {
    it('ends a queued run', async (scene) => {
      const run = await scene.queue()
      await expectEndedHere(scene, run.id)
      expect(await scene.claim()).toBeNull()
    })

    it('ends a suspended run with its approvals, and frees its conversation', async (scene) => {
      const run = await scene.run({ conversation: session('a') })
      const [id] = await scene.suspend(run, { approvals: [{}], calls: [pendingCall('call_7')] })
      const next = await scene.queue({ conversation: session('a') })
      scene.now += 7
      await expectEndedHere(scene, run.id)
      const approval = await scene.store.approvals.find(scene.scope, id!)
      expect(approval).toMatchObject({ status: 'cancelled', decided_at: scene.now })
      const late = await scene.store.approvals.decide({
        scope: scene.scope,
        approval_id: id!,
        decision: 'approve',
        by: 'alice',
        now: scene.now,
      })
      expect(late).toEqual({ outcome: 'decided_before', approval })
      expect((await scene.claim())?.run).toMatchObject({ id: next.id, parent_run_id: run.id })
    })

    it('ends a running run whose holder is gone', async (scene) => {
      const run = await scene.run({ conversation: session('a') })
      await scene.commit(run, { usage: { input_tokens: 1, output_tokens: 2, total_tokens: 3 }, steps: 1 })
      await scene.takeOver()
      await expectEndedHere(scene, run.id)
      expect(await scene.claim()).toBeNull()
      const { holder_run_id } = (await scene.store.conversations.find(scene.scope, {
        key: 'a',
        now: scene.now,
      }))!
      expect(holder_run_id).toBeNull()
    })

    it('ends a run that waits to go on, and the next one has its turn', async (scene) => {
      const run = await scene.run({ conversation: session('a') })
      await scene.commit(run, { end: { status: 'queued' } })
      const next = await scene.queue({ conversation: session('a') })
      await expectEndedHere(scene, run.id)
      expect((await scene.claim())?.run.id).toBe(next.id)
    })

    it('ends one that waits in the middle of a queue, and the others keep their order', async (scene) => {
      const queued = []
      for (let i = 0; i < 4; i += 1) queued.push(await scene.queue({ conversation: session('a') }))
      await scene.cancel(queued[0]!)
      await scene.cancel(queued[2]!)
      const first = (await scene.claim())!.run
      expect(first.id).toBe(queued[1]!.id)
      expect(await scene.claim()).toBeNull()
      await scene.finish(first)
      expect((await scene.claim())?.run.id).toBe(queued[3]!.id)
    })

    it('tells a live holder; the first cancel stands', async (scene) => {
      const run = await scene.run()
      const first = await scene.cancel(run)
      const cancel = { at: scene.now, actor: 'alice', reason: 'enough' }
      expect(first).toEqual({ outcome: 'signalled', run: { ...run, cancel } })
      scene.now += 5
      const second = await scene.store.runs.cancel({
        scope: scene.scope,
        run_id: run.id,
        actor: 'bob',
        reason: 'again',
        now: scene.now,
      })
      expect(second).toEqual({ outcome: 'signalled', run: { ...run, cancel } })
    })

    it('wins over a finish that comes later: only an end as cancelled is taken', async (scene) => {
      const run = await scene.run({ conversation: session('a') })
      await scene.cancel(run)
      const { cancel } = await scene.load(run)
      expect(await scene.commit(run)).toBe('cancelled')
      expect(await scene.finish(run, 'completed')).toBe('cancelled')
      expect(await scene.finish(run, 'failed')).toBe('cancelled')
      expect(await scene.commit(run, { end: { status: 'queued' } })).toBe('cancelled')
      const suspended = { status: 'suspended' as const, approvals: [], calls_expire_at: null }
      expect(await scene.commit(run, { end: { ...suspended, pending_calls: [pendingCall('c')] } })).toBe(
        'cancelled',
      )
      expect(await scene.load(run)).toEqual({ ...run, cancel })
      expect(await scene.log(run)).toHaveLength(1)
      expect(await scene.finish(run, 'cancelled')).toBe('ok')
      expect(await scene.load(run)).toMatchObject({ status: 'cancelled', cancel })
      expect(await scene.finish(run, 'cancelled')).toBe('fenced')
    })

    it('changes nothing where the run has ended', async (scene) => {
      for (const status of ['completed', 'failed', 'cancelled'] as const) {
        const run = await scene.run()
        await scene.finish(run, status)
        const ended = await scene.load(run)
        expect(await scene.cancel(run)).toEqual({ outcome: 'ended', run: ended })
        expect(await scene.load(run)).toEqual(ended)
      }
    })

    it('and a finish at the same time: one of them wins, never both', async (scene) => {
      for (const cancelFirst of [true, false]) {
        const run = await scene.run()
        const calls = [() => scene.cancel(run), () => scene.finish(run)]
        if (!cancelFirst) calls.reverse()
        const results = await Promise.all(calls.map((call) => call()))
        const expected = cancelFirst ? [{ outcome: 'signalled' }, 'cancelled'] : ['ok', { outcome: 'ended' }]
        expect(results).toMatchObject(expected)
      }
    })

    it('a rescued run keeps its cancel', async (scene) => {
      const run = await scene.run()
      await scene.cancel(run)
      await scene.takeOver()
      const { run: rescued } = (await scene.claim())!
      expect(rescued.cancel).toMatchObject({ reason: 'enough' })
      expect(await scene.finish(rescued)).toBe('cancelled')
      expect(await scene.finish(rescued, 'cancelled')).toBe('ok')
    })
  })
}
