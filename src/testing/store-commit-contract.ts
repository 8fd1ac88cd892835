import { describe, expect } from 'vitest'
import { AppError } from '../errors.ts'
import type { Commit } from '../store/store.ts'
import type { OpenStore } from './store-scene.ts'
import {
  assistantMessage,
  attemptGap,
  placed,
  sceneTest,
  session,
  toolResult,
  warning,
} from './store-scene.ts'

export function describeCommit(open: OpenStore): void {
  const it = sceneTest(open)

  describe('runs.commit', () => {
    it('moves the run forward: events, items, totals, plan and agent', async (scene) => {
      const run = await scene.run()
      const items = placed(1, [assistantMessage('one'), toolResult('call_1')])
      items[0]!.void = true
      const usage = { input_tokens: 3, output_tokens: 4, total_tokens: 7, reasoning_tokens: 1 }
      const spent = { cost: 0.25, tool_calls: 2, worked_ms: 7 }
      const events = [warning(2), warning(5), warning(9)]
      expect(
        await scene.commit(run, { events, items, usage, steps: 1, plan: 'first', agent: 'expert', spent }),
      ).toBe('ok')
      const after = await scene.load(run)
      expect(after).toEqual({
        ...run,
        last_seq: 9,
        next_seq: 9 + attemptGap,
        usage,
        steps: 1,
        plan: 'first',
        active_agent: 'expert',
        spent,
      })
      expect((await scene.log(run)).slice(1)).toEqual(events)
      expect((await scene.store.items.ofRun(run.id)).slice(1)).toEqual(
        items.map((item) => ({ run_id: run.id, ...item })),
      )
      await scene.commit(after)
      expect(await scene.load(run)).toEqual({ ...after, last_seq: 10, next_seq: 10 + attemptGap })
    })

    it('may have no events', async (scene) => {
      const run = await scene.run()
      expect(await scene.commit(run, { events: [], steps: 3 })).toBe('ok')
      expect(await scene.load(run)).toEqual({ ...run, steps: 3 })
    })

    it('takes effect only under the attempt and the epoch that hold the run', async (scene) => {
      const run = await scene.run()
      expect(await scene.commit({ ...run, attempt: 2 })).toBe('fenced')
      expect(await scene.commit({ ...run, epoch: scene.epoch + 1 })).toBe('fenced')
      expect(await scene.commit({ ...run, id: 'run_nope' })).toBe('fenced')
      await scene.takeOver()
      expect(await scene.commit(run)).toBe('fenced')
      const { run: rescued } = (await scene.claim())!
      expect(await scene.commit(run, { items: placed(1, [assistantMessage('late')]) })).toBe('fenced')
      expect(await scene.commit({ ...run, epoch: scene.epoch })).toBe('fenced')
      expect(await scene.load(run)).toEqual(rescued)
      expect(await scene.store.items.ofRun(run.id)).toHaveLength(1)
      expect(await scene.log(run)).toHaveLength(2)
      expect(await scene.commit(rescued)).toBe('ok')
    })

    it('is fenced where the run is not running', async (scene) => {
      const queued = await scene.queue()
      expect(await scene.commit({ ...queued, epoch: scene.epoch })).toBe('fenced')
      const { run } = (await scene.claim())!
      await scene.suspend(run, { approvals: [{}] })
      expect(await scene.commit(run)).toBe('fenced')
      const other = await scene.run()
      await scene.finish(other)
      expect(await scene.commit(other)).toBe('fenced')
      expect(await scene.finish(other, 'failed')).toBe('fenced')
      expect((await scene.load(other)).status).toBe('completed')
    })

    it('is fenced after the lease was given up', async (scene) => {
      const run = await scene.run()
      await scene.store.nodes.leave({ epoch: scene.epoch, now: scene.now })
      expect(await scene.commit(run)).toBe('fenced')
    })

    it('is all or nothing, and one that fails fails alone', async (scene) => {
      const run = await scene.run()
      const other = await scene.run()
      const taken: Partial<Commit> = {
        items: placed(0, [assistantMessage('over the input')]),
        claims: [{ step: 0, index: 0, call_id: 'c', effect: 'write', approval_id: null }],
        steps: 9,
      }
      const [bad, good] = await Promise.allSettled([scene.commit(run, taken), scene.commit(other)])
      expect(bad).toMatchObject({ status: 'rejected' })
      expect(AppError.is((bad as PromiseRejectedResult).reason)).toBe(true)
      expect(good).toEqual({ status: 'fulfilled', value: 'ok' })
      expect(await scene.load(run)).toEqual(run)
      expect(await scene.log(run)).toHaveLength(1)
      expect(await scene.store.ledger.ofRun(run.id)).toEqual([])
      expect(await scene.commit(run)).toBe('ok')
    })

    it('refuses events that are not above the last committed one', async (scene) => {
      const run = await scene.run()
      await expect(scene.commit(run, { events: [warning(1)] })).rejects.toMatchObject({ code: 'internal' })
      expect(await scene.load(run)).toEqual(run)
    })

    it('a terminal end says how it ended and frees the conversation', async (scene) => {
      const run = await scene.run({ conversation: session('a') })
      const next = await scene.queue({ conversation: session('a') })
      scene.now += 10
      const error = { code: 'model_timeout', message: 'Silence.' }
      const end = { status: 'failed', stop_reason: 'error', error, output: ['item_1'], forced: true } as const
      expect(await scene.commit(run, { end: { ...end, output: ['item_1'] } })).toBe('ok')
      expect(await scene.load(run)).toMatchObject({ ...end, epoch: null, ended_at: scene.now, cancel: null })
      expect((await scene.claim())?.run).toMatchObject({ id: next.id, parent_run_id: run.id })
    })

    it('a suspension keeps the conversation and what is awaited', async (scene) => {
      const run = await scene.run({ conversation: session('a') })
      const call = { call_id: 'call_9', name: 'ask', arguments: { deep: [1, null] } }
      const ids = await scene.suspend(run, { approvals: [{ expires_at_ms: 5 }, {}], calls: [call] })
      expect(await scene.load(run)).toMatchObject({
        status: 'suspended',
        epoch: null,
        pending_calls: [call],
        ended_at: null,
      })
      const approvals = await scene.store.approvals.ofRun(run.id)
      expect(approvals.map(({ id }) => id)).toEqual(ids)
      expect(approvals[0]).toEqual({
        id: ids[0],
        owner: 'alice',
        namespace: 'shop',
        run_id: run.id,
        call_id: 'call_0',
        tool: 'send_email',
        arguments: { to: 'bob' },
        reason: 'policy',
        status: 'pending',
        question: null,
        decision: null,
        created_at: scene.now,
        expires_at: 5,
        decided_at: null,
      })
      const found = await scene.store.conversations.find(scene.scope, { key: 'a', now: scene.now })
      expect(found?.holder_run_id).toBe(run.id)
    })

    it('a run that is given back keeps its conversation and is claimed again', async (scene) => {
      const before = await scene.run({ conversation: session('a') })
      await scene.finish(before)
      const run = await scene.run({ conversation: session('a') })
      const waiting = await scene.queue({ conversation: session('a') })
      expect(await scene.commit(run, { end: { status: 'queued' } })).toBe('ok')
      expect(await scene.load(run)).toMatchObject({ status: 'queued', epoch: null })
      const again = (await scene.claim())!
      expect(again).toMatchObject({ rescued: false, run: { id: run.id, attempt: 2, crash_count: 0 } })
      expect(again.run.parent_run_id).toBe(before.id)
      expect(again.start.seq).toBe(2 + attemptGap)
      expect(await scene.claim()).toBeNull()
      await scene.finish(again.run)
      expect((await scene.claim())?.run.id).toBe(waiting.id)
    })
  })

  describe('the ledger', () => {
    const claim = { call_id: 'call_1', effect: 'write' as const, approval_id: null }

    it('keeps claims by call id, and what became of them', async (scene) => {
      let run = await scene.run()
      const claims = [
        { ...claim, call_id: 'call_1', step: 0, index: 1, approval_id: 'appr_1' },
        { ...claim, call_id: 'call_0', step: 0, index: 0, effect: 'read' as const },
        // Of an agent that serves as a tool: its steps count from 0 as well.
        { ...claim, call_id: 'call_x', step: 0, index: 2 },
      ]
      await scene.commit(run, { claims })
      run = await scene.load(run)
      await scene.commit(run, {
        settled: [
          { call_id: 'call_0', state: 'committed' },
          { call_id: 'call_x', state: 'unknown' },
        ],
      })
      expect(await scene.store.ledger.ofRun(run.id)).toEqual([
        { ...claims[1], state: 'committed' },
        { ...claims[0], state: 'claimed' },
        { ...claims[2], state: 'unknown' },
      ])
    })

    it('forgets a claim that was not used, also beside the end of the attempt', async (scene) => {
      let run = await scene.run()
      const claims = ['call_0', 'call_1', 'call_2'].map((call_id, index) => ({
        ...claim,
        call_id,
        step: 0,
        index,
      }))
      await scene.commit(run, { claims })
      await scene.commit(await scene.load(run), { settled: [{ call_id: 'call_1', state: 'unused' }] })
      expect(await scene.store.ledger.ofRun(run.id)).toMatchObject([
        { call_id: 'call_0' },
        { call_id: 'call_2' },
      ])
      const settled = [{ call_id: 'call_2', state: 'unused' as const }]
      await scene.commit(await scene.load(run), { settled, end: { status: 'queued' } })
      run = (await scene.claim())!.run
      expect(await scene.store.ledger.ofRun(run.id)).toMatchObject([{ call_id: 'call_0', state: 'claimed' }])
      // It may be claimed anew.
      await scene.commit(run, { claims: claims.slice(1, 2) })
      expect(await scene.store.ledger.ofRun(run.id)).toEqual([
        { ...claims[0], state: 'claimed' },
        { ...claims[1], state: 'claimed' },
      ])
    })

    it('a claim that exists is claimed again under the new approval', async (scene) => {
      const run = await scene.run()
      await scene.commit(run, { claims: [{ ...claim, step: 0, index: 0 }] })
      await scene.commit(await scene.load(run), { settled: [{ call_id: 'call_1', state: 'unknown' }] })
      await scene.commit(await scene.load(run), {
        claims: [{ ...claim, step: 0, index: 0, approval_id: 'appr_2' }],
      })
      expect(await scene.store.ledger.ofRun(run.id)).toEqual([
        { ...claim, step: 0, index: 0, approval_id: 'appr_2', state: 'claimed' },
      ])
    })
  })
}
