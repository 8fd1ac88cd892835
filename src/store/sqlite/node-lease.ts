import { AppError } from '../../errors.ts'
import type { Store } from '../store.ts'
import type { ProcessLock } from './process-lock.ts'
import { takeProcessLock } from './process-lock.ts'
import type { LiveEpoch } from './run-store.ts'
import type { WriterClient } from './writer-client.ts'

/** The lock on the file is the lease: who has it renews without a write, and nobody else has to wait for it to expire. */
export interface NodeLease extends LiveEpoch {
  nodes: Store['nodes']
  /** Gives up the lease if there is one, before the writer closes. */
  leave(now: number): Promise<void>
  /** Lets go of the lock. */
  release(): void
}

export function createNodeLease(path: string, writer: WriterClient): NodeLease {
  let lock: ProcessLock | undefined
  let epoch: number | undefined

  const release = () => {
    lock?.release()
    lock = undefined
    epoch = undefined
  }

  return {
    holds: (asked) => asked === epoch,
    release,
    async leave(now) {
      if (epoch !== undefined && !writer.dead) await writer.write('nodes.leave', { epoch, now })
    },
    nodes: {
      leaseExpires: false,
      async join(input) {
        const locked = lock
        lock ??= takeProcessLock(path)
        try {
          epoch = await writer.write('nodes.join', input)
        } catch (error) {
          if (!locked) release()
          throw error
        }
        return { epoch }
      },
      async renew(input) {
        if (writer.dead) throw new AppError('store_unavailable', { cause: writer.dead })
        return input.epoch === epoch
      },
      async leave(input) {
        await writer.write('nodes.leave', input)
        if (input.epoch === epoch) release()
      },
    },
  }
}
