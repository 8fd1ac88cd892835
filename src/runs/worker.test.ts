import { expect, test } from 'vitest'
import { createInProcessWakes } from '../live/in-process/in-process-wakes.ts'
import { silentLogger } from '../logger.ts'
import type { ClaimedRun, RunRecord, Store } from '../store/store.ts'
import { createFakeClock } from '../testing/fake-clock.ts'
import type { Executor } from './executor.ts'
import { createWorker } from './worker.ts'

/** A worker over a queue of run ids. */
function openWorker(options: { queue?: string[]; places?: number } = {}) {
  const clock = createFakeClock()
  const wakes = createInProcessWakes()
  const queue = options.queue ?? []
  const executing: string[] = []
  const state = {
    places: options.places ?? 10,
    taken: 0,
    held: true,
    looks: 0,
    claim: undefined as Error | undefined,
  }
  const store = {
    runs: {
      hasWork: async () => {
        state.looks++
        return queue.length > 0
      },
      claim: async (): Promise<ClaimedRun | null> => {
        if (state.claim) throw state.claim
        const id = queue.shift()
        // The worker reads nothing but these.
        return id === undefined
          ? null
          : ({ run: { id, attempt: 1 } as RunRecord, rescued: true } as ClaimedRun)
      },
    },
  }
  const executor = {
    reserve: () => {
      if (state.taken >= state.places) return undefined
      state.taken++
      return {
        execute: ({ run }: ClaimedRun) => void executing.push(run.id),
        release: () => void state.taken--,
      }
    },
  }
  const worker = createWorker({
    // All that a worker asks of a store and of an executor.
    store: store as unknown as Store,
    executor: executor as unknown as Executor,
    lease: { epoch: 1, held: () => state.held, leave: async () => {} },
    wakes,
    clock,
    logger: silentLogger,
    definitions: () => ({}),
  })
  return { worker, clock, wakes, queue, executing, state }
}

test('claims all there is when it starts, while there is room', async () => {
  const { worker, clock, executing, queue, state } = openWorker({ queue: ['a', 'b', 'c'], places: 2 })
  worker.start()
  await clock.advance(0)
  expect(executing).toEqual(['a', 'b'])
  state.taken = 0
  worker.poke()
  await clock.advance(0)
  expect(executing).toEqual(['a', 'b', 'c'])
  expect(queue).toEqual([])
})

test('looks when it is woken, and once a second by itself', async () => {
  const { worker, clock, wakes, queue, executing } = openWorker()
  worker.start()
  await clock.advance(0)
  queue.push('woken')
  wakes.work()
  await clock.advance(0)
  expect(executing).toEqual(['woken'])
  queue.push('polled')
  await clock.advance(999)
  expect(executing).toEqual(['woken'])
  await clock.advance(1)
  expect(executing).toEqual(['woken', 'polled'])
})

test('any number of wake-ups while it looks are one', async () => {
  const { worker, clock, state } = openWorker()
  worker.start()
  for (let i = 0; i < 100; i++) worker.poke()
  await clock.advance(0)
  expect(state.looks).toBe(2)
})

test('gives its place back where there is nothing to claim, or claiming fails, and tries again', async () => {
  const { worker, clock, queue, executing, state } = openWorker({ queue: ['a'] })
  state.claim = new Error('busy')
  worker.start()
  await clock.advance(0)
  expect(state.taken).toBe(0)
  state.claim = undefined
  await clock.advance(1_000)
  expect(executing).toEqual(['a'])
  expect(queue).toEqual([])
})

test('somebody else was faster: the place is given back', async () => {
  const { worker, clock, state, queue } = openWorker({ queue: ['a'] })
  worker.start()
  queue.length = 0
  await clock.advance(0)
  expect(state.taken).toBe(0)
})

test('claims nothing without the lease, nor after it was stopped', async () => {
  const { worker, clock, wakes, queue, executing, state } = openWorker({ queue: ['a'] })
  state.held = false
  worker.start()
  await clock.advance(0)
  expect(executing).toEqual([])
  state.held = true
  await worker.stop()
  queue.push('b')
  worker.poke()
  wakes.work()
  await clock.advance(10_000)
  expect(executing).toEqual([])
  expect(clock.pending()).toBe(0)
})

test('a stop while it looks claims nothing more', async () => {
  const { worker, executing } = openWorker({ queue: ['a'] })
  worker.start()
  await worker.stop()
  expect(executing).toEqual([])
})
