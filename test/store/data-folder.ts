import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Store } from '../../src/store/store.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'

/** A path for a data file in a folder of its own, which goes with the test. */
export function dataFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'parley-sqlite-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'parley.db')
}

/** Opens a store that is closed with the test. */
export async function openStore(path: string): Promise<Store> {
  const store = await openSqliteStore({ path })
  onTestFinished(() => store.close())
  return store
}

export function joinNode(store: Store): Promise<{ epoch: number }> {
  return store.nodes.join({ node_id: 'node_test', lease_ms: 10_000, now: Date.now() })
}
