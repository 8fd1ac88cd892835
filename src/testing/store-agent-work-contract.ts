import { describe, expect } from 'vitest'
import type { ApprovalQuestion } from '../events.ts'
import { createId } from '../ids.ts'
import type { Item } from '../items.ts'
import { maxRunWarnings } from '../run-state.ts'
import type { Commit, RunRecord } from '../store/store.ts'
import type { OpenStore, StoreScene } from './store-scene.ts'
import { assistantMessage, placed, sceneTest, session, toolResult, userMessage } from './store-scene.ts'

/** What several agents on one run leave: work under a call, questions to people, a standing of its own. */
export function describeAgentWork(open: OpenStore): void {
  describeServedItems(open)
  describeQuestions(open)
  describeStanding(open)
}

function toolCall(call_id: string): Item {
  return { type: 'tool_call', id: createId('item'), call_id, name: 'ask', arguments: '{}' }
}

/** The work of an agent that serves the call, as a commit takes it. */
function served(first: number, call_id: string, items: Item[]): NonNullable<Commit['items']> {
  return placed(first, items).map((item) => ({ ...item, parent_call_id: call_id }))
}

/** A run whose agent had another one answer a call. The items, by what they are. */
async function runWithServed(scene: StoreScene) {
  const run = await scene.run({ conversation: session('a'), input: [userMessage('question')] })
  const items = {
    call: toolCall('call_1'),
    first: assistantMessage('inner first'),
    innerCall: toolCall('call_2'),
    innerResult: toolResult('call_2'),
    last: assistantMessage('inner last'),
    thrown: assistantMessage('inner thrown away'),
    result: toolResult('call_1'),
    answer: assistantMessage('answer'),
  }
  const { call, first, innerCall, innerResult, last, thrown, result, answer } = items
  const inner = served(2, 'call_1', [first, innerCall, innerResult, last, thrown])
  inner[4]!.void = true
  const commit = [...placed(1, [call]), ...inner, ...placed(7, [result, answer])]
  await scene.commit(run, { items: commit })
  await scene.finish(await scene.load(run))
  return { run, items, commit }
}

function describeServedItems(open: OpenStore): void {
  const it = sceneTest(open)
  const ids = (items: readonly { item: Item }[]) => items.map(({ item }) => item.id)

  describe('items of an agent that serves a call', () => {
    it('are the run’s own with the call they were made for', async (scene) => {
      const { run, commit } = await runWithServed(scene)
      const stored = await scene.store.items.ofRun(run.id)
      expect(stored.slice(1)).toEqual(commit.map((item) => ({ run_id: run.id, ...item })))
    })

    it('are no part of what later runs are told', async (scene) => {
      const { items } = await runWithServed(scene)
      const next = await scene.run({ conversation: session('a') })
      const history = await scene.store.items.history({ run_id: next.id, max_runs: 10, max_bytes: 10_000 })
      expect(ids(history.items).slice(1)).toEqual(ids([items.call, items.result, items.answer].map(toPlaced)))
    })

    it('are no part of the conversation: neither in its pages, nor as a place in them, nor in its count', async (scene) => {
      const { run, items } = await runWithServed(scene)
      const id = run.conversation_id!
      const list = async (input: { limit: number; order: 'asc' | 'desc'; after?: string }) => {
        const page = await scene.store.items.ofConversation(scene.scope, id, input)
        return page && { ids: ids(page.data), has_more: page.has_more }
      }
      const said = [items.call.id, items.result.id, items.answer.id]
      const all = await list({ limit: 4, order: 'asc' })
      expect(all).toEqual({ ids: [expect.any(String), ...said], has_more: false })
      const { call, answer } = items
      // What comes next stands far behind: what is between is not there.
      const next = await list({ limit: 1, order: 'asc', after: call.id })
      expect(next).toEqual({ ids: [said[1]], has_more: true })
      expect(await list({ limit: 2, order: 'desc', after: answer.id })).toEqual({
        ids: [said[1], said[0]],
        has_more: true,
      })
      for (const order of ['asc', 'desc'] as const) {
        for (const after of [items.first.id, items.innerResult.id, items.thrown.id]) {
          expect(await list({ limit: 10, order, after })).toEqual({ ids: [], has_more: false })
        }
      }
      expect(await scene.store.conversations.countMessages(scene.scope, id)).toBe(2)
    })
  })

  function toPlaced(item: Item): { item: Item } {
    return { item }
  }
}

function describeQuestions(open: OpenStore): void {
  const it = sceneTest(open)
  const question: ApprovalQuestion = {
    message: 'Which day?',
    schema: { type: 'object', properties: { day: { enum: ['Monday', 1, null] } } },
  }
  const ask = async (scene: StoreScene, expires_at_ms: number | null = null) => {
    const run = await scene.run({ conversation: session('a') })
    const [id = ''] = await scene.suspend(run, {
      approvals: [{ reason: 'question', question, expires_at_ms }],
    })
    return { run, id }
  }
  const answer = (scene: StoreScene, approval_id: string, content: unknown, scope = scene.scope) =>
    scene.store.approvals.decide({
      scope,
      approval_id,
      decision: 'answer',
      by: 'alice',
      answer: content,
      now: scene.now,
    })

  describe('a question', () => {
    it('is kept as it was asked, beside approvals that ask nothing', async (scene) => {
      const run = await scene.run()
      await scene.suspend(run, { approvals: [{ reason: 'question', question }, {}] })
      await scene.reopen()
      const approvals = await scene.store.approvals.ofRun(run.id)
      expect(approvals).toMatchObject([
        { reason: 'question', question, status: 'pending', decision: null },
        { reason: 'policy', question: null },
      ])
    })

    it('is answered once, for the log as well, and the run goes on', async (scene) => {
      const { run, id } = await ask(scene)
      const suspended = await scene.load(run)
      scene.now += 5
      const content = { day: 'Monday', deep: [1, null, 'é\u0000'] }
      const event = {
        seq: suspended.next_seq,
        type: 'approval.resolve',
        approval_id: id,
        call_id: 'call_0',
        decision: 'answer',
        by: 'alice',
        answer: content,
      }
      const result = await answer(scene, id, content)
      expect(result).toMatchObject({
        outcome: 'ok',
        approval: {
          id,
          status: 'answered',
          decision: { by: 'alice', answer: content },
          decided_at: scene.now,
          question,
        },
        run: { status: 'queued', attempt: 2 },
        events: [event],
      })
      expect((await scene.log(run)).at(-1)).toEqual(event)
      const again = await answer(scene, id, 'Friday')
      const approval = await scene.store.approvals.find(scene.scope, id)
      expect(again).toEqual({ outcome: 'decided_before', approval })
      expect(approval?.decision).toEqual({ by: 'alice', answer: content })
      expect((await scene.claim())?.run.id).toBe(run.id)
    })

    it('may be declined, and comes back so', async (scene) => {
      const { id } = await ask(scene)
      const { scope, now, store } = scene
      const decision = { decision: 'reject', by: 'alice', reason: 'none of yours' } as const
      expect(await store.approvals.decide({ scope, approval_id: id, ...decision, now })).toMatchObject({
        outcome: 'ok',
        approval: { status: 'rejected', decision: { by: 'alice', reason: 'none of yours' } },
      })
      expect(await answer(scene, id, 'Monday')).toMatchObject({ outcome: 'decided_before' })
    })

    it('expires as an approval does, and is cancelled with its run', async (scene) => {
      const { run, id } = await ask(scene, scene.now + 10)
      scene.now += 10
      expect(await scene.store.approvals.expire({ now: scene.now, limit: 10 })).toMatchObject([
        { id: run.id, status: 'queued' },
      ])
      expect(await scene.store.approvals.find(scene.scope, id)).toMatchObject({
        status: 'expired',
        question,
      })
      await scene.finish((await scene.claim())!.run)
      const other = await ask(scene)
      await scene.cancel(other.run)
      expect(await answer(scene, other.id, 'Monday')).toMatchObject({
        outcome: 'decided_before',
        approval: { status: 'cancelled' },
      })
      expect((await scene.log(other.run)).at(-1)).toMatchObject({ type: 'run.end', status: 'cancelled' })
    })

    it('of another owner or namespace is not found', async (scene) => {
      const { run, id } = await ask(scene)
      for (const scope of [
        { owner: 'bob', namespace: 'shop' },
        { owner: 'alice', namespace: '' },
      ]) {
        expect(await answer(scene, id, 'Monday', scope)).toEqual({ outcome: 'not_found' })
      }
      expect(await scene.load(run)).toMatchObject({ status: 'suspended' })
    })
  })
}

function describeStanding(open: OpenStore): void {
  const it = sceneTest(open)
  const spent = { cost: 0.5, tool_calls: 3, worked_ms: 12 }
  const complete = { status: 'completed', stop_reason: 'final', error: null, output: [] } as const
  const end = (run: RunRecord, scene: StoreScene, parsed?: unknown) =>
    scene.commit(run, {
      end: { ...complete, output: [], ...(parsed === undefined ? {} : { output_parsed: parsed }) },
    })

  describe('the standing of a run', () => {
    it('stays through a suspension, another holder and a reopened store', async (scene) => {
      let run = await scene.run()
      await scene.commit(run, { agent: 'expert', spent, plan: 'first' })
      await scene.suspend(await scene.load(run), { approvals: [{}] })
      const [{ id } = { id: '' }] = await scene.store.approvals.ofRun(run.id)
      const { scope, now } = scene
      await scene.store.approvals.decide({ scope, approval_id: id, decision: 'approve', by: 'alice', now })
      await scene.reopen()
      const standing = { active_agent: 'expert', spent, plan: 'first', agent: 'assistant' }
      run = (await scene.claim())!.run
      expect(run).toMatchObject(standing)
      await scene.commit(run, { agent: 'other', spent: { ...spent, cost: null } })
      await scene.takeOver()
      run = (await scene.claim())!.run
      expect(run).toMatchObject({ ...standing, active_agent: 'other', spent: { ...spent, cost: null } })
      await end(run, scene)
      expect(await scene.load(run)).toMatchObject({ status: 'completed', active_agent: 'other' })
    })

    it('has the parsed answer of its end, whatever JSON that is; none where there is none', async (scene) => {
      for (const parsed of [{ deep: [1, { a: null }] }, [], 0, '', false, 'text']) {
        const run = await scene.run()
        await end(run, scene, parsed)
        expect((await scene.load(run)).output_parsed).toEqual(parsed)
        expect((await scene.store.runs.find(scene.scope, run.id))?.output_parsed).toEqual(parsed)
      }
      const run = await scene.run()
      await end(run, scene)
      expect((await scene.load(run)).output_parsed).toBeNull()
    })

    it('has the warnings of all its holders: each once, the newest where there are too many', async (scene) => {
      const warned = (code: string, message = '') => ({ code, message })
      let run = await scene.run()
      expect(run.warnings).toEqual([])
      await scene.commit(run, { warnings: [warned('a'), warned('b', 'nul \u0000 and half \ud83d')] })
      await scene.commit(await scene.load(run))
      await scene.takeOver()
      run = (await scene.claim())!.run
      const first = [warned('a'), warned('b', 'nul \u0000 and half \ud83d')]
      expect(run.warnings).toEqual(first)
      await scene.commit(run, { warnings: [warned('a', 'again'), warned('a'), warned('a', 'again')] })
      await scene.suspend(await scene.load(run), { approvals: [{}] })
      expect((await scene.load(run)).warnings).toEqual([...first, warned('a', 'again')])
      const many = await scene.run()
      const numbered = Array.from({ length: maxRunWarnings + 5 }, (_, i) => warned('many', `${i}`))
      await scene.commit(many, { warnings: numbered.slice(0, 4) })
      await scene.commit(await scene.load(many), { warnings: numbered.slice(4) })
      await end(await scene.load(many), scene)
      expect((await scene.load(many)).warnings).toEqual(numbered.slice(5))
      const { data } = await scene.store.runs.list(scene.scope, { limit: 2 })
      expect(data.map(({ warnings }) => warnings.length)).toEqual([maxRunWarnings, 3])
    })

    it('is not warned by a commit that is refused', async (scene) => {
      const run = await scene.run()
      await scene.cancel(run)
      expect(await scene.commit(run, { warnings: [{ code: 'late', message: '' }] })).toBe('cancelled')
      expect((await scene.load(run)).warnings).toEqual([])
    })

    it('comes with a cancel by somebody else: the cost is in its end', async (scene) => {
      const run = await scene.run()
      await scene.commit(run, { agent: 'expert', spent })
      await scene.suspend(await scene.load(run), { approvals: [{}] })
      await scene.cancel(run)
      expect((await scene.log(run)).at(-1)).toMatchObject({ type: 'run.end', cost: 0.5 })
      expect(await scene.load(run)).toMatchObject({ active_agent: 'expert', spent })
    })
  })
}
