import type { MessagePort } from 'node:worker_threads'
import { receiveMessageOnPort } from 'node:worker_threads'
import { openWritable } from './database.ts'
import type { Operation } from './operations.ts'
import { createOperations } from './operations.ts'
import { createWriter } from './writer.ts'

export interface WriterLoopOptions {
  path: string
  port: MessagePort
  /** `attemptGap` of events.ts, which the thread does not import because that would load the schemas, too. */
  attemptGap: number
}

/** Operations to run, or null: finish and close. */
export type WriterMessage = Operation[] | null

/** Bounds how long the first of a transaction waits for the last. */
const maxBatch = 512

/**
 * Owns the file's writes. A commit waits for the disk; what arrives meanwhile is the next transaction. Keep the imports few
 * and light: nothing is written before they are loaded.
 */
export function startWriterLoop({ path, port, attemptGap }: WriterLoopOptions): void {
  const db = openWritable(path)
  const write = createWriter(db, createOperations({ db, attemptGap }))
  const close = () => {
    db.close()
    port.close()
  }
  port.on('message', (first: WriterMessage) => {
    if (first === null) return close()
    const last = gather(port, first)
    port.postMessage(write(first))
    if (last) close()
  })
}

/** Adds what else has arrived. True: nothing more will come. */
function gather(port: MessagePort, batch: Operation[]): boolean {
  while (batch.length < maxBatch) {
    // Only writer-client.ts has the other end.
    const received = receiveMessageOnPort(port) as { message: WriterMessage } | undefined
    if (received === undefined) return false
    if (received.message === null) return true
    batch.push(...received.message)
  }
  return false
}
