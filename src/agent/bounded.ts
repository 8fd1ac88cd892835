import { setImmediate } from 'node:timers/promises'
import { createContext, Script, type Context } from 'node:vm'

/** The call took longer than it may. */
export class TookTooLong extends Error {
  constructor(ms: number) {
    super(`took longer than ${ms} ms`)
    this.name = 'TookTooLong'
  }
}

let place: Context | undefined
let isBusy = false
const script = new Script('task()')

/** What several bounded pieces of work may take together, in milliseconds. They use it up. */
export interface TimeLeft {
  ms: number
}

let timeLeft: TimeLeft | undefined

/** What a synchronous function gives. What it does `within` a time has no more than what is left, and takes from that. */
export function sharing<T>(time: TimeLeft, task: () => T): T {
  const outer = timeLeft
  timeLeft = time
  try {
    return task()
  } finally {
    timeLeft = outer
  }
}

/**
 * What a synchronous function gives. Throws `TookTooLong` after `ms`: for work whose length a caller decides, such as matching a
 * pattern that came with a request, which may need longer than the world exists. The function must leave nothing half done.
 * One within another has the time of the outer.
 */
export function within<T>(ms: number, task: () => T): T {
  if (isBusy) return task()
  const shared = timeLeft
  const timeout = shared ? Math.min(ms, Math.ceil(shared.ms)) : ms
  if (timeout <= 0) throw new TookTooLong(ms)
  // Node's only way to stop what does not stop by itself; no other realm is meant: the function is ours.
  place ??= createContext({})
  place.task = task
  isBusy = true
  const start = performance.now()
  try {
    // What the task gives comes through unchanged.
    return script.runInContext(place, { timeout }) as T
  } catch (error) {
    if (isTimeout(error)) throw new TookTooLong(timeout)
    throw error
  } finally {
    place.task = undefined
    isBusy = false
    const took = performance.now() - start
    if (shared) shared.ms -= took
    if (took >= maxTurnMs && !lastTurn) void queueTurn()
  }
}

/** Beyond it others go on before the next work. */
const maxTurnMs = 10

let lastTurn: Promise<void> | undefined

/**
 * Before work of which there may be much at once: nothing to wait for, or where such work has just taken long, a turn of its
 * own. Other events are handled between two turns.
 */
export function turn(): Promise<void> | undefined {
  return lastTurn && queueTurn()
}

function queueTurn(): Promise<void> {
  const mine: Promise<void> = (lastTurn ?? Promise.resolve())
    .then(() => setImmediate())
    .then(() => {
      if (lastTurn === mine) lastTurn = undefined
    })
  lastTurn = mine
  return mine
}

/** Not by `instanceof`: it is an error of the other realm. */
function isTimeout(error: unknown): boolean {
  if (typeof error !== 'object' || error === null || !('code' in error)) return false
  return error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
}
