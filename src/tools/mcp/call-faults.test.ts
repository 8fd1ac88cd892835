import { expect, test } from 'vitest'
import { CallTimeout } from './call-faults.ts'

test.each([
  [19_999.908510999987, 20],
  [60_000, 60],
  [150, 0.15],
  [1, 0.01],
])('%d ms are told to people as %d s', (ms, seconds) => {
  expect(new CallTimeout(ms).seconds).toBe(seconds)
})
