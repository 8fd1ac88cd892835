import { statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { dataFile, openStore } from './data-folder.ts'

test('the data folder is made with those above it, for its owner alone', async () => {
  const above = join(dirname(dataFile()), 'a')
  const folder = join(above, 'b')
  await openStore(join(folder, 'parley.db'))
  for (const made of [above, folder]) expect(statSync(made).mode & 0o777).toBe(0o700)
  await openStore(join(folder, 'other.db'))
})

test('a folder that cannot be made is store_unavailable, and names the folder', async () => {
  const file = dataFile()
  writeFileSync(file, '')
  for (const folder of [file, join(file, 'a', 'b'), '/dev/null/a', '/proc/parley/a'])
    await expect(openSqliteStore({ path: join(folder, 'parley.db') })).rejects.toMatchObject({
      code: 'store_unavailable',
      message: `The data folder ${folder} cannot be made.`,
    })
})
