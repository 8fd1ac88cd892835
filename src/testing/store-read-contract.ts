import { describe, expect } from 'vitest'
import { createId } from '../ids.ts'
import type { Item, NoteItem } from '../items.ts'
import type { RunRecord } from '../store/store.ts'
import { maxPageBytes } from '../store/store.ts'
import type { OpenStore, StoreScene } from './store-scene.ts'
import { assistantMessage, placed, sceneTest, session, userMessage, warning } from './store-scene.ts'

export function describeReads(open: OpenStore): void {
  describeRunReads(open)
  describeHistory(open)
  describeLog(open)
  describeText(open)
}

function describeRunReads(open: OpenStore): void {
  const it = sceneTest(open)

  describe('runs', () => {
    it('of another owner or namespace are not found', async (scene) => {
      const run = await scene.run()
      const { runs } = scene.store
      expect(await runs.find(scene.scope, run.id)).toEqual(run)
      for (const scope of [
        { owner: 'bob', namespace: 'shop' },
        { owner: 'alice', namespace: '' },
      ]) {
        expect(await runs.find(scope, run.id)).toBeUndefined()
        expect(await runs.list(scope, { limit: 10 })).toEqual({ data: [], has_more: false })
        expect(await scene.cancel(run, scope)).toEqual({ outcome: 'not_found' })
      }
      expect(await runs.find(scene.scope, "run_' OR '1'='1")).toBeUndefined()
      expect(await scene.cancel({ id: 'run_\u0000\udfff' })).toEqual({ outcome: 'not_found' })
      expect(await runs.load('run_nope')).toBeUndefined()
      expect(await scene.load(run)).toEqual(run)
    })

    it('are listed newest first, by status, agent and conversation, in pages', async (scene) => {
      const made = [
        await scene.run({ conversation: session('a') }),
        await scene.queue({ conversation: session('a'), agent: 'expert' }),
        await scene.run(),
        await scene.queue({ agent: 'expert' }),
      ]
      const conversation_id = made[0]!.conversation_id!
      const listed = async (input: Parameters<typeof scene.store.runs.list>[1]) => {
        const { data, has_more } = await scene.store.runs.list(scene.scope, input)
        return [data.map(({ id }) => made.findIndex((run) => run.id === id)), has_more]
      }
      expect(await listed({ limit: 4 })).toEqual([[3, 2, 1, 0], false])
      expect(await listed({ limit: 3 })).toEqual([[3, 2, 1], true])
      expect(await listed({ limit: 3, after: made[1]!.id })).toEqual([[0], false])
      expect(await listed({ limit: 9, status: 'running' })).toEqual([[2, 0], false])
      expect(await listed({ limit: 9, agent: 'expert' })).toEqual([[3, 1], false])
      expect(await listed({ limit: 9, conversation_id })).toEqual([[1, 0], false])
      expect(await listed({ limit: 1, conversation_id, after: made[1]!.id })).toEqual([[0], false])
      expect(await listed({ limit: 9, conversation_id, agent: 'expert', status: 'queued' })).toEqual([
        [1],
        false,
      ])
    })

    it('are listed in pages that are not too large with their answers, one run at the least', async (scene) => {
      const made: RunRecord[] = []
      for (const share of [0.5, 0.4, 0.3, 1.1]) {
        const run = await scene.run({ options: { metadata: { k: 'x'.repeat(0.1 * maxPageBytes) } } })
        const answer = assistantMessage('y'.repeat(share * maxPageBytes))
        const thought = assistantMessage('z'.repeat(maxPageBytes))
        const ended = { usage: run.usage, steps: 1, error: null, output: [answer.id] }
        await scene.commit(run, {
          items: placed(1, [answer, thought]),
          events: [
            { seq: run.last_seq + 1, type: 'run.end', status: 'completed', stop_reason: 'final', ...ended },
          ],
          end: { status: 'completed', stop_reason: 'final', error: null, output: [answer.id] },
        })
        made.push(run)
      }
      const listed = async (after?: RunRecord) => {
        const input = { limit: 100, ...(after && { after: after.id }) }
        const { data, has_more } = await scene.store.runs.list(scene.scope, input)
        return [data.map(({ id }) => made.findIndex((run) => run.id === id)), has_more]
      }
      expect(await listed()).toEqual([[3], true])
      expect(await listed(made[3])).toEqual([[2, 1], true])
      expect(await listed(made[1])).toEqual([[0], false])
    })

    it('give the items that are asked for by their ids, and no others', async (scene) => {
      const [run, other] = [await scene.run(), await scene.run()]
      const items = ['a', 'b\u0000\ud800', 'c'].map(assistantMessage)
      await scene.commit(run, { items: placed(1, items) })
      const all = await scene.store.items.ofRun(run.id)
      const read = (ids: string[], from = run) => scene.store.items.withIds(from.id, ids)
      const [, b, c] = items.map(({ id }) => id)
      expect(await read([c!, b!, c!, 'item_nope', '\u0000'])).toEqual([all[2], all[3]])
      expect(await read([all[0]!.item.id])).toEqual([all[0]])
      expect(await read([])).toEqual([])
      expect(await read([c!], other)).toEqual([])
    })
  })
}

/** One turn of a conversation: a question, an answer, an end. `summary`: one that is written in it. */
async function turn(
  scene: StoreScene,
  text: string,
  options: { summary?: { text: string; through: string } } = {},
) {
  const run = await scene.run({ conversation: session('a'), input: [userMessage(text)] })
  const said: Item[] = [assistantMessage(`re ${text}`)]
  const { summary } = options
  if (summary) said.push(summaryNote(summary))
  await scene.commit(run, { items: placed(1, said) })
  await scene.finish(await scene.load(run))
  return run
}

function summaryNote(input: { text: string; through: string }): NoteItem {
  const { text, through } = input
  return { type: 'note', id: createId('item'), kind: 'summary', text, through_run_id: through }
}

function texts(items: { item: Item }[]): string[] {
  return items.map(({ item }) => {
    if (item.type === 'note') return item.text
    return item.type === 'message' && item.content[0]?.type === 'text' ? item.content[0].text : ''
  })
}

function describeHistory(open: OpenStore): void {
  const it = sceneTest(open)

  describe('items', () => {
    it('history is what the runs before said, oldest first, the void left out', async (scene) => {
      await turn(scene, 'one')
      const failed = await scene.run({ conversation: session('a'), input: [userMessage('two')] })
      const items = placed(1, [assistantMessage('half'), assistantMessage('whole')])
      items[0]!.void = true
      await scene.commit(failed, { items })
      await scene.finish(await scene.load(failed), 'failed')
      const cancelled = await scene.run({ conversation: session('a'), input: [userMessage('three')] })
      await scene.cancel(cancelled)
      await scene.finish(cancelled, 'cancelled')
      const last = await scene.run({ conversation: session('a'), input: [userMessage('now')] })
      const history = await scene.store.items.history({ run_id: last.id, max_runs: 100, max_bytes: 10_000 })
      expect(texts(history.items)).toEqual(['one', 're one', 'two', 'whole', 'three'])
      expect(history.complete).toBe(true)
      expect(history.items[0]).toMatchObject({ position: 0, step: null, void: false })
    })

    it('history stops at a border of a run, and says that it did', async (scene) => {
      for (const text of ['one', 'two', 'three']) await turn(scene, text)
      const last = await scene.run({ conversation: session('a') })
      const read = async (max_runs: number) => {
        const { items, complete } = await scene.store.items.history({
          run_id: last.id,
          max_runs,
          max_bytes: 10_000,
        })
        return [texts(items), complete]
      }
      expect(await read(2)).toEqual([['two', 're two', 'three', 're three'], false])
      expect(await read(3)).toEqual([['one', 're one', 'two', 're two', 'three', 're three'], true])
      const alone = await scene.run()
      expect(await scene.store.items.history({ run_id: alone.id, max_runs: 5, max_bytes: 10_000 })).toEqual({
        items: [],
        complete: true,
      })
    })

    it('history stops before it is more than may be read, with the newest run whole', async (scene) => {
      for (const text of ['one', 'two', 'three', 'x'.repeat(1000)]) await turn(scene, text)
      const last = await scene.run({ conversation: session('a') })
      const read = async (max_bytes: number, max_runs = 10) => {
        const { items, complete } = await scene.store.items.history({ run_id: last.id, max_runs, max_bytes })
        return [texts(items).map((text) => text.slice(-5)), complete]
      }
      const newest = ['xxxxx', 'xxxxx']
      expect(await read(0)).toEqual([newest, false])
      expect(await read(2000)).toEqual([newest, false])
      const { items } = await scene.store.items.history({ run_id: last.id, max_runs: 2, max_bytes: 1e6 })
      const ofTwo = items.reduce((sum, { item }) => sum + JSON.stringify(item).length, 0)
      expect(await read(ofTwo - 1)).toEqual([newest, false])
      expect(await read(ofTwo)).toEqual([['three', 'three', ...newest], false])
      expect((await read(1e6))[1]).toBe(true)
    })

    it('history ends at what the newest summary stands for, for every run that continues it', async (scene) => {
      const runs = []
      for (const text of ['one', 'two', 'three']) runs.push(await turn(scene, text))
      const [first, second, third] = runs
      const read = async (parent: { id: string }, max_runs = 100) => {
        const branch = await scene.run({ parent_run_id: parent.id })
        const { items, complete } = await scene.store.items.history({
          run_id: branch.id,
          max_runs,
          max_bytes: 10_000,
        })
        return [texts(items), complete]
      }
      const older = await turn(scene, 'four', { summary: { text: 'so far', through: first!.id } })
      expect(await read(older)).toEqual([
        ['two', 're two', 'three', 're three', 'four', 're four', 'so far'],
        true,
      ])
      const newer = await turn(scene, 'five', { summary: { text: 'until now', through: third!.id } })
      const last = await turn(scene, 'six')
      const rest = ['four', 're four', 'so far', 'five', 're five', 'until now']
      expect(await read(newer)).toEqual([rest, true])
      expect(await read(last)).toEqual([[...rest, 'six', 're six'], true])
      expect(await read(last, 3)).toEqual([[...rest, 'six', 're six'], true])
      expect(await read(last, 2)).toEqual([[...rest.slice(3), 'six', 're six'], false])
      // From before the summary was written.
      expect(await read(second!)).toEqual([['one', 're one', 'two', 're two'], true])
    })

    it('a branch has the history of its parent', async (scene) => {
      const first = await turn(scene, 'one')
      await turn(scene, 'two')
      const branch = await scene.run({ parent_run_id: first.id })
      const { items } = await scene.store.items.history({ run_id: branch.id, max_runs: 5, max_bytes: 10_000 })
      expect(texts(items)).toEqual(['one', 're one'])
    })

    it('a message that waits is not in the history of the run before it', async (scene) => {
      const first = await scene.run({ conversation: session('a'), input: [userMessage('one')] })
      const second = await scene.queue({ conversation: session('a'), input: [userMessage('two')] })
      const id = first.conversation_id!
      const list = () => scene.store.items.ofConversation(scene.scope, id, { limit: 10, order: 'asc' })
      expect(texts((await list())!.data)).toEqual(['one'])
      await scene.finish(first)
      await scene.claim()
      expect(texts((await list())!.data)).toEqual(['one', 'two'])
      const { items } = await scene.store.items.history({ run_id: second.id, max_runs: 5, max_bytes: 10_000 })
      expect(texts(items)).toEqual(['one'])
    })

    it('of a conversation come in pages, both ways', async (scene) => {
      for (const text of ['one', 'two', 'three']) await turn(scene, text)
      const { conversation_id } = await turn(scene, 'four')
      const expected = ['one', 're one', 'two', 're two', 'three', 're three', 'four', 're four']
      for (const order of ['asc', 'desc'] as const) {
        const seen: string[] = []
        for (let after: string | undefined, more = true; more;) {
          const cursor = after === undefined ? {} : { after }
          const page = await scene.store.items.ofConversation(scene.scope, conversation_id!, {
            limit: 3,
            order,
            ...cursor,
          })
          seen.push(...texts(page!.data))
          more = page!.has_more
          after = page!.data.at(-1)?.item.id
        }
        expect(seen).toEqual(order === 'asc' ? expected : expected.toReversed())
      }
      const unknown = { limit: 3, order: 'asc', after: 'item_nope' } as const
      expect(await scene.store.items.ofConversation(scene.scope, conversation_id!, unknown)).toEqual({
        data: [],
        has_more: false,
      })
    })

    it('of a conversation come in pages that are not too large, one item at the least', async (scene) => {
      const sizes = [0.6, 0.3, 0.2, 1.5, 0.1].map((share) => Math.round(share * maxPageBytes))
      const input = sizes.slice(0, 2).map((size) => userMessage('é'.repeat(size / 2)))
      const run = await scene.run({ conversation: session('a'), input })
      const said = sizes.slice(2).map((size) => assistantMessage('x'.repeat(size)))
      await scene.commit(run, { items: placed(2, said) })
      const page = async (order: 'asc' | 'desc', after?: string) => {
        const read = await scene.store.items.ofConversation(scene.scope, run.conversation_id!, {
          limit: 100,
          order,
          ...(after !== undefined && { after }),
        })
        return [read!.data.map(({ position }) => position), read!.has_more]
      }
      const ids = [...input, ...said].map(({ id }) => id)
      expect(await page('asc')).toEqual([[0, 1], true])
      expect(await page('asc', ids[1])).toEqual([[2], true])
      expect(await page('asc', ids[2])).toEqual([[3], true])
      expect(await page('asc', ids[3])).toEqual([[4], false])
      expect(await page('desc')).toEqual([[4], true])
      expect(await page('desc', ids[4])).toEqual([[3], true])
      expect(await page('desc', ids[3])).toEqual([[2, 1], true])
    })

    it('a conversation without a claimed run has no items', async (scene) => {
      const { conversation_id } = await scene.queue({ conversation: session('a') })
      const input = { limit: 3, order: 'asc' } as const
      const page = await scene.store.items.ofConversation(scene.scope, conversation_id!, input)
      expect(page).toEqual({ data: [], has_more: false })
      expect(await scene.store.items.ofConversation(scene.scope, createId('conv'), input)).toBeUndefined()
    })
  })
}

function describeLog(open: OpenStore): void {
  const it = sceneTest(open)

  describe('log.read', () => {
    it('gives what is above a number, in whole batches', async (scene) => {
      const run = await scene.run()
      await scene.commit(run, { events: [warning(2), warning(3)] })
      await scene.commit(run, { events: [warning(7)] })
      await scene.commit(run, { events: [warning(8), warning(9)] })
      const read = async (after: number, max_batches: number) => {
        const { events, ...rest } = await scene.store.log.read({ run_id: run.id, after, max_batches })
        expect(rest).toEqual({ pruned: false, oldest: null })
        return events.map(({ seq }) => seq)
      }
      expect(await read(0, 2)).toEqual([1, 2, 3])
      expect(await read(3, 2)).toEqual([7, 8, 9])
      expect(await read(2, 1)).toEqual([3])
      expect(await read(8, 5)).toEqual([9])
      expect(await read(9, 5)).toEqual([])
      expect(await scene.store.log.read({ run_id: 'run_nope', after: 0, max_batches: 5 })).toEqual({
        events: [],
        pruned: false,
        oldest: null,
      })
    })
  })
}

function describeText(open: OpenStore): void {
  const it = sceneTest(open)
  const odd = 'a\u0000b\ud800c\udfff \u2028"\\\n\r\t é 日本 👩‍👩‍👧 \ufeff'

  describe('text', () => {
    it('comes back as it went in, lone surrogates and NUL as well', async (scene) => {
      scene.scope = { owner: odd, namespace: `${odd}2` }
      const options = { instructions: odd, run_context: { [odd]: odd }, metadata: { [odd]: odd } }
      const input = [userMessage(odd)]
      const run = await scene.run({ options, input, conversation: session(odd) })
      const events = [warning(2, odd)]
      const items = placed(1, [assistantMessage(odd)])
      await scene.commit(run, { events, items, plan: odd })
      await scene.reopen()
      expect(await scene.store.runs.find(scene.scope, run.id)).toMatchObject({
        ...scene.scope,
        options,
        plan: odd,
      })
      const stored = await scene.store.items.ofRun(run.id)
      expect(stored.map(({ item }) => item)).toEqual([...input, items[0]!.item])
      expect((await scene.log(run)).slice(1)).toEqual(events)
      const found = await scene.store.conversations.find(scene.scope, { key: odd, now: scene.now })
      expect(found).toMatchObject({ key: odd, id: run.conversation_id })
    })

    it('of a decision comes back as it went in', async (scene) => {
      const run = await scene.run()
      const [id] = await scene.suspend(run, { approvals: [{ tool: odd, arguments: { [odd]: odd } }] })
      const { scope, now } = scene
      const decision = { by: odd, reason: odd, arguments: odd }
      await scene.store.approvals.decide({ scope, approval_id: id!, decision: 'approve', ...decision, now })
      expect(await scene.store.approvals.find(scope, id!)).toMatchObject({
        tool: odd,
        arguments: { [odd]: odd },
        decision,
      })
      const other = await scene.run()
      await scene.store.runs.cancel({ scope, run_id: other.id, actor: odd, reason: odd, now })
      expect((await scene.load(other)).cancel).toEqual({ at: now, actor: odd, reason: odd })
    })

    it('that differs only in what an encoding could lose stays apart', async (scene) => {
      const keys = ['a\ud800', 'a\ud801', 'a\ufffd', 'a', 'a\u0000', 'a\\u0000', 'a\\', 'A']
      const ids = new Set<string | null>()
      for (const key of keys) ids.add((await scene.queue({ conversation: session(key) })).conversation_id)
      for (const owner of keys) {
        const scope = { owner, namespace: '' }
        expect((await scene.store.runs.list(scope, { limit: 10 })).data).toEqual([])
        ids.add((await scene.queue({ scope, conversation: session('k') })).conversation_id)
      }
      expect(ids.size).toBe(2 * keys.length)
    })
  })
}
