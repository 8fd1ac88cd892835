import type { Wakes } from '../wake.ts'

/**
 * Wake-ups within one process. Listeners are called synchronously, inside whoever wakes: they must be cheap and must not
 * throw. After `close` nobody is called.
 */
export function createInProcessWakes(): Wakes {
  const work = createListeners<[]>()
  const cancel = createListeners<[runId: string]>()
  const committed = createListeners<[runId: string]>()
  return {
    work: work.call,
    onWork: work.add,
    cancel: cancel.call,
    onCancel: cancel.add,
    committed: committed.call,
    onCommitted: committed.add,
    close() {
      for (const listeners of [work, cancel, committed]) listeners.clear()
      return Promise.resolve()
    },
  }
}

function createListeners<Values extends unknown[]>() {
  const listeners = new Set<{ call: (...values: Values) => void }>()
  return {
    call: (...values: Values): void => {
      for (const { call } of listeners) call(...values)
    },
    add: (call: (...values: Values) => void): (() => void) => {
      const listener = { call }
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    clear: () => listeners.clear(),
  }
}
