import { describe, expect, test } from 'vitest'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { deferred } from '../agent/deferred.ts'
import {
  eventsOfType,
  nextOfType,
  startEngine,
  transcript,
  typesOf,
  type EngineUnderTest,
} from '../agent/engine-under-test.ts'

const conversation = { session: 's' }
const callIt: ScriptedReply = { toolCalls: [{ name: 'it', arguments: {} }] }

/** Everybody agrees that the run was cancelled, and its conversation can be used again. */
async function expectCancelled(engine: EngineUnderTest, runId: string) {
  const run = await engine.load({ id: runId })
  expect(run).toMatchObject({
    status: 'cancelled',
    stop_reason: 'cancelled',
    error: { code: 'run_cancelled' },
    cancel: { actor: 'anonymous', reason: 'enough' },
  })
  const events = await engine.events(run)
  expect(eventsOfType(events, 'run.end')).toMatchObject([
    { status: 'cancelled', stop_reason: 'cancelled', output: run.output },
  ])
  expect(events.at(-1)?.type).toBe('run.end')
  const next = await engine.finish({ input: 'next', conversation })
  expect(next.run.status).toBe('completed')
  return { run, events, items: await engine.items(run) }
}

const cancel = (engine: EngineUnderTest, runId: string) => engine.runs.cancel(anonymous, runId, 'enough')

describe('a cancel ends the run', () => {
  test('while it is queued behind another: at once, and the model is never asked', async () => {
    const gate = deferred()
    const model = scriptedModel((request) =>
      transcript(request).at(-1) === 'user: first' ? { text: 'one two', gate: () => gate.promise } : 'ok',
    )
    const engine = await startEngine({ model })
    const first = await engine.start({ input: 'first', conversation })
    const queued = await engine.start({ input: 'second', conversation })
    expect(queued.status).toBe('queued')
    const { run, ended } = await cancel(engine, queued.id)
    expect(ended).toBe(true)
    expect(run.status).toBe('cancelled')
    gate.resolve()
    await engine.settled(first)
    const { events } = await expectCancelled(engine, queued.id)
    expect(typesOf(events)).toEqual(['run.end'])
    expect(model.calls).toHaveLength(2)
  })

  test('before the first token: the model sees its signal', async () => {
    const model = scriptedModel([{ parts: [], hang: true }, 'ok'])
    const engine = await startEngine({ model })
    const started = await engine.start({ conversation })
    const { reader } = await engine.reach(started, 'step.start')
    const { ended } = await cancel(engine, started.id)
    expect(ended).toBe(true)
    expect(await nextOfType(reader, 'run.end')).toMatchObject({ status: 'cancelled', steps: 0 })
    reader.detach('server')
    expect(model.aborted).toBe(1)
    const { run } = await expectCancelled(engine, started.id)
    expect(run.output).toEqual([])
  })

  test('mid stream: what was streamed stays as a partial item and as the output', async () => {
    const model = scriptedModel([{ text: 'Half of it', hang: true }, 'ok'])
    const engine = await startEngine({ model })
    const started = await engine.start({ conversation })
    const { reader } = await engine.reach(started, 'text.delta')
    await cancel(engine, started.id)
    reader.detach('server')
    const { run, items, events } = await expectCancelled(engine, started.id)
    expect(await engine.text(run)).toBe('Half of it')
    expect(items[1]).toMatchObject({ void: false, item: { partial: true } })
    expect(eventsOfType(events, 'text.end')).toMatchObject([{ partial: true }])
    expect(
      eventsOfType(events, 'text.delta')
        .map(({ delta }) => delta)
        .join(''),
    ).toBe('Half of it')
    expect(transcript(model.calls[1])).toEqual(['user: hello', 'assistant: Half of it', 'user: next'])
    expect(model.aborted).toBe(1)
  })

  test('during tools: their signal fires, and a result that comes within the second is kept', async () => {
    const started = deferred()
    const it = tool({
      name: 'it',
      description: 'Ends when told.',
      execute: (_input, { signal }) => {
        started.resolve()
        return new Promise((resolve) => signal.addEventListener('abort', () => resolve('stopped in time')))
      },
    })
    const engine = await startEngine({ model: scriptedModel([callIt, 'ok']), agent: { tools: [it] } })
    const { id } = await engine.start({ conversation })
    await started.promise
    await cancel(engine, id)
    const { events } = await expectCancelled(engine, id)
    expect(eventsOfType(events, 'tool.end')).toMatchObject([{ output: 'stopped in time' }])
    expect(await engine.store.ledger.ofRun(id)).toMatchObject([{ state: 'committed' }])
  })

  test('during tools that mind no signal: after a second, and the ledger says unknown', async () => {
    const clock = createFakeClock()
    const started = deferred<AbortSignal>()
    const it = tool({
      name: 'it',
      description: 'Minds nothing.',
      execute: (_input, { signal }) => {
        started.resolve(signal)
        return new Promise(() => {})
      },
    })
    const engine = await startEngine({ model: scriptedModel([callIt, 'ok']), clock, agent: { tools: [it] } })
    const { id } = await engine.start({ conversation })
    const signal = await started.promise
    const cancelling = cancel(engine, id)
    const fired = deferred()
    signal.addEventListener('abort', () => fired.resolve())
    if (!signal.aborted) await fired.promise
    await clock.advance(999)
    expect((await engine.load({ id })).status).toBe('running')
    await clock.advance(1)
    expect((await cancelling).run.status).toBe('cancelled')
    const { events } = await expectCancelled(engine, id)
    expect(eventsOfType(events, 'tool.end')).toEqual([])
    expect(await engine.store.ledger.ofRun(id)).toMatchObject([{ state: 'unknown' }])
  })

  test('while one tool reports and another is lost: the lost one is unknown in the ledger all the same', async () => {
    const clock = createFakeClock()
    const started = deferred()
    const quickEnd = deferred()
    const [inStore, letThrough] = [deferred(), deferred()]
    const quick = tool({ name: 'quick', description: 'Ends in time.', execute: () => quickEnd.promise })
    const lost = tool({
      name: 'lost',
      description: 'Never ends.',
      execute: () => {
        started.resolve()
        return new Promise(() => {})
      },
    })
    const toolCalls = [
      { name: 'quick', arguments: {} },
      { name: 'lost', arguments: {} },
    ]
    const engine = await startEngine({
      model: scriptedModel([{ toolCalls }, 'ok']),
      clock,
      agent: { tools: [quick, lost] },
      onCommit: async (commit, next) => {
        const outcome = await next()
        if (typesOf(commit.events).join() === 'tool.end') {
          inStore.resolve()
          await letThrough.promise
        }
        return outcome
      },
    })
    const { id } = await engine.start({ conversation })
    await started.promise
    const cancelling = cancel(engine, id)
    await engine.store.ping()
    // The quick one's result is on its way to the store when the other's second is over.
    quickEnd.resolve()
    await inStore.promise
    await clock.advance(1_000)
    letThrough.resolve()
    await cancelling
    await expectCancelled(engine, id)
    expect(await engine.store.ledger.ofRun(id)).toMatchObject([{ state: 'committed' }, { state: 'unknown' }])
  })

  test('while it is suspended: its approvals are cancelled with it', async () => {
    const it = tool({ name: 'it', description: 'Asks.', approval: 'required', execute: () => 'never' })
    const engine = await startEngine({ model: scriptedModel([callIt, 'ok']), agent: { tools: [it] } })
    const { run: suspended } = await engine.finish({ conversation })
    expect(suspended.status).toBe('suspended')
    const [approval] = await engine.runs.pendingApprovals(suspended)
    const { ended } = await cancel(engine, suspended.id)
    expect(ended).toBe(true)
    await expectCancelled(engine, suspended.id)
    expect((await engine.approvals.get(anonymous, approval?.id ?? '')).status).toBe('cancelled')
    await expect(
      engine.approvals.decide(anonymous, approval?.id ?? '', { decision: 'approve' }),
    ).rejects.toMatchObject({ code: 'approval_decided' })
  })

  test('during history, before anything was asked', async () => {
    const engine = await startEngine({ model: scriptedModel([{ text: 'x', hang: true }, 'ok']) })
    const { id } = await engine.start({ conversation })
    const { ended, run } = await cancel(engine, id)
    expect({ ended, status: run.status }).toEqual({ ended: true, status: 'cancelled' })
    await expectCancelled(engine, id)
  })
})

test('a second cancel is the same as the first, also side by side', async () => {
  const model = scriptedModel([{ text: 'So far', hang: true }, 'ok'])
  const engine = await startEngine({ model })
  const started = await engine.start({ conversation })
  const { reader } = await engine.reach(started, 'text.delta')
  const [first, second] = await Promise.all([
    cancel(engine, started.id),
    engine.runs.cancel(anonymous, started.id, 'another reason'),
  ])
  reader.detach('server')
  const third = await engine.runs.cancel(anonymous, started.id, 'too late')
  expect([first.ended, second.ended, third.ended]).toEqual([true, true, true])
  expect(second.run).toEqual(first.run)
  expect(third.run).toEqual(first.run)
  await expectCancelled(engine, started.id)
})

test('a cancel after the end changes nothing', async () => {
  const engine = await startEngine({ model: scriptedModel(['Done.']) })
  const { run, events } = await engine.finish()
  expect(await cancel(engine, run.id)).toEqual({ run, ended: true })
  expect(await engine.events(run)).toEqual(events)
})

test('a cancel of a run that is not there, or of somebody else, is run_not_found', async () => {
  const engine = await startEngine({ model: scriptedModel(['Done.']) })
  const { run } = await engine.finish()
  await expect(cancel(engine, 'run_none')).rejects.toMatchObject({ code: 'run_not_found' })
  const other = { owner: 'eve', namespace: '', name: 'eve' }
  await expect(engine.runs.cancel(other, run.id, 'x')).rejects.toMatchObject({ code: 'run_not_found' })
})

test('a cancel does not wait longer than five seconds for a run that cannot end', async () => {
  const clock = createFakeClock()
  const [held, letGo] = [deferred(), deferred()]
  const engine = await startEngine({
    model: scriptedModel(['Done.']),
    clock,
    onCommit: async (_commit, next) => {
      held.resolve()
      await letGo.promise
      return next()
    },
  })
  const run = await engine.start()
  await held.promise
  let answered = false
  const cancelling = cancel(engine, run.id).finally(() => {
    answered = true
  })
  await engine.store.ping()
  await clock.advance(4_999)
  expect(answered).toBe(false)
  await clock.advance(1)
  expect(await cancelling).toMatchObject({ ended: false, run: { status: 'running' } })
  letGo.resolve()
  expect((await engine.settled(run)).status).toBe('cancelled')
})

describe('a cancel at the same instant as the final answer', () => {
  test('ends the run once, one way or the other, and everybody agrees', async () => {
    const engine = await startEngine({ model: scriptedModel(() => 'All of it.') })
    const outcomes = { completed: 0, cancelled: 0 }
    for (let i = 0; i < 120; i++) {
      const started = await engine.start()
      const readers = [engine.events(started), engine.events(started)]
      // A different moment each time: from at once to well after the commit.
      for (let turn = 0; turn < i % 12; turn++) await new Promise((resolve) => setImmediate(resolve))
      const { run, ended } = await engine.runs.cancel(anonymous, started.id, 'race')
      const [live = [], live2] = await Promise.all(readers)
      const replay = await engine.events(started)
      const stored = await engine.load(started)
      expect(ended).toBe(true)
      expect(run).toEqual(stored)
      expect(live2).toEqual(live)
      expect(replay).toEqual(live)
      const ends = eventsOfType(live, 'run.end')
      expect(ends).toMatchObject([{ status: stored.status, output: stored.output }])
      expect(live.at(-1)).toEqual(ends[0])
      outcomes[stored.status as 'completed' | 'cancelled']++
    }
    expect(outcomes.completed).toBeGreaterThan(0)
    expect(outcomes.cancelled).toBeGreaterThan(0)
    expect(engine.gauges()).toEqual({ activeRuns: 0, tails: 0, readers: 0 })
  })

  test('wins while the end is not written: the whole answer stays as the output of a cancelled run', async () => {
    const [held, letGo] = [deferred(), deferred()]
    let first = true
    const engine = await startEngine({
      model: scriptedModel(['All of it.', 'ok']),
      onCommit: async (_commit, next) => {
        if (first) {
          first = false
          held.resolve()
          await letGo.promise
        }
        return next()
      },
    })
    const { id } = await engine.start({ conversation })
    await held.promise
    const cancelling = cancel(engine, id)
    await engine.store.ping()
    letGo.resolve()
    await cancelling
    const { run, items } = await expectCancelled(engine, id)
    expect(await engine.text(run)).toBe('All of it.')
    expect(items[1]?.item).not.toHaveProperty('partial')
    expect(run).toMatchObject({ steps: 1, usage: { output_tokens: 3 } })
  })
})
