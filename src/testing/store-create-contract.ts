import { describe, expect } from 'vitest'
import { toIsoDate } from '../clock.ts'
import { createId } from '../ids.ts'
import { noUsage } from '../run-state.ts'
import type { CreateRunResult } from '../store/store.ts'
import type { OpenStore, StoreScene } from './store-scene.ts'
import { assistantMessage, attemptGap, sceneTest, session, userMessage } from './store-scene.ts'

type Created = Extract<CreateRunResult, { outcome: 'created' }>

export function describeCreate(open: OpenStore): void {
  const it = sceneTest(open)

  describe('runs.create', () => {
    it('gives a queued run and keeps its input in order', async (scene) => {
      const input = [userMessage('one'), assistantMessage('two'), userMessage('three')]
      const options = { temperature: 0.5, metadata: { a: 'b' } }
      const run = await scene.queue({ input, options })
      expect(run).toEqual({
        id: run.id,
        owner: 'alice',
        namespace: 'shop',
        agent: 'assistant',
        active_agent: null,
        status: 'queued',
        conversation_id: null,
        parent_run_id: null,
        options,
        background: false,
        on_disconnect: 'cancel',
        attempt: 0,
        epoch: null,
        last_seq: 0,
        next_seq: 1,
        crash_count: 0,
        cancel: null,
        stop_reason: null,
        forced: false,
        error: null,
        warnings: [],
        usage: noUsage,
        spent: null,
        steps: 0,
        output: [],
        output_parsed: null,
        plan: null,
        pending_calls: [],
        created_at: scene.now,
        started_at: null,
        ended_at: null,
      })
      expect(await scene.load(run)).toEqual(run)
      expect(await scene.store.items.ofRun(run.id)).toEqual(
        input.map((item, position) => ({
          run_id: run.id,
          position,
          step: null,
          void: false,
          parent_call_id: null,
          item,
        })),
      )
      expect(await scene.log(run)).toEqual([])
    })

    it('claims in the same transaction and commits run.start as event 1', async (scene) => {
      const { epoch, definitions, now } = scene
      const result = await scene.create({ conversation: session('s'), claim: { epoch, definitions } })
      if (result.outcome !== 'created') throw new Error(result.outcome)
      const { run, start } = result
      expect(run).toMatchObject({
        status: 'running',
        attempt: 1,
        epoch,
        last_seq: 1,
        next_seq: 1 + attemptGap,
      })
      expect(run.started_at).toBe(now)
      expect(start).toEqual({
        seq: 1,
        type: 'run.start',
        run_id: run.id,
        agent: 'assistant',
        definition: 'abc',
        model: 'scripted/one',
        conversation_id: run.conversation_id,
        attempt: 1,
        at: toIsoDate(now),
      })
      expect(await scene.load(run)).toEqual(run)
      expect(await scene.log(run)).toEqual([start])
      expect(await scene.claim()).toBeNull()
    })

    it('run.start names the model that the request chose, and null for an agent that is not served', async (scene) => {
      const { epoch, definitions } = scene
      const claim = { epoch, definitions }
      const chosen = await scene.create({ claim, options: { model: 'openai/mine' } })
      expect(chosen).toMatchObject({ start: { definition: 'abc', model: 'openai/mine' } })
      const gone = await scene.create({ claim, agent: 'toString' })
      expect(gone).toMatchObject({ start: { definition: null, model: null } })
    })

    it('does not claim under an epoch that is not live', async (scene) => {
      const { epoch, definitions } = scene
      await scene.takeOver()
      const result = await scene.create({ claim: { epoch, definitions } })
      expect(result).toMatchObject({ outcome: 'created', start: null, run: { status: 'queued' } })
      expect((await scene.claim())?.rescued).toBe(false)
    })

    it('a session is found by its key and by its id, and made once', async (scene) => {
      const wanted = session('chat')
      const first = await scene.queue({ conversation: wanted })
      const second = await scene.queue({ conversation: session('chat') })
      const third = await scene.queue({ conversation: session(wanted.new_id) })
      const fourth = await scene.queue({ conversation: { id: wanted.new_id } })
      for (const run of [first, second, third, fourth]) expect(run.conversation_id).toBe(wanted.new_id)
      expect(await scene.store.conversations.count(scene.now)).toBe(1)
      const new_id = createId('conv')
      const apart = await scene.queue({ conversation: { new_id, ttl_ms: null } })
      expect(apart.conversation_id).toBe(new_id)
    })

    it('a key belongs to its owner and namespace', async (scene) => {
      const scopes = [scene.scope, { owner: 'bob', namespace: 'shop' }, { owner: 'alice', namespace: '' }]
      const ids = new Set<string | null>()
      for (const scope of scopes)
        ids.add((await scene.queue({ scope, conversation: session('k') })).conversation_id)
      expect(ids.size).toBe(3)
    })

    it('a conversation of another owner or namespace is not found', async (scene) => {
      const { conversation_id } = await scene.queue({ conversation: session('k') })
      const named = { conversation: { id: conversation_id! } }
      for (const scope of [
        { owner: 'bob', namespace: 'shop' },
        { owner: 'alice', namespace: '' },
      ]) {
        expect(await scene.create({ ...named, scope })).toEqual({
          outcome: 'conflict',
          code: 'conversation_not_found',
        })
        // As a key it is free: it says nothing of who else uses it.
        const own = await scene.queue({ scope, conversation: session(conversation_id!) })
        expect(own.conversation_id).not.toBe(conversation_id)
      }
      const unknown = await scene.create({ conversation: { id: "conv_'; DROP TABLE runs; --\u0000\ud800" } })
      expect(unknown).toMatchObject({ code: 'conversation_not_found' })
    })

    it('an expired session counts as none: it loses its name and keeps its rows', async (scene) => {
      const old = await scene.run({ conversation: session('k', 1000) })
      await scene.finish(old)
      scene.now += 1000
      expect(await scene.create({ conversation: { id: old.conversation_id! } })).toMatchObject({
        code: 'conversation_not_found',
      })
      const fresh = await scene.run({ conversation: session('k', 1000) })
      expect(fresh.conversation_id).not.toBe(old.conversation_id)
      expect(fresh.parent_run_id).toBeNull()
      expect((await scene.load(old)).status).toBe('completed')
      const found = await scene.store.conversations.find(scene.scope, { key: 'k', now: scene.now })
      expect(found?.id).toBe(fresh.conversation_id)
    })

    it('a session does not expire while a run on it is open, and its time starts again at its end', async (scene) => {
      const run = await scene.run({ conversation: session('k', 1000) })
      scene.now += 5000
      const waiting = await scene.queue({ conversation: session('k', 1000) })
      expect(waiting.conversation_id).toBe(run.conversation_id)
      scene.now += 5000
      await scene.finish(run)
      await scene.cancel(waiting)
      scene.now += 999
      const next = await scene.queue({ conversation: session('k', 1000) })
      expect(next.conversation_id).toBe(run.conversation_id)
    })

    it('a parent must be in the scope, and in the conversation where one is named', async (scene) => {
      const here = await scene.run({ conversation: session('here') })
      const there = await scene.run({ conversation: session('there') })
      const notFound = { outcome: 'conflict', code: 'run_not_found' }
      const parent_run_id = here.id
      expect(await scene.create({ parent_run_id, scope: { owner: 'bob', namespace: 'shop' } })).toEqual(
        notFound,
      )
      expect(await scene.create({ parent_run_id, scope: { owner: 'alice', namespace: '' } })).toEqual(
        notFound,
      )
      expect(await scene.create({ parent_run_id: 'run_nope' })).toEqual(notFound)
      const elsewhere = { id: there.conversation_id! }
      expect(await scene.create({ parent_run_id, conversation: elsewhere })).toEqual(notFound)
      expect(await scene.create({ parent_run_id, conversation: session('new') })).toEqual(notFound)
      expect(await scene.store.conversations.count(scene.now)).toBe(2)
      expect(await scene.run({ parent_run_id })).toMatchObject({ parent_run_id, conversation_id: null })
      const forked = await scene.run({
        parent_run_id,
        conversation: { new_id: createId('conv'), ttl_ms: null },
      })
      expect(forked.parent_run_id).toBe(parent_run_id)
      await scene.finish(here)
      const branch = await scene.run({ parent_run_id, conversation: session('here') })
      expect(branch).toMatchObject({ parent_run_id, conversation_id: here.conversation_id })
    })
  })

  describeConflicts(open)
  describeInterrupt(open)
  describeIdempotency(open)
}

function describeConflicts(open: OpenStore): void {
  const it = sceneTest(open)

  describe('runs.create on a conversation that is not free', () => {
    it('waits, or gives the conflict back with its holder', async (scene) => {
      const holder = await scene.run({ conversation: session('k') })
      const { epoch, definitions } = scene
      const refused = await scene.create({ conversation: session('k'), on_conflict: 'reject' })
      expect(refused).toEqual({ outcome: 'conflict', code: 'conversation_busy', holder_run_id: holder.id })
      const waiting = await scene.create({ conversation: session('k'), claim: { epoch, definitions } })
      expect(waiting).toMatchObject({ outcome: 'created', start: null, run: { status: 'queued' } })
      expect(await scene.claim()).toBeNull()
    })

    it('a run that waits first makes it busy, too', async (scene) => {
      const first = await scene.queue({ conversation: session('k') })
      const { epoch, definitions } = scene
      const refused = await scene.create({ conversation: session('k'), on_conflict: 'reject' })
      expect(refused).toEqual({ outcome: 'conflict', code: 'conversation_busy', holder_run_id: first.id })
      const second = await scene.create({ conversation: session('k'), claim: { epoch, definitions } })
      expect(second).toMatchObject({ start: null })
      expect((await scene.claim())?.run.id).toBe(first.id)
    })

    it('waits for a suspended holder only where that is wanted', async (scene) => {
      const holder = await scene.run({ conversation: session('k') })
      await scene.suspend(holder, { approvals: [{}] })
      for (const on_conflict of ['queue', 'reject'] as const) {
        const input = { conversation: session('k'), wait_for_suspended: false, on_conflict }
        expect(await scene.create(input)).toEqual({
          outcome: 'conflict',
          code: 'conversation_suspended',
          holder_run_id: holder.id,
        })
      }
      await scene.queue({ conversation: session('k'), wait_for_suspended: true })
      expect(await scene.claim()).toBeNull()
    })

    it('takes at most max_waiting', async (scene) => {
      const input = { conversation: session('k'), max_waiting: 2 }
      const holder = await scene.run(input)
      await scene.queue(input)
      await scene.queue(input)
      expect(await scene.create(input)).toEqual({ outcome: 'conflict', code: 'queue_full' })
      await scene.finish(holder)
      await scene.claim()
      await scene.queue(input)
      expect(await scene.create(input)).toMatchObject({ code: 'queue_full' })
      await scene.run({ max_waiting: 0, conversation: session('free') })
    })

    it('a conflict writes nothing', async (scene) => {
      await scene.run({ conversation: session('k') })
      const { data } = await scene.store.runs.list(scene.scope, { limit: 100 })
      const idempotency = { route: 'r', key: 'i', fingerprint: 'f', expires_at: scene.now + 1000 }
      const refused = await scene.create({ conversation: session('k'), on_conflict: 'reject', idempotency })
      expect(refused.outcome).toBe('conflict')
      expect((await scene.store.runs.list(scene.scope, { limit: 100 })).data).toEqual(data)
      expect((await scene.create({ idempotency })).outcome).toBe('created')
    })

    it('of many that come at once for one session, never two run, and all run in their order', async (scene) => {
      const { store, epoch, definitions } = scene
      const claim = { epoch, definitions }
      const created = await Promise.all(
        Array.from({ length: 30 }, () => scene.create({ conversation: session('k'), claim })),
      )
      const runs = created.map((result) => (result as Created).run)
      expect(new Set(runs.map((run) => run.conversation_id)).size).toBe(1)
      expect(runs.map((run) => run.status)).toEqual(['running', ...Array<string>(29).fill('queued')])
      const order: string[] = []
      for (let running = runs[0]; running;) {
        order.push(running.id)
        const ended = scene.finish(running)
        const claims = await Promise.all([scene.claim(), scene.claim(), scene.claim()])
        expect(await ended).toBe('ok')
        const claimed = [...claims, await scene.claim()].flatMap((one) => (one ? [one.run] : []))
        expect(claimed.length).toBe(order.length < 30 ? 1 : 0)
        const open = await store.runs.list(scene.scope, { limit: 100, status: 'running' })
        expect(open.data.map((run) => run.id)).toEqual(claimed.map((run) => run.id))
        running = claimed[0]
      }
      expect(order).toEqual(runs.map((run) => run.id))
    })
  })
}

function describeInterrupt(open: OpenStore): void {
  const it = sceneTest(open)
  const interrupt = { actor: 'alice', reason: 'newer' }
  const newer = { conversation: session('k'), on_conflict: { interrupt } }
  const written = (scene: StoreScene) => ({ cancel: { at: scene.now, ...interrupt } })

  describe('runs.create that interrupts', () => {
    it('ends a suspended holder and all that wait, and is claimed at once', async (scene) => {
      const conversation = session('k')
      const holder = await scene.run({ conversation })
      const [approval] = await scene.suspend(holder, { approvals: [{}] })
      const waiting = [await scene.queue({ conversation }), await scene.queue({ conversation })]
      const elsewhere = await scene.queue({ conversation: session('other') })
      const { epoch, definitions } = scene
      const created = await scene.create({ ...newer, max_waiting: 0, claim: { epoch, definitions } })
      const run = { status: 'running', parent_run_id: holder.id }
      expect(created).toMatchObject({ outcome: 'created', start: { type: 'run.start' }, run })
      const { interrupted } = created as Created
      const ids = (runs: { id: string }[]) => runs.map(({ id }) => id).toSorted()
      expect(ids(interrupted)).toEqual(ids([holder, ...waiting]))
      for (const one of interrupted) {
        expect(one).toMatchObject({ status: 'cancelled', ...written(scene) })
        expect(await scene.load(one)).toEqual(one)
        expect((await scene.log(one)).at(-1)).toMatchObject({ type: 'run.end', seq: one.last_seq })
      }
      expect(await scene.store.approvals.find(scene.scope, approval!)).toMatchObject({ status: 'cancelled' })
      expect((await scene.claim())?.run.id).toBe(elsewhere.id)
      expect(await scene.claim()).toBeNull()
    })

    it('tells a live holder by the same write, waits for it alone, and is next', async (scene) => {
      const holder = await scene.run({ conversation: session('k') })
      const waiting = await scene.queue({ conversation: session('k') })
      const { epoch, definitions } = scene
      const created = await scene.create({ ...newer, max_waiting: 0, claim: { epoch, definitions } })
      expect(created).toMatchObject({ outcome: 'created', start: null, run: { status: 'queued' } })
      const { run, interrupted } = created as Created
      expect(interrupted.find(({ id }) => id === holder.id)).toEqual({ ...holder, ...written(scene) })
      expect((await scene.load(waiting)).status).toBe('cancelled')
      expect(await scene.commit(holder)).toBe('cancelled')
      const later = await scene.queue({ conversation: session('k') })
      await scene.reopen()
      const rescued = await scene.claim()
      expect(rescued).toMatchObject({ rescued: true, run: { id: holder.id, ...written(scene) } })
      expect(await scene.claim()).toBeNull()
      await scene.takeOver()
      await scene.cancel(holder)
      expect((await scene.claim())?.run.id).toBe(run.id)
      expect(await scene.claim()).toBeNull()
      expect((await scene.load(later)).status).toBe('queued')
    })

    it('ends what waits where nobody holds it, and may be claimed itself', async (scene) => {
      const waiting = [
        await scene.queue({ conversation: session('k') }),
        await scene.queue({ conversation: session('k') }),
      ]
      const run = await scene.queue(newer)
      for (const one of waiting) expect((await scene.load(one)).status).toBe('cancelled')
      expect((await scene.claim())?.run.id).toBe(run.id)
    })

    it('ends a holder that waits to go on', async (scene) => {
      const holder = await scene.run({ conversation: session('k') })
      await scene.commit(holder, { end: { status: 'queued' } })
      const run = await scene.queue(newer)
      expect((await scene.load(holder)).status).toBe('cancelled')
      expect((await scene.claim())?.run).toMatchObject({ id: run.id, parent_run_id: holder.id })
    })

    it('cancels nothing where there is nothing to cancel, and nothing of another scope', async (scene) => {
      const scope = { owner: 'bob', namespace: 'shop' }
      const other = await scene.run({ scope, conversation: session('k') })
      expect(await scene.create(newer)).toMatchObject({ outcome: 'created', interrupted: [] })
      expect(await scene.create({ on_conflict: { interrupt } })).toMatchObject({ interrupted: [] })
      expect((await scene.load(other)).cancel).toBeNull()
    })

    it('cancels nothing where it is refused or attached', async (scene) => {
      const idempotency = { route: 'r', key: 'i', fingerprint: 'f', expires_at: scene.now + 1000 }
      const first = await scene.queue({ ...newer, idempotency })
      const next = await scene.queue({ conversation: session('k') })
      expect(await scene.create({ ...newer, idempotency })).toMatchObject({
        outcome: 'attached',
        run: { id: first.id },
      })
      expect(
        await scene.create({ ...newer, idempotency: { ...idempotency, fingerprint: 'g' } }),
      ).toMatchObject({
        code: 'idempotency_key_reused',
      })
      expect(await scene.create({ ...newer, parent_run_id: 'run_nope' })).toMatchObject({
        code: 'run_not_found',
      })
      for (const one of [first, next]) expect((await scene.load(one)).status).toBe('queued')
    })
  })
}

function describeIdempotency(open: OpenStore): void {
  const it = sceneTest(open)

  describe('an idempotency key', () => {
    it('attaches the same request to its run, whatever the run does by then', async (scene) => {
      const idempotency = { route: 'POST /runs', key: 'k', fingerprint: 'f', expires_at: scene.now + 1000 }
      const run = await scene.run({ idempotency })
      expect(await scene.create({ idempotency })).toEqual({ outcome: 'attached', run })
      await scene.finish(run)
      scene.now += 999
      const again = await scene.create({ idempotency })
      expect(again).toEqual({ outcome: 'attached', run: await scene.load(run) })
      expect((await scene.store.runs.list(scene.scope, { limit: 10 })).data).toHaveLength(1)
    })

    it('attaches also those that come at once', async (scene) => {
      const idempotency = { route: 'r', key: 'k', fingerprint: 'f', expires_at: scene.now + 1000 }
      const results = await Promise.all([1, 2, 3, 4].map(() => scene.create({ idempotency })))
      expect(results.map(({ outcome }) => outcome)).toEqual(['created', 'attached', 'attached', 'attached'])
    })

    it('is found with its run and the fingerprint of its request, while it holds', async (scene) => {
      const fingerprint = 'f\u0000"\ud800'
      const named = { route: 'POST /r\\"', key: 'k"\\' }
      const idempotency = { ...named, fingerprint, expires_at: scene.now + 1000 }
      const { runs } = scene.store
      const find = (input: Partial<typeof named> = {}, scope = scene.scope) =>
        runs.findByKey(scope, { ...named, ...input, now: scene.now })
      expect(await find()).toBeUndefined()
      const run = await scene.queue({ idempotency })
      expect(await find()).toEqual({ run, fingerprint })
      expect(await find({ key: 'other' })).toBeUndefined()
      expect(await find({ route: 'other' })).toBeUndefined()
      expect(await find({}, { owner: 'bob', namespace: 'shop' })).toBeUndefined()
      expect(await find({}, { owner: 'alice', namespace: '' })).toBeUndefined()
      await scene.cancel(run)
      expect(await find()).toEqual({ run: await scene.load(run), fingerprint })
      scene.now += 1000
      expect(await find()).toBeUndefined()
    })

    it('refuses another request', async (scene) => {
      const idempotency = { route: 'r', key: 'k', fingerprint: 'f', expires_at: scene.now + 1000 }
      await scene.queue({ idempotency })
      const other = await scene.create({ idempotency: { ...idempotency, fingerprint: 'g' } })
      expect(other).toEqual({ outcome: 'conflict', code: 'idempotency_key_reused' })
    })

    it('is one of its owner, namespace and route, for its time', async (scene) => {
      const idempotency = { route: 'r', key: 'k', fingerprint: 'f', expires_at: scene.now + 1000 }
      const first = await scene.queue({ idempotency })
      await scene.queue({ idempotency, scope: { owner: 'bob', namespace: 'shop' } })
      await scene.queue({ idempotency, scope: { owner: 'alice', namespace: '' } })
      await scene.queue({ idempotency: { ...idempotency, route: 'other' } })
      scene.now += 1000
      const later = { ...idempotency, fingerprint: 'g', expires_at: scene.now + 1000 }
      const second = await scene.queue({ idempotency: later })
      expect(second.id).not.toBe(first.id)
      expect(await scene.create({ idempotency: later })).toMatchObject({
        outcome: 'attached',
        run: { id: second.id },
      })
    })

    it('is free again once its run was deleted with its conversation', async (scene) => {
      const named = { route: 'r', key: 'k' }
      const idempotency = { ...named, fingerprint: 'f', expires_at: scene.now + 1000 }
      const run = await scene.run({ idempotency, conversation: session('s') })
      await scene.finish(run)
      expect(await scene.store.conversations.delete(scene.scope, run.conversation_id ?? '')).toBe(true)
      expect(await scene.store.runs.findByKey(scene.scope, { ...named, now: scene.now })).toBeUndefined()
      expect((await scene.create({ idempotency })).outcome).toBe('created')
    })
  })
}
