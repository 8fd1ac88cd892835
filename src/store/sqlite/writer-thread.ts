import type { MessagePort } from 'node:worker_threads'
import { receiveMessageOnPort, workerData } from 'node:worker_threads'
import { openWritable } from './database.ts'
import type { Operation } from './operations.ts'
import { createOperations } from './operations.ts'
import { createWriter } from './writer.ts'

/*
 * The thread that owns the file's writes. A commit waits for the disk; what arrives meanwhile is the next transaction.
 * Keep the imports few and light: nothing is written before they are loaded.
 */

export interface WriterThreadData {
  path: string
  port: MessagePort
  /** `attemptGap` of events.ts, which this thread does not import because that would load the schemas, too. */
  attemptGap: number
}

/** Operations to run, or null: finish and close. */
export type WriterMessage = Operation[] | null

/** Bounds how long the first of a transaction waits for the last. */
const maxBatch = 512

// Made by writer-client.ts.
const { path, port, attemptGap } = workerData as WriterThreadData
const db = openWritable(path)
const write = createWriter(db, createOperations({ db, attemptGap }))

port.on('message', (first: WriterMessage) => {
  if (first === null) return close()
  const last = gather(first)
  port.postMessage(write(first))
  if (last) close()
})

/** Adds what else has arrived. True: nothing more will come. */
function gather(batch: Operation[]): boolean {
  while (batch.length < maxBatch) {
    const message = receive()
    if (message === undefined) return false
    if (message === null) return true
    batch.push(...message)
  }
  return false
}

function receive(): WriterMessage | undefined {
  // Only writer-client.ts has the other end.
  return (receiveMessageOnPort(port) as { message: WriterMessage } | undefined)?.message
}

function close(): void {
  db.close()
  port.close()
}
