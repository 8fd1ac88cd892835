import { enableCompileCache } from 'node:module'
import { workerData } from 'node:worker_threads'
import type { WriterLoopOptions } from './writer-loop.ts'

export interface WriterThreadData extends WriterLoopOptions {
  /** Whether the process caches compiled code. A thread does not inherit that, and starts twice as fast with it. */
  compileCache: boolean
}

// Made by writer-client.ts.
const { compileCache, ...options } = workerData as WriterThreadData
if (compileCache) enableCompileCache()
const { startWriterLoop } = await import('./writer-loop.ts')
startWriterLoop(options)
