import { createId } from '../../src/ids.ts'
import type { CreateRun } from '../../src/store/store.ts'
import { userMessage } from '../../src/testing/store-scene.ts'

export const scope = { owner: 'alice', namespace: '' }

/** A request for a run of its own, claimed where an epoch is given. */
export function createInput(epoch?: number, text = 'hello'): CreateRun {
  return {
    scope,
    run: { id: createId('run'), agent: 'a', options: {}, background: false, on_disconnect: 'cancel' },
    input: [userMessage(text)],
    on_conflict: 'queue',
    wait_for_suspended: true,
    max_waiting: 32,
    ...(epoch === undefined ? {} : { claim: { epoch, definitions: {} } }),
    now: Date.now(),
  }
}
