import { mkdtemp, rm } from 'node:fs/promises'
import { enableCompileCache } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { describeStoreContract } from '../../src/testing/store-contract.ts'

// Every test starts a writer thread; without the cache that is most of its time.
enableCompileCache()

describeStoreContract('SQLite', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'parley-store-'))
  const path = join(folder, 'data', 'parley.db')
  let store = await openSqliteStore({ path })
  return {
    store,
    async reopen() {
      await store.close()
      store = await openSqliteStore({ path })
      return store
    },
    async cleanup() {
      await store.close()
      await rm(folder, { recursive: true })
    },
  }
})
