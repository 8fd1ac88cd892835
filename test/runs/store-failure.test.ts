import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { systemClock } from '../../src/clock.ts'
import { AppError } from '../../src/errors.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { createId } from '../../src/ids.ts'
import { createInProcessTails } from '../../src/live/in-process/in-process-tails.ts'
import { createInProcessWakes } from '../../src/live/in-process/in-process-wakes.ts'
import { silentLogger } from '../../src/logger.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createEngine } from '../../src/runs/engine.ts'
import { eventsOf } from '../../src/runs/runs.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import type { Store } from '../../src/store/store.ts'
import { directoryOf, startEngine as startWholeEngine, typesOf } from '../agent/engine-under-test.ts'

/** An engine whose store refuses the first `failures` commits. */
async function startEngine(failures: number) {
  const folder = await mkdtemp(join(tmpdir(), 'parley-store-failure-'))
  const store = await openSqliteStore({ path: join(folder, 'parley.db') })
  let left = failures
  const commit: Store['runs']['commit'] = (input) => {
    if (left-- > 0)
      return Promise.reject(new AppError('store_unavailable', { cause: new Error('disk full') }))
    return store.runs.commit(input)
  }
  const assistant = agent({ name: 'assistant', model: scriptedModel(['Hello there.'], { atEnd: 'loop' }) })
  // A clock on which waits are over at once: how long the engine waits between tries is not what is tested.
  const clock = {
    ...systemClock,
    after: (ms: number, call: () => void) => systemClock.after(ms > 100_000 ? ms : 0, call),
  }
  const directory = directoryOf({ agents: [assistant] })
  const engine = await createEngine({
    store: { ...store, runs: { ...store.runs, commit } },
    tails: createInProcessTails(),
    wakes: createInProcessWakes(),
    clock,
    logger: silentLogger,
    agents: new Map([['assistant', assistant]]),
    directory,
    definitions: directory.definitions,
    nodeId: createId('node'),
    leaseMs: 10_000,
    runTimeoutMs: 600_000,
    maxConcurrentRuns: 10,
    maxWaitingRuns: 10,
    maxQueuedRuns: 10,
    maxFileBytes: 1024,
    sessionTimeoutMs: 3_600_000,
    runLogRetentionMs: 3_600_000,
  })
  onTestFinished(async () => {
    await engine.drain(0)
    await engine.close()
    await store.close()
    await rm(folder, { recursive: true, force: true })
  })
  return engine
}

test.each([1, 2, 5])('a run ends as failed when the store refuses its first %i commits', async (failures) => {
  const engine = await startEngine(failures)
  const content = [{ type: 'text' as const, text: 'hi' }]
  const { run } = await engine.runs.create({
    principal: anonymous,
    agent: 'assistant',
    input: [{ type: 'message', id: createId('item'), role: 'user', content }],
  })
  const types: string[] = []
  for await (const event of eventsOf(engine.runs.read({ run, after: 0 }))) types.push(event.type)
  expect(types.filter((type) => type === 'run.end')).toHaveLength(1)
  const ended = await engine.runs.get(anonymous, run.id)
  expect(ended).toMatchObject({ status: 'failed', error: { code: 'store_unavailable' } })
  expect(engine.gauges().activeRuns).toBe(0)
})

test('an answer that was shown is kept where the store fails at it once, and its end is written', async () => {
  let failed = false
  const engine = await startWholeEngine({
    model: scriptedModel(['Hello there.']),
    onCommit(commit, next) {
      if (failed || commit.end === undefined) return next()
      failed = true
      return Promise.reject(new AppError('internal', { cause: new Error('no outcome') }))
    },
  })
  const { run, events, text } = await engine.finish()
  expect(run).toMatchObject({ status: 'failed', error: { code: 'internal' }, steps: 1 })
  expect(text).toBe('Hello there.')
  expect(typesOf(events).slice(-3)).toEqual(['text.end', 'step.end', 'run.end'])
  expect(await engine.events(run)).toEqual(events)
})
