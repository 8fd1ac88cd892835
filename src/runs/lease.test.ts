import { describe, expect, test } from 'vitest'
import { silentLogger } from '../logger.ts'
import type { Store } from '../store/store.ts'
import { createFakeClock } from '../testing/fake-clock.ts'
import { joinLease } from './lease.ts'

async function join(options: { leaseExpires?: boolean; renew?: () => Promise<boolean> } = {}) {
  const clock = createFakeClock()
  const asked = { renewals: 0, leaves: 0, lost: 0 }
  const nodes: Store['nodes'] = {
    leaseExpires: options.leaseExpires ?? true,
    join: async () => ({ epoch: 7 }),
    renew: async () => {
      asked.renewals++
      return options.renew ? options.renew() : true
    },
    leave: async () => void asked.leaves++,
  }
  const lease = await joinLease({
    // All that a lease asks of a store.
    store: { nodes } as unknown as Store,
    clock,
    logger: silentLogger,
    nodeId: 'node_1',
    leaseMs: 9_000,
    onLost: () => asked.lost++,
  })
  return { lease, clock, asked }
}

describe('a lease that expires', () => {
  test('is renewed three times in its length', async () => {
    const { lease, clock, asked } = await join()
    expect(lease.epoch).toBe(7)
    await clock.advance(2_999)
    expect(asked.renewals).toBe(0)
    await clock.advance(1)
    expect(asked.renewals).toBe(1)
    await clock.advance(60_000)
    expect(asked.renewals).toBe(21)
    expect(lease.held()).toBe(true)
    expect(asked.lost).toBe(0)
  })

  test('is lost for good, and told once, when a renewal is refused', async () => {
    const { lease, clock, asked } = await join({ renew: async () => false })
    await clock.advance(60_000)
    expect(asked).toEqual({ renewals: 1, leaves: 0, lost: 1 })
    expect(lease.held()).toBe(false)
  })

  test('outlives a store that fails for less than its length', async () => {
    let fails = 2
    const { lease, clock, asked } = await join({
      renew: async () => {
        if (fails-- > 0) throw new Error('down')
        return true
      },
    })
    await clock.advance(8_999)
    expect(lease.held()).toBe(true)
    await clock.advance(30_000)
    expect(asked.lost).toBe(0)
  })

  test('is not held from the moment its length is over, also while a renewal hangs', async () => {
    const { lease, clock } = await join({ renew: () => new Promise(() => {}) })
    await clock.advance(8_999)
    expect(lease.held()).toBe(true)
    await clock.advance(1)
    expect(lease.held()).toBe(false)
  })

  test('is lost when the store fails for longer', async () => {
    const { clock, asked } = await join({
      renew: async () => {
        throw new Error('down')
      },
    })
    await clock.advance(9_000)
    expect(asked.lost).toBe(1)
    await clock.advance(60_000)
    expect(asked).toEqual({ renewals: 3, leaves: 0, lost: 1 })
  })

  test('is not renewed, and cannot be lost, after it was given up', async () => {
    const { lease, clock, asked } = await join({ renew: async () => false })
    await lease.leave()
    await clock.advance(60_000)
    expect(asked).toEqual({ renewals: 0, leaves: 1, lost: 0 })
    expect(lease.held()).toBe(false)
    expect(clock.pending()).toBe(0)
  })
})

test('an embedded lease holds without renewal until it is given up', async () => {
  const { lease, clock, asked } = await join({ leaseExpires: false })
  await clock.advance(3_600_000)
  expect(lease.held()).toBe(true)
  expect(asked.renewals).toBe(0)
  await lease.leave()
  expect(lease.held()).toBe(false)
})
