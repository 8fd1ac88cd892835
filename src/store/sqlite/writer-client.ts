import { getCompileCacheDir } from 'node:module'
import { setImmediate } from 'node:timers'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { AppError } from '../../errors.ts'
import { attemptGap } from '../../events.ts'
import type { Operation, OperationName, Operations } from './operations.ts'
import type { Outcome } from './writer.ts'
import type { WriterMessage } from './writer-loop.ts'
import type { WriterThreadData } from './writer-thread.ts'

export interface WriterClient {
  /**
   * Resolves when it is on disk. Operations of one turn of the event loop travel together and keep their order. Rejects
   * with `store_unavailable` when it could not be written, or when nobody can say whether it was because the writer died.
   */
  write<K extends OperationName>(
    name: K,
    input: Parameters<Operations[K]>[0],
  ): Promise<ReturnType<Operations[K]>>
  /** Set once the writer can no longer write. */
  readonly dead: AppError | undefined
  /** Finishes what was accepted. Idempotent. */
  close(): Promise<void>
}

interface Waiting {
  resolve: (value: unknown) => void
  reject: (error: AppError) => void
}

export interface WriterClientOptions {
  path: string
  /** The thread's program; for tests of its death. */
  program?: URL
}

/** Starts the writer thread and returns at once; what is written before it runs waits for it. */
export function createWriterClient(options: WriterClientOptions): WriterClient {
  return new ThreadWriter(options)
}

class ThreadWriter implements WriterClient {
  readonly #path: string
  readonly #worker: Worker
  readonly #port: MessageChannel['port1']
  readonly #exited: Promise<void>
  /** Accepted, not yet sent. */
  #outbox: Operation[] = []
  /** Who waits for an outcome, in the order of the operations. Outcomes come in that order. */
  #waiting: Waiting[] = []
  #closing: Promise<void> | undefined
  #dead: AppError | undefined

  constructor({ path, program }: WriterClientOptions) {
    this.#path = path
    const { port1, port2 } = new MessageChannel()
    const compileCache = getCompileCacheDir() !== undefined
    const workerData: WriterThreadData = { path, port: port2, attemptGap, compileCache }
    const file = import.meta.url.endsWith('.ts') ? './writer-thread.ts' : './writer-thread.js'
    this.#worker = new Worker(program ?? new URL(file, import.meta.url), {
      workerData,
      transferList: [port2],
      name: 'parley-store-writer',
    })
    this.#port = port1
    this.#port.on('message', (outcomes: Outcome[]) => this.#settle(outcomes))
    this.#exited = new Promise((resolve) => {
      this.#worker.once('error', (error) => this.#die(error))
      this.#worker.once('exit', (code) => {
        this.#die(new Error(`The writer thread ended with code ${code}.`))
        resolve()
      })
    })
    this.#rest()
  }

  get dead(): AppError | undefined {
    return this.#dead
  }

  write<K extends OperationName>(
    name: K,
    input: Parameters<Operations[K]>[0],
  ): Promise<ReturnType<Operations[K]>> {
    return new Promise((resolve, reject) => {
      if (this.#dead) return reject(this.#dead)
      if (this.#closing) return reject(closedError(this.#path))
      if (this.#waiting.length === 0) this.#hold()
      // What the operation of that name returns is what its promise is of.
      this.#waiting.push({ resolve: resolve as (value: unknown) => void, reject })
      if (this.#outbox.length === 0) setImmediate(() => this.#flush())
      this.#outbox.push([name, input] as Operation)
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#shut()
    return this.#closing
  }

  async #shut(): Promise<void> {
    if (!this.#dead) {
      this.#hold()
      this.#flush()
      this.#post(null)
    }
    await this.#exited
    this.#port.close()
  }

  #flush(): void {
    if (this.#outbox.length === 0 || this.#dead) return
    const batch = this.#outbox
    this.#outbox = []
    this.#post(batch)
  }

  #post(message: WriterMessage): void {
    this.#port.postMessage(message)
  }

  #settle(outcomes: Outcome[]): void {
    const settled = this.#waiting.splice(0, outcomes.length)
    for (const [i, { resolve, reject }] of settled.entries()) {
      const outcome = outcomes[i]
      if (outcome && 'value' in outcome) resolve(outcome.value)
      else reject(toError(outcome))
    }
    if (this.#waiting.length === 0 && !this.#closing) this.#rest()
  }

  #die(cause: unknown): void {
    // Outcomes that were sent before the death may still be in the port; they count.
    this.#drain()
    this.#dead ??= this.#closing
      ? closedError(this.#path)
      : new AppError('store_unavailable', { message: 'The store has stopped working.', cause })
    const lost = this.#waiting
    this.#waiting = []
    this.#outbox = []
    for (const { reject } of lost) reject(this.#dead)
    this.#rest()
  }

  #drain(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { message: Outcome[] } | undefined
      if (!received) return
      this.#settle(received.message)
    }
  }

  /** While somebody waits, the process must not end by itself. */
  #hold(): void {
    this.#worker.ref()
    this.#port.ref()
  }

  /** An idle store is no reason to live. */
  #rest(): void {
    this.#worker.unref()
    this.#port.unref()
  }
}

function closedError(path: string): AppError {
  return new AppError('store_unavailable', { cause: new Error(`The store of ${path} is closed.`) })
}

function toError(outcome: Outcome | undefined): AppError {
  if (!outcome || !('failure' in outcome))
    return new AppError('internal', { cause: new Error('No outcome.') })
  const { code, message, sqliteCode } = outcome.failure
  return new AppError(code, { cause: new Error(sqliteCode ? `${sqliteCode}: ${message}` : message) })
}
