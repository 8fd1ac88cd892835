import { expect, test } from 'vitest'
import { silentLogger } from '../logger.ts'
import type { RunRecord, Store } from '../store/store.ts'
import { createFakeClock } from '../testing/fake-clock.ts'
import { createRetention } from './retention.ts'

function openRetention() {
  const clock = createFakeClock()
  const expired: string[][] = []
  const left = { prune: [] as number[], fails: false }
  const prunes: { now: number; log_before: number; limit: number }[] = []
  const changed: string[] = []
  const store = {
    approvals: { expire: async () => (expired.shift() ?? []).map((id) => ({ id }) as RunRecord) },
    runs: { overdue: async () => [] },
    retention: {
      prune: async (input: (typeof prunes)[number]) => {
        if (left.fails) throw new Error('disk')
        prunes.push(input)
        return left.prune.shift() ?? 0
      },
    },
  }
  const retention = createRetention({
    // All that housekeeping asks of a store.
    store: store as unknown as Store,
    clock,
    logger: silentLogger,
    runLogRetentionMs: 1_000,
    onChange: (run) => changed.push(run.id),
  })
  return { retention, clock, expired, left, prunes, changed }
}

test('a sweep goes on until nothing is left, and tells of every run it changed', async () => {
  const { retention, clock, expired, left, prunes, changed } = openRetention()
  expired.push(['run_1', 'run_2'], ['run_3'])
  left.prune.push(200, 200, 5)
  await retention.sweep()
  expect(changed).toEqual(['run_1', 'run_2', 'run_3'])
  expect(prunes).toHaveLength(4)
  expect(prunes[0]).toMatchObject({ now: clock.now(), log_before: clock.now() - 1_000 })
})

test('sweeps once a minute from its start to its stop', async () => {
  const { retention, clock, prunes } = openRetention()
  retention.start()
  await clock.advance(59_999)
  expect(prunes).toHaveLength(0)
  await clock.advance(1)
  expect(prunes).toHaveLength(1)
  await clock.advance(120_000)
  expect(prunes).toHaveLength(3)
  await retention.stop()
  await clock.advance(120_000)
  expect(prunes).toHaveLength(3)
  expect(clock.pending()).toBe(0)
})

test('a sweep that fails is tried again a minute later', async () => {
  const { retention, clock, left, prunes } = openRetention()
  left.fails = true
  retention.start()
  await clock.advance(60_000)
  left.fails = false
  await clock.advance(60_000)
  expect(prunes).toHaveLength(1)
})

test('two sweeps at once are one', async () => {
  const { retention, prunes } = openRetention()
  await Promise.all([retention.sweep(), retention.sweep()])
  expect(prunes).toHaveLength(1)
})
