import { describe, expect, onTestFinished, test } from 'vitest'
import { tool } from '../../src/agent/tool.ts'
import { createLogCapture } from '../agent/log-capture.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { maxCrashes } from '../../src/runs/open-context.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { deferred } from '../agent/deferred.ts'
import {
  advanceUntil,
  eventsOfType,
  startEngine,
  transcript,
  typesOf,
  userMessage,
} from '../agent/engine-under-test.ts'

/** A model that knows how many of its calls go on at the same time. */
function countingModel(turns: (index: number) => number) {
  const most = { now: 0, seen: 0 }
  const model = scriptedModel((_request, index) => ({
    text: 'one two',
    gate: async (part) => {
      if (part === 0) most.seen = Math.max(most.seen, ++most.now)
      for (let turn = 0; turn < turns(index); turn++) await new Promise((resolve) => setImmediate(resolve))
      if (part === 1) most.now--
    },
  }))
  return { model, most }
}

const slow = (until: Promise<void>) => ({ text: 'slow', gate: () => until })

describe('MAX_CONCURRENT_RUNS', () => {
  test('one at a time: the others are queued, and each follows as soon as there is room', async () => {
    const { model, most } = countingModel(() => 3)
    // Time stands still: whoever waited for the poll would wait for ever.
    const engine = await startEngine({ model, clock: createFakeClock(), maxConcurrentRuns: 1 })
    const runs = await Promise.all(Array.from({ length: 12 }, () => engine.start()))
    expect(runs.filter(({ status }) => status === 'queued').length).toBeGreaterThanOrEqual(11)
    const ended = await Promise.all(runs.map((run) => engine.settled(run)))
    expect(ended.map(({ status }) => status)).toEqual(Array(12).fill('completed'))
    expect(most.seen).toBe(1)
  })

  test.each([1, 2, 3])(
    '%i: holds where requests come while others end and the queue is worked off',
    async (limit) => {
      const { model, most } = countingModel((index) => index % 5)
      const engine = await startEngine({ model, clock: createFakeClock(), maxConcurrentRuns: limit })
      const ends: Promise<unknown>[] = []
      for (let i = 0; i < 80; i++) {
        const conversation = i % 4 === 0 ? { session: `s${i % 8}` } : undefined
        ends.push(engine.start(conversation ? { conversation } : {}).then((run) => engine.settled(run)))
        for (let turn = 0; turn < i % 7; turn++) await new Promise((resolve) => setImmediate(resolve))
        expect(engine.gauges().activeRuns).toBeLessThanOrEqual(limit)
      }
      await Promise.all(ends)
      expect(most.seen).toBeLessThanOrEqual(limit)
      expect(engine.gauges()).toEqual({ activeRuns: 0, tails: 0, readers: 0 })
    },
  )

  test('behind a full node only so many wait, whoever they are', async () => {
    const release = deferred()
    const model = scriptedModel([{ text: 'x', gate: () => release.promise }], { atEnd: 'repeat' })
    const engine = await startEngine({ model, maxConcurrentRuns: 1, maxQueuedRuns: 2 })
    const idempotency = { route: 'r', key: 'k', fingerprint: 'f' }
    const runs = [await engine.start(), await engine.start(), await engine.start({ idempotency })]
    await expect(engine.start()).rejects.toMatchObject({ code: 'queue_full', retryAfterMs: 1000 })
    // Who repeats a request asks for nothing new.
    expect(await engine.start({ idempotency })).toEqual(runs[2])
    await expect(
      engine.start({ idempotency: { ...idempotency, fingerprint: 'other' } }),
    ).rejects.toMatchObject({ code: 'idempotency_key_reused' })
    release.resolve()
    for (const run of runs) expect((await engine.settled(run)).status).toBe('completed')
  })

  test('runs that wait behind suspended ones take nobody the place', async () => {
    const release = deferred()
    const gated = tool({ name: 'gated', description: 'Asks.', approval: 'required', execute: () => 1 })
    const model = scriptedModel([{ toolCalls: [{ name: 'gated', arguments: {} }] }, slow(release.promise)], {
      atEnd: 'repeat',
    })
    const engine = await startEngine({
      model,
      agent: { tools: [gated] },
      maxConcurrentRuns: 1,
      maxQueuedRuns: 2,
    })
    const conversation = { session: 's' }
    expect((await engine.finish({ conversation })).run.status).toBe('suspended')
    const parked = [1, 2, 3].map(() => engine.start({ conversation, background: true }))
    expect((await Promise.all(parked)).map(({ status }) => status)).toEqual(Array(3).fill('queued'))
    const running = await engine.start()
    const waiting = [await engine.start(), await engine.start()]
    await expect(engine.start()).rejects.toMatchObject({ code: 'queue_full' })
    release.resolve()
    for (const run of [running, ...waiting]) expect((await engine.settled(run)).status).toBe('completed')
  })

  test('a suspended run takes no place', async () => {
    const gated = tool({ name: 'gated', description: 'Asks.', approval: 'required', execute: () => 1 })
    const model = scriptedModel([{ toolCalls: [{ name: 'gated', arguments: {} }] }, 'ok'])
    const engine = await startEngine({ model, maxConcurrentRuns: 1, agent: { tools: [gated] } })
    expect((await engine.finish()).run.status).toBe('suspended')
    expect((await engine.finish()).run.status).toBe('completed')
  })
})

describe('RUN_TIMEOUT', () => {
  test('fails the run, keeps what was streamed, and the model sees its signal', async () => {
    const clock = createFakeClock()
    const model = scriptedModel([{ text: 'So far', hang: true }])
    const engine = await startEngine({ model, clock, runTimeoutMs: 5_000 })
    const run = await engine.start()
    const { reader } = await engine.reach(run, 'text.delta')
    reader.detach('server')
    await clock.advance(4_999)
    expect((await engine.load(run)).status).toBe('running')
    await clock.advance(1)
    const events = await engine.events(run)
    const ended = await engine.load(run)
    expect(ended).toMatchObject({ status: 'failed', stop_reason: 'timeout', error: { code: 'run_timeout' } })
    expect(await engine.text(ended)).toBe('So far')
    expect(eventsOfType(events, 'run.end')).toMatchObject([{ status: 'failed', stop_reason: 'timeout' }])
    expect(model.aborted).toBe(1)
  })

  test('during a tool: it gets its second, then the ledger says unknown', async () => {
    const clock = createFakeClock()
    const started = deferred()
    const hang = tool({
      name: 'hang',
      description: 'Hangs.',
      execute: () => {
        started.resolve()
        return new Promise(() => {})
      },
    })
    const engine = await startEngine({
      model: scriptedModel([{ toolCalls: [{ name: 'hang', arguments: {} }] }]),
      clock,
      runTimeoutMs: 5_000,
      agent: { tools: [hang] },
    })
    const run = await engine.start()
    await started.promise
    await clock.advance(5_999)
    expect((await engine.load(run)).status).toBe('running')
    await clock.advance(1)
    expect(await engine.settled(run)).toMatchObject({ status: 'failed', stop_reason: 'timeout' })
    expect(await engine.store.ledger.ofRun(run.id)).toMatchObject([{ state: 'unknown' }])
  })

  test('leaves no timer behind', async () => {
    const clock = createFakeClock()
    const engine = await startEngine({ model: scriptedModel(['ok'], { atEnd: 'repeat' }), clock })
    await engine.finish()
    const before = clock.pending()
    await engine.finish()
    expect(clock.pending()).toBe(before)
  })
})

describe('a node that drains', () => {
  test('refuses new runs with 503', async () => {
    const letGo = deferred()
    const model = scriptedModel([slow(letGo.promise)])
    const server = await createTestServer({ model })
    onTestFinished(() => server.close())
    const body = { input: 'hi' }
    const started = server.request('/v1/agents/assistant/runs', { body: { ...body, background: true } })
    expect((await started).status).toBe(202)
    const closing = server.close(10_000)
    const refused = await server.request('/v1/agents/assistant/runs', { body })
    expect(refused.status).toBe(503)
    expect(await refused.json()).toMatchObject({ code: 'draining', retryable: true })
    await expect(
      server.runs.create({ principal: anonymous, agent: 'assistant', input: [userMessage('hi')] }),
    ).rejects.toMatchObject({ code: 'draining' })
    letGo.resolve()
    await closing
    expect(server.gauges().activeRuns).toBe(0)
  })

  test('answers the repeat of a request: with its run, which may have its answer', async () => {
    const letGo = deferred()
    const server = await createTestServer({ model: scriptedModel(['Done.', slow(letGo.promise)]) })
    onTestFinished(() => server.close())
    const ask = async (key: string, background?: true) => {
      const body = { input: 'hi', ...(background && { background }) }
      const headers = { 'idempotency-key': key }
      const response = await server.request('/v1/agents/assistant/runs', { body, headers })
      return { status: response.status, body: (await response.json()) as { id: string } }
    }
    const done = await ask('done')
    const running = await ask('running', true)
    const closing = server.close(10_000)
    expect(await ask('new')).toMatchObject({ status: 503, body: { code: 'draining' } })
    expect(await ask('done')).toEqual(done)
    expect(await ask('running', true)).toMatchObject({ status: 202, body: { id: running.body.id } })
    letGo.resolve()
    await closing
  })

  test('waits for runs within its grace, then gives them back: another node starts the step anew', async () => {
    const clock = createFakeClock()
    const first = await startEngine({ model: scriptedModel([{ text: 'Half', hang: true }]), clock })
    const run = await first.start()
    const { reader } = await first.reach(run, 'text.delta')
    reader.detach('server')
    await first.stop()
    const second = await startEngine({ model: scriptedModel(['Whole.']), dataDir: first.dataDir })
    const ended = await second.settled(run)
    expect(ended).toMatchObject({ status: 'completed', crash_count: 0 })
    expect(await second.text(ended)).toBe('Whole.')
    const events = await second.events(run)
    expect(eventsOfType(events, 'step.retry')).toMatchObject([{ step: 0, reason: 'node_drain' }])
    expect(eventsOfType(events, 'run.start').map(({ attempt }) => attempt)).toEqual([1, 2])
  })

  test('waits also for a run that is just being accepted', async () => {
    const clock = createFakeClock()
    const first = await startEngine({ model: scriptedModel([{ text: 'x', hang: true }]), clock })
    const accepted = first.start()
    await first.stop()
    const run = await accepted
    const second = await startEngine({ model: scriptedModel(['ok']), dataDir: first.dataDir })
    const events = await second.events(run)
    expect(await second.load(run)).toMatchObject({ status: 'completed', crash_count: 0 })
    expect(events.at(-1)?.type).toBe('run.end')
  })

  test('gives a read tool that was running to the next node to run again, a write to a person', async () => {
    const clock = createFakeClock()
    const calls: string[] = []
    const hanging = (name: string, effect: 'read' | 'write', started: () => void) =>
      tool({
        name,
        description: 'Hangs.',
        effect,
        execute: (_input, { idempotencyKey }) => {
          calls.push(`${name} ${idempotencyKey.slice(-4)}`)
          started()
          return calls.length <= 2 ? new Promise(() => {}) : `${name} done`
        },
      })
    const started = deferred()
    const tools = [hanging('look', 'read', () => {}), hanging('send', 'write', () => started.resolve())]
    const toolCalls = tools.map(({ name }) => ({ name, arguments: {} }))
    const first = await startEngine({ model: scriptedModel([{ toolCalls }]), clock, agent: { tools } })
    const run = await first.start()
    await started.promise
    await first.stop()
    const second = await startEngine({
      model: scriptedModel(['Done.']),
      dataDir: first.dataDir,
      agent: { tools },
    })
    const waiting = await second.settled(run)
    expect(waiting.status).toBe('suspended')
    expect(calls).toEqual(['look -0-0', 'send -0-1', 'look -0-0'])
    const [approval] = await second.runs.pendingApprovals(waiting)
    expect(approval).toMatchObject({ tool: 'send', reason: 'outcome_unknown' })
    await second.approvals.decide(anonymous, approval?.id ?? '', { decision: 'approve' })
    const events = await second.events(run, waiting.last_seq)
    expect(typesOf(events)).toContain('tool.end')
    expect(calls.at(-1)).toBe('send -0-1')
    expect((await second.load(run)).status).toBe('completed')
  })

  test.each(['reject', 'expire'] as const)(
    'a write that nobody will have again (%s) is outcome_unknown to the model',
    async (decision) => {
      const clock = createFakeClock()
      const started = deferred()
      const hang = tool({
        name: 'send',
        description: 'Hangs.',
        execute: () => {
          started.resolve()
          return new Promise(() => {})
        },
      })
      const common = { clock, agent: { tools: [hang], approvalTimeoutMs: 30_000 } }
      const toolCalls = [{ name: 'send', arguments: {} }]
      const first = await startEngine({ model: scriptedModel([{ toolCalls }]), ...common })
      const run = await first.start()
      await started.promise
      await first.stop()
      const model = scriptedModel(['Done.'])
      const second = await startEngine({ model, dataDir: first.dataDir, ...common })
      const waiting = await second.settled(run)
      const [approval] = await second.runs.pendingApprovals(waiting)
      if (decision === 'reject') await second.approvals.decide(anonymous, approval?.id ?? '', { decision })
      const events = await advanceUntil(clock, second.events(run, waiting.last_seq), 1_000)
      expect(eventsOfType(events, 'approval.resolve')).toMatchObject([{ decision }])
      const said =
        decision === 'reject' ? 'A person rejected this call.' : 'Nobody approved this call in time.'
      const message = `${said} It had been started before and may have taken effect.`
      expect(eventsOfType(events, 'tool.end')).toMatchObject([
        { error: { code: 'outcome_unknown', message } },
      ])
      expect(transcript(model.calls[0]).at(-1)).toBe(`result Error: ${message}`)
    },
  )
})

describe('a node that loses its lease', () => {
  test('lets go of its runs at once, writes nothing more, and takes no new ones', async () => {
    const clock = createFakeClock()
    const log = createLogCapture()
    let renews = true
    const engine = await startEngine({
      model: scriptedModel([{ text: 'So far', hang: true }]),
      clock,
      logger: log.logger,
      wrapStore: (store) => ({
        ...store,
        nodes: { ...store.nodes, leaseExpires: true, renew: async () => renews },
      }),
    })
    const run = await engine.start()
    const { reader } = await engine.reach(run, 'text.delta')
    await clock.advance(9_000)
    expect(engine.gauges().activeRuns).toBe(1)
    renews = false
    await clock.advance(3_400)
    expect(engine.gauges().activeRuns).toBe(0)
    expect(engine.commits).toEqual([])
    expect(await engine.load(run)).toMatchObject({ status: 'running', attempt: 1 })
    expect(log.lines()).toContainEqual(
      expect.objectContaining({ level: 'error', message: expect.stringContaining('lease lost') }),
    )
    await expect(engine.start()).rejects.toMatchObject({ code: 'draining' })
    reader.detach('server')
  })
})

describe('a run that ends its process again and again', () => {
  test(`is given up after ${maxCrashes} rescues without a commit between them`, async () => {
    const engine = await startEngine({ model: scriptedModel(['never asked']) })
    await engine.drain(0)
    const { store } = engine
    const definitions = {}
    const now = Date.now()
    const join = () => store.nodes.join({ node_id: 'node', lease_ms: 1, now })
    const { epoch } = await join()
    const created = await store.runs.create({
      scope: anonymous,
      run: {
        id: 'run_crashing',
        agent: 'assistant',
        options: {},
        background: true,
        on_disconnect: 'continue',
      },
      input: [userMessage('hi')],
      on_conflict: 'queue',
      wait_for_suspended: true,
      max_waiting: 1,
      claim: { epoch, definitions },
      now,
    })
    expect(created.outcome).toBe('created')
    for (let crash = 1; crash < maxCrashes; crash++) {
      const claimed = await store.runs.claim({ epoch: (await join()).epoch, definitions, now })
      expect(claimed).toMatchObject({ rescued: true, run: { crash_count: crash } })
    }
    await engine.stop()
    const log = createLogCapture()
    const next = await startEngine({
      model: scriptedModel(['never asked']),
      dataDir: engine.dataDir,
      logger: log.logger,
    })
    const ended = await next.settled(await next.load({ id: 'run_crashing' }))
    expect(ended).toMatchObject({ status: 'failed', error: { code: 'crash_loop' } })
    expect(log.lines()).toContainEqual(expect.objectContaining({ message: 'run rescued' }))
  })
})

test('waits of the loop are on the clock alone', async () => {
  const clock = createFakeClock()
  const model = scriptedModel(
    ['one two three'].map((text) => ({ text, delayMs: 1_000 })),
    { clock },
  )
  const engine = await startEngine({ model, clock })
  const { text } = await advanceUntil(clock, engine.finish(), 250)
  expect(text).toBe('one two three')
})
