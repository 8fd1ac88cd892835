import { describe, expect, test } from 'vitest'
import { tool } from '../../src/agent/tool.ts'
import { AppError } from '../../src/errors.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { deferred } from '../agent/deferred.ts'
import {
  advanceUntil,
  principal,
  startEngine,
  transcript,
  userMessage,
  type EngineUnderTestOptions,
} from '../agent/engine-under-test.ts'

const conversation = { session: 's' }
const gated = tool({ name: 'gated', description: 'Asks.', approval: 'required', execute: () => 'done' })
const callGated: ScriptedReply = { toolCalls: [{ name: 'gated', arguments: {} }] }

/** An engine whose first run holds its conversation until `letGo`. */
async function heldConversation(options: Omit<EngineUnderTestOptions, 'model'> = {}) {
  const letGo = deferred()
  const model = scriptedModel((request) =>
    transcript(request).at(-1) === 'user: holder'
      ? { text: 'holding on', gate: () => letGo.promise }
      : `answer to ${transcript(request).at(-1)?.slice(6)}`,
  )
  const engine = await startEngine({ model, ...options })
  const holder = await engine.start({ input: 'holder', conversation })
  return { engine, model, holder, letGo: () => letGo.resolve() }
}

/** An engine whose first run is suspended on its conversation. */
async function suspendedConversation() {
  const model = scriptedModel((request) =>
    request.items.some(({ type }) => type === 'tool_result') ? 'Went on.' : callGated,
  )
  const engine = await startEngine({ model, agent: { tools: [gated] } })
  const { run: holder } = await engine.finish({ input: 'holder', conversation })
  const [approval] = await engine.runs.pendingApprovals(holder)
  return { engine, model, holder, approval }
}

describe('requests at once', () => {
  test('never interleave and lose no turn: each reads all before it, first come first served', async () => {
    const count = 24
    const model = scriptedModel((request) => ({
      text: `answer to ${transcript(request).at(-1)?.slice(6)}`,
      gate: () => new Promise((resolve) => setImmediate(resolve)),
    }))
    const engine = await startEngine({ model })
    const started = await Promise.all(
      Array.from({ length: count }, (_, i) => engine.start({ input: `q${i}`, conversation })),
    )
    const runs = await Promise.all(started.map((run) => engine.settled(run)))
    expect(runs.map(({ status }) => status)).toEqual(Array(count).fill('completed'))
    const everything = Array.from({ length: count }, (_, i) => [
      `user: q${i}`,
      `assistant: answer to q${i}`,
    ]).flat()
    for (const [i, request] of model.calls.entries()) {
      expect(transcript(request)).toEqual(everything.slice(0, i * 2 + 1))
    }
    expect(new Set(runs.map((run) => run.conversation_id)).size).toBe(1)
    expect(runs.map(({ parent_run_id }) => parent_run_id)).toEqual([
      null,
      ...runs.slice(0, -1).map(({ id }) => id),
    ])
    const id = runs[0]?.conversation_id ?? ''
    const page = await engine.conversations.items(anonymous, id, { limit: 100, order: 'asc' })
    expect(transcript({ items: page.data.map(({ item }) => item) })).toEqual(everything)
    expect(await engine.conversations.countMessages(anonymous, id)).toBe(count * 2)
  })

  test('on different conversations do not wait for each other', async () => {
    const { engine, holder, letGo } = await heldConversation()
    const { run } = await engine.finish({ input: 'elsewhere', conversation: { session: 'other' } })
    expect(run.status).toBe('completed')
    letGo()
    await engine.settled(holder)
  })

  test('wait in the queue, up to its limit', async () => {
    const { engine, holder, letGo } = await heldConversation({ maxWaitingRuns: 2 })
    const waiting = [
      await engine.start({ input: 'a', conversation }),
      await engine.start({ input: 'b', conversation }),
    ]
    expect(waiting.map(({ status }) => status)).toEqual(['queued', 'queued'])
    await expect(engine.start({ input: 'c', conversation })).rejects.toMatchObject({
      code: 'queue_full',
      status: 429,
      retryable: true,
    })
    letGo()
    await engine.settled(holder)
    for (const run of waiting) expect((await engine.settled(run)).status).toBe('completed')
  })

  test('reject: conversation_busy with the run that holds it', async () => {
    const { engine, holder, letGo } = await heldConversation()
    await expect(engine.start({ conversation, onConflict: 'reject' })).rejects.toMatchObject({
      code: 'conversation_busy',
      details: { run_id: holder.id },
    })
    letGo()
    await engine.settled(holder)
    expect((await engine.finish({ input: 'x', conversation, onConflict: 'reject' })).run.status).toBe(
      'completed',
    )
  })

  test('interrupt: the holder is cancelled and the new run follows it', async () => {
    const { engine, model, holder } = await heldConversation()
    const { run } = await engine.finish({ input: 'now', conversation, onConflict: 'interrupt' })
    expect(run).toMatchObject({ status: 'completed', parent_run_id: holder.id })
    expect(await engine.load(holder)).toMatchObject({
      status: 'cancelled',
      cancel: { actor: 'anonymous', reason: 'interrupted' },
    })
    expect(transcript(model.calls[1])).toEqual(['user: holder', 'user: now'])
  })

  test('interrupt: a holder that was not listening yet is told again', async () => {
    const [claimed, handOver] = [deferred(), deferred()]
    let first = true
    const model = scriptedModel((request) =>
      transcript(request).at(-1) === 'user: holder' ? { text: 'endless', hang: true } : 'Done.',
    )
    const engine = await startEngine({
      model,
      wrapStore: (store) => ({
        ...store,
        runs: {
          ...store.runs,
          async create(input) {
            const result = await store.runs.create(input)
            if (first) {
              first = false
              claimed.resolve()
              await handOver.promise
            }
            return result
          },
        },
      }),
    })
    const holder = engine.start({ input: 'holder', conversation })
    await claimed.promise
    const interrupting = await engine.start({ input: 'now', conversation, onConflict: 'interrupt' })
    handOver.resolve()
    expect((await engine.settled(interrupting)).status).toBe('completed')
    expect((await engine.load(await holder)).status).toBe('cancelled')
  })

  test('interrupt: those that wait are cancelled with the holder, and the new run is next', async () => {
    const { engine, model, holder } = await heldConversation({ maxWaitingRuns: 2 })
    const waiting = [
      await engine.start({ input: 'a', conversation }),
      await engine.start({ input: 'b', conversation }),
    ]
    const ends = waiting.map((run) => engine.events(run))
    const run = await engine.start({ input: 'now', conversation, onConflict: 'interrupt' })
    const later = await engine.start({ input: 'later', conversation })
    expect(await engine.settled(run)).toMatchObject({ status: 'completed', parent_run_id: holder.id })
    expect(await engine.settled(later)).toMatchObject({ status: 'completed', parent_run_id: run.id })
    for (const [i, cancelled] of waiting.entries()) {
      expect((await ends[i])?.at(-1)).toMatchObject({ type: 'run.end', status: 'cancelled' })
      expect(await engine.load(cancelled)).toMatchObject({ cancel: { reason: 'interrupted' }, attempt: 1 })
    }
    expect(transcript(model.calls.at(-1))).toEqual([
      'user: holder',
      'user: now',
      'assistant: answer to now',
      'user: later',
    ])
  })

  test('interrupt: many at once leave the newest one', async () => {
    const { engine, holder } = await heldConversation({ maxWaitingRuns: 1 })
    const runs = await Promise.all(
      Array.from({ length: 8 }, () => engine.start({ conversation, onConflict: 'interrupt' })),
    )
    const ended = await Promise.all([holder, ...runs].map((run) => engine.settled(run)))
    expect(ended.map(({ status }) => status)).toEqual([...Array<string>(8).fill('cancelled'), 'completed'])
  })

  test('interrupt: a process that dies as soon as the new run is there has cancelled the holder', async () => {
    const model = scriptedModel((request) =>
      transcript(request).at(-1) === 'user: holder' ? { text: 'endless', hang: true } : 'Done.',
    )
    let died = false
    const first = await startEngine({
      model,
      onCommit: async (_commit, next) => (died ? 'fenced' : next()),
      wrapStore: (store) => ({
        ...store,
        runs: {
          ...store.runs,
          async create(input) {
            const result = await store.runs.create(input)
            if (input.on_conflict === 'queue') return result
            died = true
            throw new AppError('store_unavailable')
          },
        },
      }),
    })
    const holder = await first.start({ input: 'holder', conversation, background: true })
    const idempotency = { route: '/v1', key: 'k', fingerprint: 'f' }
    const newest = { input: 'now', conversation, onConflict: 'interrupt', idempotency } as const
    await expect(first.start(newest)).rejects.toMatchObject({ code: 'store_unavailable' })
    await first.stop()
    const second = await startEngine({ model, dataDir: first.dataDir })
    const { run } = await second.finish(newest)
    expect(run).toMatchObject({ status: 'completed', parent_run_id: holder.id })
    expect(await second.load(holder)).toMatchObject({
      status: 'cancelled',
      cancel: { actor: 'anonymous', reason: 'interrupted' },
    })
    await second.stop()
  })

  test('interrupt where nobody holds it is like any other', async () => {
    const { engine, holder, letGo } = await heldConversation()
    letGo()
    await engine.settled(holder)
    expect((await engine.finish({ input: 'x', conversation, onConflict: 'interrupt' })).run.status).toBe(
      'completed',
    )
  })
})

describe('behind a suspended run', () => {
  test('a request is told at once, with the run and what it waits for', async () => {
    const { engine, holder, approval } = await suspendedConversation()
    for (const onConflict of [undefined, 'reject'] as const) {
      await expect(engine.start({ conversation, ...(onConflict && { onConflict }) })).rejects.toMatchObject({
        code: 'conversation_suspended',
        status: 409,
        details: {
          run_id: holder.id,
          approvals: [{ id: approval?.id, tool: 'gated', reason: 'policy' }],
          tool_calls: [],
        },
      })
    }
  })

  test.each([
    ['a background run', { background: true }],
    ['a run that names queue', { onConflict: 'queue' }],
  ] as const)('%s waits, and follows when the run goes on', async (_name, how) => {
    const { engine, holder, approval } = await suspendedConversation()
    const waiting = await engine.start({ input: 'later', conversation, ...how })
    expect(waiting.status).toBe('queued')
    await engine.approvals.decide(anonymous, approval?.id ?? '', { decision: 'approve' })
    expect(await engine.settled(waiting)).toMatchObject({ status: 'completed', parent_run_id: holder.id })
    expect((await engine.load(holder)).status).toBe('completed')
  })

  test('interrupt ends it, and a run that waits and would suspend, too', async () => {
    const { engine, holder } = await suspendedConversation()
    const waiting = await engine.start({ input: 'door', conversation, onConflict: 'queue' })
    const run = await engine.start({ input: 'now', conversation, onConflict: 'interrupt' })
    expect(run).toMatchObject({ status: 'running', parent_run_id: holder.id })
    for (const { id } of [holder, waiting]) {
      expect(await engine.load({ id })).toMatchObject({
        status: 'cancelled',
        cancel: { reason: 'interrupted' },
      })
    }
    expect(await engine.runs.pendingApprovals(holder)).toEqual([])
    await engine.settled(run)
  })
})

describe('branches', () => {
  test('from an older run, in its conversation: the history is that of the branch', async () => {
    const model = scriptedModel((request) => `answer to ${transcript(request).at(-1)?.slice(6)}`)
    const engine = await startEngine({ model })
    const { run: first } = await engine.finish({ input: 'one', conversation })
    await engine.finish({ input: 'two', conversation })
    const { run } = await engine.finish({ input: 'other two', conversation, parentRunId: first.id })
    expect(run.parent_run_id).toBe(first.id)
    expect(transcript(model.calls[2])).toEqual(['user: one', 'assistant: answer to one', 'user: other two'])
    await engine.finish({ input: 'three', conversation })
    expect(transcript(model.calls[3])).toEqual([
      'user: one',
      'assistant: answer to one',
      'user: other two',
      'assistant: answer to other two',
      'user: three',
    ])
  })

  test('without a conversation: a run continues another', async () => {
    const model = scriptedModel(['One.', 'Two.'])
    const engine = await startEngine({ model })
    const { run } = await engine.finish('one')
    await engine.finish({ input: 'two', parentRunId: run.id })
    expect(transcript(model.calls[1])).toEqual(['user: one', 'assistant: One.', 'user: two'])
  })

  test('from a run of somebody else, of another conversation or of nobody is run_not_found', async () => {
    const model = scriptedModel(['One.', 'Two.'])
    const engine = await startEngine({ model })
    const { run } = await engine.finish({ input: 'one', conversation })
    const notFound = { code: 'run_not_found' }
    await expect(engine.start({ principal: principal('eve'), parentRunId: run.id })).rejects.toMatchObject(
      notFound,
    )
    await expect(engine.start({ parentRunId: 'run_none' })).rejects.toMatchObject(notFound)
    await engine.finish({ input: 'two', conversation: { session: 'other' } })
    await expect(
      engine.start({ conversation: { session: 'other' }, parentRunId: run.id }),
    ).rejects.toMatchObject(notFound)
  })
})

describe('sessions', () => {
  test('bear the name their client chose, and are found by it and by our id', async () => {
    const engine = await startEngine({ model: scriptedModel(['ok'], { atEnd: 'repeat' }) })
    const { run } = await engine.finish({ conversation: { session: 'my chat' } })
    const id = run.conversation_id ?? ''
    for (const name of ['my chat', id]) {
      expect(await engine.conversations.findSession(anonymous, name)).toMatchObject({ id, key: 'my chat' })
      expect((await engine.finish({ conversation: { session: name } })).run.conversation_id).toBe(id)
    }
    const own = await engine.finish({ conversation: { session: null } })
    expect(own.run.conversation_id).not.toBe(id)
    expect(await engine.conversations.findSession(anonymous, own.run.conversation_id ?? '')).toMatchObject({
      key: null,
    })
  })

  test('end when they were idle for their time, and every use puts that off', async () => {
    const clock = createFakeClock()
    const model = scriptedModel(['ok'], { atEnd: 'repeat' })
    const engine = await startEngine({ model, clock, sessionTimeoutMs: 10_000 })
    const { run: first } = await engine.finish({ conversation })
    await clock.advance(9_000)
    const { run: second } = await engine.finish({ conversation })
    expect(second.conversation_id).toBe(first.conversation_id)
    await clock.advance(9_999)
    expect((await engine.conversations.findSession(anonymous, 's')).id).toBe(first.conversation_id)
    await clock.advance(1)
    await expect(engine.conversations.findSession(anonymous, 's')).rejects.toMatchObject({
      code: 'conversation_not_found',
    })
    const { run: third } = await engine.finish({ conversation })
    expect(third.conversation_id).not.toBe(first.conversation_id)
    expect(transcript(model.calls[2])).toEqual(['user: hello'])
  })

  test('do not end under a run, and the housekeeping removes those that did', async () => {
    const clock = createFakeClock()
    const letGo = deferred()
    const model = scriptedModel([{ text: 'slow', gate: () => letGo.promise }, 'ok'])
    const engine = await startEngine({ model, clock, sessionTimeoutMs: 10_000 })
    const run = await engine.start({ conversation })
    await clock.advance(120_000)
    expect((await engine.conversations.findSession(anonymous, 's')).id).toBe(run.conversation_id)
    letGo.resolve()
    await engine.settled(run)
    await clock.advance(9_000)
    expect((await engine.conversations.findSession(anonymous, 's')).id).toBe(run.conversation_id)
    const gone = (async () => {
      while (await engine.store.runs.load(run.id)) await new Promise((resolve) => setImmediate(resolve))
    })()
    await advanceUntil(clock, gone, 10_000)
    expect(await engine.items(run)).toEqual([])
  })

  test('conversations that were made do not end by themselves', async () => {
    const clock = createFakeClock()
    const engine = await startEngine({ model: scriptedModel(['ok']), clock, sessionTimeoutMs: 10_000 })
    const { id } = await engine.conversations.create(anonymous, {})
    await clock.advance(50_000)
    expect((await engine.finish({ conversation: { id } })).run.conversation_id).toBe(id)
  })
})

describe('conversations', () => {
  test('are made with a name and metadata, listed newest first, updated', async () => {
    const engine = await startEngine({ model: scriptedModel([]) })
    const first = await engine.conversations.create(anonymous, { key: 'one', metadata: { a: '1' } })
    const second = await engine.conversations.create(anonymous, {})
    expect(first).toMatchObject({ key: 'one', metadata: { a: '1' }, ttl_ms: null, head_run_id: null })
    const listed = await engine.conversations.list(anonymous, { limit: 10 })
    expect(listed.data.map(({ id }) => id)).toEqual([second.id, first.id])
    expect(await engine.conversations.update(anonymous, first.id, { b: '2' })).toMatchObject({
      metadata: { b: '2' },
    })
  })

  test('a name that is taken is refused', async () => {
    const engine = await startEngine({ model: scriptedModel([]) })
    const first = await engine.conversations.create(anonymous, { key: 'one', metadata: { a: '1' } })
    await expect(engine.conversations.create(anonymous, { key: 'one', metadata: {} })).rejects.toMatchObject({
      code: 'invalid_request',
      locations: [{ path: ['body', 'key'] }],
    })
    expect(await engine.conversations.get(anonymous, first.id)).toEqual(first)
    expect((await engine.conversations.create(principal('eve'), { key: 'one' })).id).not.toBe(first.id)
  })

  test('that are not there are conversation_not_found', async () => {
    const engine = await startEngine({ model: scriptedModel([]) })
    await expect(engine.start({ conversation: { id: 'conv_none' } })).rejects.toMatchObject({
      code: 'conversation_not_found',
    })
  })

  test('deleting one cancels what is open and removes everything', async () => {
    const { engine, holder, model } = await heldConversation()
    const waiting = await engine.start({ input: 'a', conversation })
    const id = holder.conversation_id ?? ''
    const [holderEvents, waitingEvents] = [engine.events(holder), engine.events(waiting)]
    await engine.conversations.delete(anonymous, id)
    expect((await holderEvents).at(-1)).toMatchObject({ type: 'run.end', status: 'cancelled' })
    await waitingEvents.catch((error: unknown) => expect(error).toMatchObject({ code: 'run_not_found' }))
    await expect(engine.conversations.get(anonymous, id)).rejects.toMatchObject({
      code: 'conversation_not_found',
    })
    for (const run of [holder, waiting]) {
      await expect(engine.runs.get(anonymous, run.id)).rejects.toMatchObject({ code: 'run_not_found' })
      expect(await engine.items(run)).toEqual([])
    }
    const { run } = await engine.finish({ input: 'fresh', conversation })
    expect(run.conversation_id).not.toBe(id)
    expect(transcript(model.calls.at(-1))).toEqual(['user: fresh'])
  })

  test('deleting one whose run is suspended removes its approvals', async () => {
    const { engine, holder, approval } = await suspendedConversation()
    await engine.conversations.delete(anonymous, holder.conversation_id ?? '')
    await expect(engine.approvals.get(anonymous, approval?.id ?? '')).rejects.toMatchObject({
      code: 'approval_not_found',
    })
  })
})

describe('what belongs to another owner or namespace is not found', () => {
  const others = [principal('eve'), principal('anonymous', 'elsewhere'), principal('', 'anonymous')]

  test('conversations', async () => {
    const engine = await startEngine({ model: scriptedModel(['ok'], { atEnd: 'repeat' }) })
    const { run } = await engine.finish({ conversation })
    const id = run.conversation_id ?? ''
    const notFound = { code: 'conversation_not_found', status: 404 }
    for (const other of others) {
      const { conversations } = engine
      await expect(conversations.get(other, id)).rejects.toMatchObject(notFound)
      await expect(conversations.findSession(other, 's')).rejects.toMatchObject(notFound)
      await expect(conversations.findSession(other, id)).rejects.toMatchObject(notFound)
      await expect(conversations.update(other, id, { a: 'b' })).rejects.toMatchObject(notFound)
      await expect(conversations.items(other, id, { limit: 10, order: 'asc' })).rejects.toMatchObject(
        notFound,
      )
      await expect(conversations.delete(other, id)).rejects.toMatchObject(notFound)
      await expect(engine.start({ principal: other, conversation: { id } })).rejects.toMatchObject(notFound)
      expect((await conversations.list(other, { limit: 10 })).data).toEqual([])
      await expect(conversations.countMessages(other, id)).rejects.toMatchObject(notFound)
    }
    expect(await engine.conversations.countMessages(anonymous, id)).toBe(2)
  })

  test('runs', async () => {
    const engine = await startEngine({ model: scriptedModel(['ok'], { atEnd: 'repeat' }) })
    const { run } = await engine.finish({ conversation })
    for (const other of others) {
      await expect(engine.runs.get(other, run.id)).rejects.toMatchObject({
        code: 'run_not_found',
        status: 404,
      })
      expect((await engine.runs.list(other, { limit: 10 })).data).toEqual([])
    }
    const { data } = await engine.runs.list(anonymous, { limit: 10, status: 'completed', agent: 'assistant' })
    expect(data).toEqual([run])
  })

  test('sessions of the same name are different ones', async () => {
    const model = scriptedModel(['ok'], { atEnd: 'repeat' })
    const engine = await startEngine({ model })
    const ids = new Set<string | null>()
    for (const who of [anonymous, ...others]) {
      const run = await engine.start({ principal: who, conversation })
      ids.add((await engine.settled(run)).conversation_id)
    }
    expect(ids.size).toBe(4)
    for (const request of model.calls) expect(request.items).toHaveLength(1)
  })
})

describe('an idempotency key', () => {
  const idempotency = { route: '/v1', key: 'k', fingerprint: 'f' }

  test('attaches a repeat to its run, also while it runs, and lets it outlive its client', async () => {
    const { engine, holder, letGo } = await heldConversation()
    const input = { input: 'once', conversation: { session: 'other' }, idempotency }
    const created = await engine.runs.create({
      principal: anonymous,
      agent: 'assistant',
      ...input,
      input: [userMessage('once')],
    })
    const repeated = await engine.runs.create({
      principal: anonymous,
      agent: 'assistant',
      ...input,
      input: [userMessage('once')],
    })
    expect(created.attached).toBe(false)
    expect(repeated).toMatchObject({ attached: true, run: { id: created.run.id, on_disconnect: 'continue' } })
    expect(engine.gauges().activeRuns).toBeLessThanOrEqual(2)
    letGo()
    await engine.settled(holder)
    await engine.settled(created.run)
  })

  test('with another request is refused', async () => {
    const engine = await startEngine({ model: scriptedModel(['ok'], { atEnd: 'repeat' }) })
    await engine.finish({ idempotency })
    await expect(engine.start({ idempotency: { ...idempotency, fingerprint: 'g' } })).rejects.toMatchObject({
      code: 'idempotency_key_reused',
    })
    const others = await engine.start({ principal: principal('eve'), idempotency })
    expect((await engine.settled(others)).owner).toBe('eve')
  })
})
