import { getEventListeners } from 'node:events'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createConcurrencyLimit } from './concurrency-limit.ts'

const open = new AbortController().signal

/** A task that runs until it is told to end. */
function createTask<T>(result: T) {
  const end = Promise.withResolvers<T>()
  const started = Promise.withResolvers<void>()
  let runs = 0
  return {
    run: () => {
      runs++
      started.resolve()
      return end.promise
    },
    started: started.promise,
    runs: () => runs,
    end: () => end.resolve(result),
    fail: (error: Error) => end.reject(error),
  }
}

describe('a concurrency limit', () => {
  test('lets the others wait, and starts them in the order they came', async () => {
    const limit = createConcurrencyLimit(1)
    const tasks = [0, 1, 2].map(createTask)
    const results = tasks.map((task) => limit.run(task.run, { signal: open }))
    await tasks[0]!.started
    expect([limit.inFlight(), limit.waiting()]).toEqual([1, 2])
    tasks[0]!.end()
    await tasks[1]!.started
    expect(tasks[2]!.runs()).toBe(0)
    tasks[1]!.end()
    await tasks[2]!.started
    tasks[2]!.end()
    expect(await Promise.all(results)).toEqual([0, 1, 2])
    expect([limit.inFlight(), limit.waiting()]).toEqual([0, 0])
  })

  test('gives a free place to who waits, not to who comes in that moment', async () => {
    const limit = createConcurrencyLimit(1)
    const [first, waiting, late] = [0, 1, 2].map(createTask)
    const done = limit.run(first!.run, { signal: open })
    void limit.run(waiting!.run, { signal: open })
    first!.end()
    await done
    void limit.run(late!.run, { signal: open })
    await waiting!.started
    expect([late!.runs(), limit.inFlight(), limit.waiting()]).toEqual([0, 1, 1])
  })

  test('lets go of who gives up, at once and for good', async () => {
    const limit = createConcurrencyLimit(1)
    const [first, quitter, last] = [0, 1, 2].map(createTask)
    void limit.run(first!.run, { signal: open })
    const reason = new Error('gone')
    const abort = new AbortController()
    const given = limit.run(quitter!.run, { signal: abort.signal })
    const after = limit.run(last!.run, { signal: open })
    abort.abort(reason)
    await expect(given).rejects.toBe(reason)
    expect(limit.waiting()).toBe(1)
    first!.end()
    await last!.started
    last!.end()
    await after
    expect([quitter!.runs(), limit.inFlight(), limit.waiting()]).toEqual([0, 0, 0])
  })

  test('does not start a task whose signal fires while its place is handed over', async () => {
    const runs: boolean[] = []
    for (let ticks = 0; ticks < 10; ticks++) {
      const limit = createConcurrencyLimit(1)
      const first = createTask(0)
      const abort = new AbortController()
      void limit.run(first.run, { signal: open })
      let ran = false
      const second = async () => {
        expect(abort.signal.aborted).toBe(false)
        ran = true
      }
      const given = limit.run(second, { signal: abort.signal }).then(
        () => 'ran',
        (error: Error) => error.message,
      )
      first.end()
      for (let i = 0; i < ticks; i++) await Promise.resolve()
      abort.abort(new Error('late'))
      expect(await given).toBe(ran ? 'ran' : 'late')
      expect([limit.inFlight(), limit.waiting()]).toEqual([0, 0])
      runs.push(ran)
    }
    // Both sides of the moment were seen.
    expect(new Set(runs).size).toBe(2)
  })

  test('leaves nothing behind at a signal, neither of who got in nor of who gave up', async () => {
    const limit = createConcurrencyLimit(1)
    const [first, second] = [0, 1].map(createTask)
    const { signal } = new AbortController()
    const quitter = new AbortController()
    const calls = [first, second].map((task) => limit.run(task!.run, { signal }))
    const given = limit.run(createTask(2).run, { signal: quitter.signal })
    quitter.abort(new Error('gone'))
    await expect(given).rejects.toThrow('gone')
    first!.end()
    second!.end()
    await Promise.all(calls)
    expect([signal, quitter.signal].map((one) => getEventListeners(one, 'abort').length)).toEqual([0, 0])
  })

  test('does not let in who has given up before', async () => {
    const limit = createConcurrencyLimit(1)
    const task = createTask(0)
    await expect(limit.run(task.run, { signal: AbortSignal.abort(new Error('never')) })).rejects.toThrow(
      'never',
    )
    expect([task.runs(), limit.inFlight()]).toEqual([0, 0])
  })

  test('frees the place of a task that fails', async () => {
    const limit = createConcurrencyLimit(1)
    const [first, second] = [0, 1].map(createTask)
    const failing = limit.run(first!.run, { signal: open })
    const following = limit.run(second!.run, { signal: open })
    first!.fail(new Error('broken'))
    await expect(failing).rejects.toThrow('broken')
    await second!.started
    second!.end()
    expect(await following).toBe(1)
  })

  test('frees the place of a task that throws before it has a promise', async () => {
    const limit = createConcurrencyLimit(1)
    const throwing = () => {
      throw new Error('broken')
    }
    await expect(limit.run(throwing, { signal: open })).rejects.toThrow('broken')
    expect(limit.inFlight()).toBe(0)
  })

  test('never has more in flight than it may, nor fewer than it could, and loses nobody', async () => {
    type Action = { type: 'ask' } | { type: 'end' | 'fail' | 'abort'; which: number }
    const which = fc.nat(30)
    const action: fc.Arbitrary<Action> = fc.oneof(
      fc.constant<Action>({ type: 'ask' }),
      fc.record({ type: fc.constantFrom('end' as const, 'fail' as const, 'abort' as const), which }),
    )
    const property = fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(action, { maxLength: 60 }),
      async (max, actions) => {
        const limit = createConcurrencyLimit(max)
        const asked: {
          task: ReturnType<typeof createTask<number>>
          abort: AbortController
          running: boolean
          over: boolean
        }[] = []
        const order: number[] = []
        const all: Promise<unknown>[] = []
        const ask = () => {
          const entry = {
            task: createTask(asked.length),
            abort: new AbortController(),
            running: false,
            over: false,
          }
          const number = asked.push(entry) - 1
          const run = async () => {
            order.push(number)
            entry.running = true
            // As a model does: it ends when its signal fires.
            const aborted = new Promise((_, reject) =>
              entry.abort.signal.addEventListener('abort', () => reject(new Error('aborted'))),
            )
            return Promise.race([entry.task.run(), aborted]).finally(() => (entry.running = false))
          }
          const call = limit.run(run, { signal: entry.abort.signal })
          all.push(call.catch(() => undefined).finally(() => (entry.over = true)))
        }
        const settle = () => new Promise((resolve) => setImmediate(resolve))
        for (const step of actions) {
          const entry = step.type === 'ask' ? undefined : asked[step.which]
          if (step.type === 'ask') ask()
          else if (step.type === 'abort') entry?.abort.abort(new Error('aborted'))
          else if (entry?.running) entry.task[step.type](new Error('failed'))
          await settle()
          const open = asked.filter(({ over }) => !over).length
          expect(limit.inFlight()).toBe(Math.min(max, open))
          expect(asked.filter(({ running }) => running)).toHaveLength(limit.inFlight())
          expect(limit.waiting()).toBe(Math.max(0, open - max))
        }
        for (const entry of asked) entry.task.end()
        await Promise.all(all)
        expect(order).toEqual(order.toSorted((x, y) => x - y))
        expect([limit.inFlight(), limit.waiting()]).toEqual([0, 0])
      },
    )
    await fc.assert(property, { numRuns: 100 })
  })
})
