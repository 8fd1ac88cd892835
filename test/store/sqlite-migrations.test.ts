import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { migrationNames, migrationTable } from '../../src/store/migrations/migration-names.ts'
import { createMigrations } from '../../src/store/migrations/migrations.ts'
import { openWritable } from '../../src/store/sqlite/database.ts'
import { migrate, migrationStatus } from '../../src/store/sqlite/migrate.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { startChild } from './child-process.ts'
import { createInput } from './create-input.ts'
import { dataFile, joinNode, openStore } from './data-folder.ts'

function schemaOf(path: string): unknown[] {
  const db = openWritable(path)
  const schema = db.prepare('SELECT type, name, sql FROM sqlite_master ORDER BY type, name').all()
  db.close()
  return schema
}

const all = (applied: boolean) => migrationNames.map((name) => ({ name, applied }))

describe('migrations', () => {
  test('are the ones that are named, in their order', () => {
    expect(Object.keys(createMigrations('sqlite'))).toEqual([...migrationNames])
    expect([...migrationNames]).toEqual(migrationNames.toSorted())
  })

  test('down then up gives the same schema, empty', async () => {
    const path = dataFile()
    const store = await openSqliteStore({ path })
    const input = createInput((await joinNode(store)).epoch)
    await store.runs.create(input)
    await store.close()
    const before = schemaOf(path)
    expect(migrationStatus(path)).toEqual(all(true))

    const undone: string[] = []
    for (let step = await migrate(path, 'down'); step.length > 0; step = await migrate(path, 'down')) {
      expect(step).toHaveLength(1)
      undone.push(...step)
    }
    expect(undone).toEqual(migrationNames.toReversed())
    expect(migrationStatus(path)).toEqual(all(false))
    expect(JSON.stringify(schemaOf(path))).not.toContain('runs')

    expect(await migrate(path, 'up')).toEqual([...migrationNames])
    expect(await migrate(path, 'up')).toEqual([])
    expect(schemaOf(path)).toEqual(before)
    const again = await openStore(path)
    expect(await again.runs.load(input.run.id)).toBeUndefined()
  })

  test('status changes nothing', () => {
    const path = dataFile()
    expect(migrationStatus(path)).toEqual(all(false))
    expect(existsSync(path)).toBe(false)
  })

  test('one that fails leaves nothing of itself', async () => {
    const path = dataFile()
    const db = openWritable(path)
    // In the way of the last table of the first migration.
    db.exec('CREATE TABLE idempotency (other TEXT)')
    db.close()
    const before = schemaOf(path)
    await expect(openSqliteStore({ path })).rejects.toMatchObject({ code: 'store_unavailable' })
    expect(schemaOf(path)).toEqual(before)
  })

  test('a file of a newer version is refused, by open and by migrate, and stays as it is', async () => {
    const path = dataFile()
    await (await openSqliteStore({ path })).close()
    const db = openWritable(path)
    db.prepare(`INSERT INTO ${migrationTable} (name, timestamp) VALUES ('999-future', '2030')`).run()
    db.close()
    const before = schemaOf(path)
    const refusal = {
      code: 'store_unavailable',
      retryable: false,
      message: expect.stringMatching(
        /has schema 999-future, which this version of Parley does not know/,
      ) as string,
    }
    await expect(openSqliteStore({ path })).rejects.toMatchObject(refusal)
    await expect(migrate(path, 'up')).rejects.toMatchObject(refusal)
    await expect(migrate(path, 'down')).rejects.toMatchObject(refusal)
    expect(schemaOf(path)).toEqual(before)
  })

  test('two processes may open a new file at the same time', async () => {
    const path = dataFile()
    const children = [1, 2].map(() => startChild('opening-process.ts', [path]))
    for (const child of children) expect(await child.line(() => true)).toMatch(/^loaded /)
    expect(migrationStatus(path)).toEqual(all(true))
  })

  test('a file that is up to date is opened without the library that migrates', async () => {
    const path = dataFile()
    const open = () => startChild('opening-process.ts', [path]).line(() => true)
    expect(await open()).toContain('kysely')
    const loaded = await open()
    expect(loaded).toContain('better-sqlite3')
    expect(loaded).not.toContain('kysely')
  })
})
