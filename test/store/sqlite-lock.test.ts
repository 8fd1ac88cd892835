import { existsSync, symlinkSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { migrate } from '../../src/store/sqlite/migrate.ts'
import { startChild } from './child-process.ts'
import { createInput, scope } from './create-input.ts'
import { dataFile, joinNode, openStore } from './data-folder.ts'

const isAnswer = (line: string) => /^(?:joined|refused) /.test(line)

describe('one executing process per data file', () => {
  test('another process is refused, with the name of the file', async () => {
    const path = dataFile()
    const store = await openStore(path)
    await joinNode(store)
    const answer = await startChild('executing-process.ts', [path]).line(isAnswer)
    expect(answer).toMatch(/^refused Another Parley executes on /)
    expect(answer).toContain(path)
  })

  test('another store of this process is refused as well', async () => {
    const path = dataFile()
    const first = await openStore(path)
    const second = await openStore(path)
    await joinNode(first)
    await expect(joinNode(second)).rejects.toMatchObject({
      code: 'store_unavailable',
      message: expect.stringContaining(path) as string,
    })
    await first.close()
    expect(await joinNode(second)).toEqual({ epoch: 2 })
  })

  test('another name of the file has the same lock', async () => {
    const path = dataFile()
    const first = await openStore(path)
    symlinkSync(path, `${path}.link`)
    const second = await openStore(`${path}.link`)
    await joinNode(first)
    await expect(joinNode(second)).rejects.toMatchObject({ code: 'store_unavailable' })
  })

  test('leave lets another process in', async () => {
    const path = dataFile()
    const store = await openStore(path)
    const { epoch } = await joinNode(store)
    await store.nodes.leave({ epoch, now: Date.now() })
    const child = startChild('executing-process.ts', [path])
    expect(await child.line(isAnswer)).toBe(`joined ${epoch + 1}`)
    await expect(joinNode(store)).rejects.toMatchObject({ code: 'store_unavailable' })
    await child.kill()
    expect(await joinNode(store)).toEqual({ epoch: epoch + 2 })
  })

  test('the same store may join again: its older epoch is void', async () => {
    const store = await openStore(dataFile())
    const first = await joinNode(store)
    const second = await joinNode(store)
    expect(second.epoch).toBeGreaterThan(first.epoch)
    const renew = (epoch: number) => store.nodes.renew({ epoch, lease_ms: 10_000, now: Date.now() })
    expect([await renew(first.epoch), await renew(second.epoch)]).toEqual([false, true])
  })

  test('a store that has not joined reads and writes beside the one that has', async () => {
    const path = dataFile()
    const executing = await openStore(path)
    const { epoch } = await joinNode(executing)
    const beside = await openStore(path)
    const held = createInput(epoch)
    await executing.runs.create(held)
    const queued = createInput()
    await beside.runs.create(queued)
    const cancel = (run_id: string) =>
      beside.runs.cancel({ scope, run_id, actor: 'cli', reason: 'asked', now: Date.now() })
    expect(await cancel(held.run.id)).toMatchObject({ outcome: 'signalled' })
    expect(await cancel(queued.run.id)).toMatchObject({ outcome: 'cancelled' })
    expect((await executing.runs.load(held.run.id))?.cancel).toMatchObject({ actor: 'cli' })
    await executing.close()
    expect(await cancel(held.run.id)).toMatchObject({ outcome: 'cancelled' })
  })

  test('the schema is not changed under it', async () => {
    const path = dataFile()
    const store = await openStore(path)
    await joinNode(store)
    await expect(migrate(path, 'down')).rejects.toMatchObject({ code: 'store_unavailable' })
    await store.ping()
  })
})

describe('a process that is killed in the middle of its writes', () => {
  test('leaves all that it was told is written, a sound file, and no lock', async () => {
    const path = dataFile()
    const child = startChild('executing-process.ts', [path, 'write'])
    await child.line(() => child.lines.length > 300)
    expect(existsSync(`${path}-wal`)).toBe(true)
    await child.kill()

    const store = await openStore(path)
    const { epoch } = await joinNode(store)
    expect(epoch).toBe(2)
    const told = child.lines.filter((line) => line.startsWith('created ')).map((line) => line.slice(8))
    for (const id of told) {
      expect(await store.runs.load(id)).toMatchObject({ status: 'running', epoch: 1, attempt: 1 })
      expect(await store.items.ofRun(id)).toHaveLength(1)
      expect((await store.log.read({ run_id: id, after: 0, max_batches: 9 })).events).toHaveLength(1)
    }
    let rescued = 0
    for (;;) {
      const claimed = await store.runs.claim({ epoch, definitions: {}, now: Date.now() })
      if (!claimed) break
      expect(claimed).toMatchObject({ rescued: true, run: { attempt: 2, crash_count: 1 } })
      rescued += 1
    }
    // What was written and not yet told may be there, too: eight at most were on their way.
    expect(rescued).toBeGreaterThanOrEqual(told.length)
    expect(rescued).toBeLessThanOrEqual(told.length + 8)
  })
})
