import { expect, test } from 'vitest'
import { sleep } from '../clock.ts'
import { createFakeClock } from './fake-clock.ts'

test('stands still until it is moved', async () => {
  const clock = createFakeClock(1_000)
  const called: number[] = []
  clock.after(5, () => called.push(clock.now()))
  await clock.advance(4)
  expect([clock.now(), clock.monotonic(), called]).toEqual([1_004, 4, []])
  await clock.advance(1)
  expect(called).toEqual([1_005])
})

test('calls in order of time, then of asking, each at its own moment', async () => {
  const clock = createFakeClock(0)
  const called: string[] = []
  clock.after(20, () => called.push(`late at ${clock.now()}`))
  clock.after(10, () => called.push(`first at ${clock.now()}`))
  clock.after(10, () => called.push(`second at ${clock.now()}`))
  await clock.advance(100)
  expect(called).toEqual(['first at 10', 'second at 10', 'late at 20'])
  expect(clock.now()).toBe(100)
})

test('a timer that is set by what an earlier one started fires in the same advance', async () => {
  const clock = createFakeClock()
  const naps: number[] = []
  const work = (async () => {
    for (let i = 0; i < 3; i++) {
      await sleep({ clock, ms: 10 })
      naps.push(clock.monotonic())
    }
  })()
  await clock.advance(30)
  await work
  expect(naps).toEqual([10, 20, 30])
})

test('forgets a call, and counts what it waits for', async () => {
  const clock = createFakeClock()
  let calls = 0
  const forget = clock.after(1, () => calls++)
  clock.after(2, () => calls++)
  expect(clock.pending()).toBe(2)
  forget()
  forget()
  expect(clock.pending()).toBe(1)
  await clock.advance(10)
  expect([calls, clock.pending()]).toEqual([1, 0])
})

test('moves on until a promise is settled, and gives what it gives', async () => {
  const clock = createFakeClock(0)
  const nap = sleep({ clock, ms: 950 }).then(() => clock.monotonic())
  expect(await clock.advanceUntil(nap)).toBe(950)
  expect(clock.monotonic()).toBe(1_000)
  const failing = sleep({ clock, ms: 10 }).then(() => Promise.reject(new Error('no')))
  await expect(clock.advanceUntil(failing, 10)).rejects.toThrow('no')
  expect(clock.monotonic()).toBe(1_010)
})
