import { describe, expect } from 'vitest'
import type { OpenStore, StoreScene } from './store-scene.ts'
import { attemptGap, pendingCall, sceneTest, session, toolResult } from './store-scene.ts'

export function describeApprovals(open: OpenStore): void {
  describeDecisions(open)
  describeExpiry(open)
  describeToolResults(open)
}

function decide(
  scene: StoreScene,
  approval_id: string,
  input: { decision?: 'approve' | 'reject'; reason?: string; arguments?: unknown } = {},
) {
  const { scope, now, store } = scene
  return store.approvals.decide({ scope, approval_id, decision: 'approve', by: 'alice', now, ...input })
}

function describeDecisions(open: OpenStore): void {
  const it = sceneTest(open)

  describe('approvals.decide', () => {
    it('resolves under an attempt of its own and queues the run when nothing more is awaited', async (scene) => {
      const run = await scene.run({ conversation: session('a') })
      await scene.queue({ conversation: session('a') })
      const [id] = await scene.suspend(run, { approvals: [{}] })
      const suspended = await scene.load(run)
      scene.now += 9
      const result = await decide(scene, id!, { reason: 'fine', arguments: { to: 'carol' } })
      const event = {
        seq: suspended.next_seq,
        type: 'approval.resolve',
        approval_id: id,
        call_id: 'call_0',
        decision: 'approve',
        by: 'alice',
        reason: 'fine',
        arguments: { to: 'carol' },
      }
      expect(result).toEqual({
        outcome: 'ok',
        approval: {
          ...(await scene.store.approvals.find(scene.scope, id!)),
          status: 'approved',
          decision: { by: 'alice', reason: 'fine', arguments: { to: 'carol' } },
          decided_at: scene.now,
        },
        run: {
          ...suspended,
          status: 'queued',
          attempt: 2,
          last_seq: suspended.next_seq,
          next_seq: suspended.next_seq + attemptGap,
        },
        events: [event],
      })
      expect((await scene.log(run)).at(-1)).toEqual(event)
      const again = (await scene.claim())!
      expect(again).toMatchObject({ rescued: false, run: { id: run.id, attempt: 3, crash_count: 0 } })
      expect(again.start.seq).toBe(suspended.next_seq + attemptGap)
      expect(await scene.claim()).toBeNull()
    })

    it('keeps a rejection with its reason', async (scene) => {
      const run = await scene.run()
      const [id] = await scene.suspend(run, { approvals: [{}] })
      const result = await decide(scene, id!, { decision: 'reject', reason: 'too dear' })
      expect(result).toMatchObject({
        approval: { status: 'rejected', decision: { by: 'alice', reason: 'too dear' } },
        events: [{ decision: 'reject', reason: 'too dear' }],
      })
    })

    it('decides once: the second decision learns of the first', async (scene) => {
      const run = await scene.run()
      const [id] = await scene.suspend(run, { approvals: [{}, {}] })
      const results = await Promise.all([decide(scene, id!), decide(scene, id!, { decision: 'reject' })])
      expect(results[0].outcome).toBe('ok')
      const approval = await scene.store.approvals.find(scene.scope, id!)
      expect(approval?.status).toBe('approved')
      expect(results[1]).toEqual({ outcome: 'decided_before', approval })
      expect(await scene.log(run)).toHaveLength(3)
    })

    it('the run stays suspended while another approval or a call of the caller is awaited', async (scene) => {
      const run = await scene.run()
      const ids = await scene.suspend(run, { approvals: [{}, {}], calls: [pendingCall('call_9')] })
      expect(await decide(scene, ids[0]!)).toMatchObject({ run: { status: 'suspended', attempt: 2 } })
      expect(await decide(scene, ids[1]!)).toMatchObject({ run: { status: 'suspended', attempt: 3 } })
      expect(await scene.claim()).toBeNull()
      const { scope, now } = scene
      const results = [{ item: toolResult('call_9') }]
      const added = await scene.store.runs.addToolResults({ scope, run_id: run.id, results, now })
      expect(added).toMatchObject({ outcome: 'ok', run: { status: 'queued', attempt: 4 } })
      expect((await scene.claim())?.run.attempt).toBe(5)
    })

    it('an approval of another owner or namespace is not found', async (scene) => {
      const run = await scene.run()
      const [id] = await scene.suspend(run, { approvals: [{}] })
      const { store, now } = scene
      const notFound = { outcome: 'not_found' }
      for (const scope of [
        { owner: 'bob', namespace: 'shop' },
        { owner: 'alice', namespace: '' },
      ]) {
        const input = { scope, approval_id: id!, decision: 'approve', by: 'bob', now } as const
        expect(await store.approvals.decide(input)).toEqual(notFound)
        expect(await store.approvals.find(scope, id!)).toBeUndefined()
        expect((await store.approvals.list(scope, { limit: 10 })).data).toEqual([])
        expect((await store.approvals.list(scope, { limit: 10, run_id: run.id })).data).toEqual([])
      }
      expect(await decide(scene, 'appr_\u0000')).toEqual(notFound)
      expect((await scene.load(run)).status).toBe('suspended')
    })

    it('lists newest first, by status and run, in pages', async (scene) => {
      const ids: string[] = []
      const runs = []
      for (let i = 0; i < 2; i += 1) {
        const run = await scene.run()
        ids.push(...(await scene.suspend(run, { approvals: [{}, {}] })))
        runs.push(run)
      }
      await decide(scene, ids[1]!)
      const { store, scope } = scene
      const listed = async (input: Parameters<typeof store.approvals.list>[1]) => {
        const { data, has_more } = await store.approvals.list(scope, input)
        return [data.map(({ id }) => ids.indexOf(id)), has_more]
      }
      expect(await listed({ limit: 4 })).toEqual([[3, 2, 1, 0], false])
      expect(await listed({ limit: 3 })).toEqual([[3, 2, 1], true])
      expect(await listed({ limit: 3, after: ids[1]! })).toEqual([[0], false])
      expect(await listed({ limit: 9, status: 'pending' })).toEqual([[3, 2, 0], false])
      expect(await listed({ limit: 9, status: 'approved' })).toEqual([[1], false])
      expect(await listed({ limit: 9, run_id: runs[0]!.id, status: 'pending' })).toEqual([[0], false])
      expect((await store.approvals.ofRun(runs[1]!.id)).map(({ id }) => id)).toEqual(ids.slice(2))
    })
  })
}

function describeExpiry(open: OpenStore): void {
  const it = sceneTest(open)

  describe('approvals.expire', () => {
    it('resolves what is due as expired, and nothing else', async (scene) => {
      const due = scene.now + 100
      const run = await scene.run()
      const ids = await scene.suspend(run, {
        approvals: [{ expires_at_ms: due }, { expires_at_ms: due + 1 }, { expires_at_ms: null }],
      })
      const expire = () => scene.store.approvals.expire({ now: scene.now, limit: 10 })
      scene.now = due - 1
      expect(await expire()).toEqual([])
      scene.now = due
      expect(await expire()).toMatchObject([{ id: run.id, status: 'suspended', attempt: 2 }])
      expect(await expire()).toEqual([])
      expect((await scene.log(run)).at(-1)).toMatchObject({
        type: 'approval.resolve',
        approval_id: ids[0],
        decision: 'expire',
      })
      const statuses = (await scene.store.approvals.ofRun(run.id)).map(({ status }) => status)
      expect(statuses).toEqual(['expired', 'pending', 'pending'])
      expect(await decide(scene, ids[0]!)).toMatchObject({ outcome: 'decided_before' })
      await decide(scene, ids[2]!)
      scene.now = due + 1
      expect(await expire()).toMatchObject([{ id: run.id, status: 'queued' }])
      expect((await scene.claim())?.run.id).toBe(run.id)
    })

    it('takes at most limit at a time', async (scene) => {
      for (let i = 0; i < 3; i += 1) {
        await scene.suspend(await scene.run(), { approvals: [{ expires_at_ms: scene.now }] })
      }
      const expire = async () => (await scene.store.approvals.expire({ now: scene.now, limit: 2 })).length
      expect([await expire(), await expire(), await expire()]).toEqual([2, 1, 0])
    })

    it('gives a run once, as it is in the end', async (scene) => {
      const run = await scene.run()
      await scene.suspend(run, { approvals: [{ expires_at_ms: 1 }, { expires_at_ms: 2 }] })
      const changed = await scene.store.approvals.expire({ now: scene.now, limit: 10 })
      expect(changed).toEqual([await scene.load(run)])
      expect(changed[0]).toMatchObject({ status: 'queued', attempt: 3 })
    })
  })
}

function describeToolResults(open: OpenStore): void {
  const it = sceneTest(open)

  describe('runs.addToolResults', () => {
    const add = (
      scene: StoreScene,
      run_id: string,
      items: ReturnType<typeof toolResult>[],
      scope = scene.scope,
    ) =>
      scene.store.runs.addToolResults({
        scope,
        run_id,
        results: items.map((item) => ({ item })),
        now: scene.now,
      })

    it('writes items and events, and queues the run when all are there', async (scene) => {
      const run = await scene.run({ conversation: session('a') })
      await scene.commit(run, { steps: 2 })
      const calls = [pendingCall('call_1'), pendingCall('call_2'), pendingCall('call_3')]
      await scene.suspend(await scene.load(run), { calls })
      const suspended = await scene.load(run)
      const error = { code: 'tool_failed', message: 'It broke.' }
      const first = [toolResult('call_3'), { ...toolResult('call_1'), error }]
      const partly = await add(scene, run.id, first)
      const events = [
        {
          seq: suspended.next_seq,
          type: 'tool.end',
          call_id: 'call_3',
          item_id: first[0]!.id,
          duration_ms: 0,
        },
        {
          seq: suspended.next_seq + 1,
          type: 'tool.end',
          call_id: 'call_1',
          item_id: first[1]!.id,
          error,
          duration_ms: 0,
        },
      ]
      expect(partly).toEqual({
        outcome: 'ok',
        run: {
          ...suspended,
          attempt: 2,
          last_seq: suspended.next_seq + 1,
          next_seq: suspended.next_seq + 1 + attemptGap,
          pending_calls: [calls[1]],
        },
        events,
      })
      expect((await scene.log(run)).slice(-2)).toEqual(events)
      const last = toolResult('call_2')
      expect(await add(scene, run.id, [last])).toMatchObject({ run: { status: 'queued', pending_calls: [] } })
      expect((await scene.store.items.ofRun(run.id)).slice(1)).toEqual(
        [...first, last].map((item, i) => ({
          run_id: run.id,
          position: 1 + i,
          step: 1,
          void: false,
          parent_call_id: null,
          item,
        })),
      )
      expect((await scene.claim())?.run.id).toBe(run.id)
    })

    it('a call that is not awaited leaves everything as it was', async (scene) => {
      const run = await scene.run()
      await scene.suspend(run, { calls: [pendingCall('call_1'), pendingCall('call_2')] })
      const before = await scene.load(run)
      for (const call_id of ['call_9', 'call_1']) {
        const items = [toolResult('call_1'), toolResult(call_id)]
        expect(await add(scene, run.id, items)).toEqual({ outcome: 'unknown_call', call_id })
      }
      expect(await scene.load(run)).toEqual(before)
      expect(await scene.store.items.ofRun(run.id)).toHaveLength(1)
      await add(scene, run.id, [toolResult('call_1')])
      expect(await add(scene, run.id, [toolResult('call_1')])).toMatchObject({ outcome: 'unknown_call' })
    })

    it('finds runs whose calls are due, the longest due first, until nothing of them is awaited', async (scene) => {
      const due = scene.now + 100
      const overdue = async (limit = 9) =>
        (await scene.store.runs.overdue({ now: scene.now, limit })).map(({ id }) => id)
      const waiting = async (calls_expire_at: number | null, approvals: object[] = []) => {
        const run = await scene.run()
        const calls = [pendingCall('call_1'), pendingCall('call_2')]
        await scene.suspend(run, { approvals, calls, calls_expire_at })
        return run
      }
      const later = await waiting(due + 1)
      const both = await waiting(due, [{}])
      await waiting(null)
      const cancelled = await waiting(due)
      // One that awaits people only has nothing that is due.
      await scene.suspend(await scene.run(), { approvals: [{}], calls_expire_at: due })
      scene.now = due - 1
      expect(await overdue()).toEqual([])
      scene.now = due + 1
      expect(await overdue()).toEqual([both.id, cancelled.id, later.id])
      expect(await overdue(1)).toEqual([both.id])
      expect(await scene.store.runs.overdue({ now: scene.now, limit: 1 })).toEqual([await scene.load(both)])
      await scene.cancel(cancelled)
      await add(scene, both.id, [toolResult('call_1')])
      expect(await overdue()).toEqual([both.id, later.id])
      expect(await add(scene, both.id, [toolResult('call_2')])).toMatchObject({
        run: { status: 'suspended' },
      })
      await add(scene, later.id, [toolResult('call_1'), toolResult('call_2')])
      expect(await overdue()).toEqual([])
    })

    it('a run that is not suspended says so', async (scene) => {
      const run = await scene.run()
      const result = await add(scene, run.id, [toolResult('call_1')])
      expect(result).toEqual({ outcome: 'not_suspended', run })
    })

    it('a run of another owner or namespace is not found', async (scene) => {
      const run = await scene.run()
      await scene.suspend(run, { calls: [pendingCall('call_1')] })
      for (const scope of [
        { owner: 'bob', namespace: 'shop' },
        { owner: 'alice', namespace: '' },
      ]) {
        expect(await add(scene, run.id, [toolResult('call_1')], scope)).toEqual({ outcome: 'not_found' })
      }
      expect(await add(scene, 'run_nope', [])).toEqual({ outcome: 'not_found' })
      expect((await scene.load(run)).pending_calls).toHaveLength(1)
    })
  })
}
