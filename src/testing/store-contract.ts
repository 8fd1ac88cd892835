import { describe, expect } from 'vitest'
import { describeAgentWork } from './store-agent-work-contract.ts'
import { describeApprovals } from './store-approval-contract.ts'
import { describeCancel } from './store-cancel-contract.ts'
import { describeClaim } from './store-claim-contract.ts'
import { describeCommit } from './store-commit-contract.ts'
import { describeConversations } from './store-conversation-contract.ts'
import { describeCreate } from './store-create-contract.ts'
import { describeReads } from './store-read-contract.ts'
import { describeRetention } from './store-retention-contract.ts'
import type { OpenStore } from './store-scene.ts'
import { sceneTest, session } from './store-scene.ts'

/** What every engine of the `Store` port must do, as tests. `open` gives an empty store, apart from every other one. */
export function describeStoreContract(name: string, open: OpenStore): void {
  describe(`${name} store`, () => {
    describeCreate(open)
    describeClaim(open)
    describeCommit(open)
    describeCancel(open)
    describeApprovals(open)
    describeAgentWork(open)
    describeConversations(open)
    describeReads(open)
    describeRetention(open)
    describeLifetime(open)
  })
}

function describeLifetime(open: OpenStore): void {
  const it = sceneTest(open)

  describe('the store', () => {
    it('says what it is', async (scene) => {
      expect(scene.store.engine).toMatch(/^[a-z]+$/)
      expect(scene.store.location).not.toBe('')
      await scene.store.ping()
    })

    it('keeps what it has when it is opened again', async (scene) => {
      const run = await scene.run({ conversation: session('a') })
      await scene.commit(run)
      const before = await scene.load(run)
      const log = await scene.log(run)
      const conversation = await scene.store.conversations.find(scene.scope, { key: 'a', now: scene.now })
      await scene.reopen()
      expect(await scene.load(run)).toEqual(before)
      expect(await scene.log(run)).toEqual(log)
      expect(await scene.store.conversations.find(scene.scope, { key: 'a', now: scene.now })).toEqual(
        conversation,
      )
    })

    it('reads see every write that has resolved', async (scene) => {
      await Promise.all(
        Array.from({ length: 20 }, async () => {
          const run = await scene.run()
          expect(await scene.load(run)).toEqual(run)
          await scene.finish(run)
          expect((await scene.load(run)).status).toBe('completed')
        }),
      )
    })

    it('close finishes what was accepted and refuses what comes later', async (scene) => {
      const accepted = Array.from({ length: 20 }, () => scene.queue())
      const closed = scene.store.close()
      const late = scene.queue()
      await expect(late).rejects.toMatchObject({ code: 'store_unavailable' })
      const runs = await Promise.all(accepted)
      await closed
      await scene.store.close()
      await expect(scene.store.runs.load(runs[0]!.id)).rejects.toMatchObject({ code: 'store_unavailable' })
      await expect(scene.store.ping()).rejects.toMatchObject({ code: 'store_unavailable' })
      await scene.reopen()
      for (const run of runs) expect(await scene.load(run)).toEqual(run)
    })
  })
}
