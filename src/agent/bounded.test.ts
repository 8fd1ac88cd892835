import { expect, test } from 'vitest'
import { sharing, TookTooLong, turn, within } from './bounded.ts'

test('gives what the function gives, itself', () => {
  const value = { a: 1 }
  expect(within(1_000, () => value)).toBe(value)
})

test('throws what the function throws', () => {
  const fault = new RangeError('no')
  expect(() =>
    within(1_000, () => {
      throw fault
    }),
  ).toThrow(fault)
})

test('ends a pattern that would never end', () => {
  expect(() => within(20, () => /^(a+)+$/.test(`${'a'.repeat(60)}!`))).toThrow(TookTooLong)
  expect(within(1_000, () => 'still here')).toBe('still here')
})

test('ends a loop', () => {
  const forever = () => {
    for (;;);
  }
  expect(() => within(10, forever)).toThrow(TookTooLong)
})

test('one within another has what is left to the outer', () => {
  const slow = () => /^(a+)+$/.test(`${'a'.repeat(60)}!`)
  expect(() => within(20, () => within(60_000, slow))).toThrow(new TookTooLong(20))
  expect(within(1_000, () => within(1, () => 'through'))).toBe('through')
})

test('what shares a time has no more than what is left of it, and is not begun where nothing is', () => {
  const slow = () => /^(a+)+$/.test(`${'a'.repeat(60)}!`)
  const time = { ms: 30 }
  expect(() => sharing(time, () => within(20, slow))).toThrow(new TookTooLong(20))
  expect(time.ms).toBeLessThan(12)
  expect(() => sharing(time, () => within(60_000, slow))).toThrow(TookTooLong)
  expect(time.ms).toBeLessThanOrEqual(0)
  let begun = false
  expect(() => sharing(time, () => within(20, () => (begun = true)))).toThrow(TookTooLong)
  expect(begun).toBe(false)
  // Outside of it time is as long as ever.
  expect(within(1_000, () => 'still here')).toBe('still here')
})

test('many that take long have a turn each, with others in between', async () => {
  const slow = () => within(15, () => /^(a+)+$/.test(`${'a'.repeat(60)}!`))
  const seen: string[] = []
  const worker = async () => {
    await turn()
    seen.push('work')
    setImmediate(() => seen.push('other'))
    expect(slow).toThrow(TookTooLong)
  }
  expect(slow).toThrow(TookTooLong)
  await Promise.all([worker(), worker(), worker()])
  expect(seen).toEqual(['work', 'other', 'work', 'other', 'work'])
  while (turn()) await turn()
  within(1_000, () => 'quick')
  expect(turn()).toBeUndefined()
})
