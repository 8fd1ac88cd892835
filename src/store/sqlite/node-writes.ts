import type { WriteContext } from './write-context.ts'

export function createNodeWrites({ db, lease }: WriteContext) {
  const newest = db.prepare<[], number | null>('SELECT max(epoch) FROM nodes').pluck()
  const voidOthers = db.prepare('UPDATE nodes SET voided_at = ? WHERE voided_at IS NULL')
  const insert = db.prepare(
    'INSERT INTO nodes (epoch, node_id, joined_at, expires_at, voided_at) VALUES (?, ?, ?, ?, NULL)',
  )
  // Only the newest row is needed to count on; the rest is for people who look.
  const forget = db.prepare('DELETE FROM nodes WHERE epoch < ? - 100')
  const voidOne = db.prepare('UPDATE nodes SET voided_at = ? WHERE epoch = ? AND voided_at IS NULL')
  const writeHeader = db.prepare('PRAGMA user_version = 0')

  return {
    /** The caller holds the process lock. */
    'nodes.join'(input: { node_id: string; lease_ms: number; now: number }): number {
      const epoch = (newest.get() ?? 0) + 1
      voidOthers.run(input.now)
      insert.run(epoch, input.node_id, input.now, input.now + input.lease_ms)
      forget.run(epoch)
      lease.set(epoch)
      return epoch
    },

    'nodes.leave'(input: { epoch: number; now: number }): void {
      voidOne.run(input.now, input.epoch)
      if (lease.holds(input.epoch)) lease.set(undefined)
    },

    /** Goes the way of every write, down to the disk: sets an unused field of the file's header to what it is. */
    ping(_input: null): void {
      writeHeader.run()
    },
  }
}
