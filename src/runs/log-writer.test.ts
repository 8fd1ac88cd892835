import { describe, expect, test } from 'vitest'
import { Interruption } from '../agent/context.ts'
import type { RunEvent } from '../events.ts'
import type { PlacedItem } from '../items.ts'
import type { Commit, CommitOutcome, Store } from '../store/store.ts'
import { createFakeClock } from '../testing/fake-clock.ts'
import { LogWriter } from './log-writer.ts'

/** A writer over a store that answers each commit when it is told to. */
function openWriter(options: { holdsLease?: () => boolean; items?: PlacedItem[] } = {}) {
  const commits: Commit[] = []
  const answers: ((outcome: CommitOutcome | Error) => void)[] = []
  const visible: RunEvent[] = []
  const committed: number[] = []
  const commit = (input: Commit) => {
    commits.push(input)
    return new Promise<CommitOutcome>((resolve, reject) =>
      answers.push((outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome))),
    )
  }
  const items = options.items ?? []
  const log = new LogWriter({
    // All that a writer asks of a store.
    store: { runs: { commit } } as unknown as Store,
    tail: {
      append: (event) => visible.push(event),
      committed: (seq) => committed.push(seq),
      close: () => {},
    },
    clock: createFakeClock(),
    fence: { run_id: 'run_1', epoch: 1, attempt: 1 },
    lastSeq: 10,
    items,
    holdsLease: options.holdsLease ?? (() => true),
  })
  const answer = (outcome: CommitOutcome | Error = 'ok') => answers.shift()?.(outcome)
  return { log, commits, visible, committed, items, answer }
}

const warning = (code: string) => ({ type: 'warning' as const, code, message: '' })
const note = (code: string) => ({ events: [warning(code)] })
const message = (id: string) => ({
  step: 0,
  void: false,
  item: { type: 'message' as const, id, role: 'assistant' as const, content: [] },
})
const codes = (commit: Commit | undefined) =>
  (commit?.events ?? []).map((event) => (event.type === 'warning' ? event.code : event.type))
const ended = {
  status: 'cancelled' as const,
  stop_reason: 'cancelled' as const,
  error: null,
  output: [],
}

describe('events', () => {
  test('of the tail are visible at once, committed ones when they are durable', async () => {
    const { log, visible, committed, commits, answer } = openWriter()
    log.emit({ type: 'step.start', step: 0, model: 'm' })
    expect(visible).toMatchObject([{ seq: 11, type: 'step.start' }])
    const done = log.commit(note('a'))
    expect(visible).toHaveLength(1)
    answer()
    await done
    expect(visible).toMatchObject([{ seq: 11 }, { seq: 12, type: 'warning' }])
    expect(committed).toEqual([12])
    expect(commits[0]?.events).toMatchObject([{ seq: 11 }, { seq: 12 }])
  })

  test('that are deferred go with the next commit, before its own', async () => {
    const { log, commits, answer } = openWriter()
    log.defer({ ...note('later'), settled: [{ call_id: 'call_0', state: 'unknown' }] })
    const done = log.commit(note('now'))
    answer()
    await done
    expect(codes(commits[0])).toEqual(['later', 'now'])
    expect(commits[0]?.settled).toHaveLength(1)
  })

  test('of progress have no number and are kept nowhere', async () => {
    const { log, visible, commits, answer } = openWriter()
    log.progress({ type: 'tool.progress', call_id: 'call_1' })
    const done = log.commit(note('a'))
    answer()
    await done
    expect(visible.map(({ type }) => type)).toEqual(['tool.progress', 'warning'])
    expect(codes(commits[0])).toEqual(['a'])
  })
})

describe('batches', () => {
  test('that come while one is being written go together', async () => {
    const { log, commits, answer } = openWriter()
    const all = ['a', 'b', 'c'].map((code) => log.commit(note(code)))
    expect(commits.map(codes)).toEqual([['a']])
    answer()
    await all[0]
    await Promise.resolve()
    expect(commits.map(codes)).toEqual([['a'], ['b', 'c']])
    answer()
    await Promise.all(all)
  })

  test('place their items one after the other', async () => {
    const { log, commits, items, answer } = openWriter()
    log.continueAfter(3)
    for (const id of ['x', 'y']) {
      const done = log.commit({ items: [message(id)] })
      answer()
      await done
    }
    expect(commits.map((commit) => commit.items?.[0]?.position)).toEqual([3, 4])
    expect(items.map(({ run_id, item }) => [run_id, item.id])).toEqual([
      ['run_1', 'x'],
      ['run_1', 'y'],
    ])
  })

  test('are a mere note only where each of them is', async () => {
    const { log, commits, answer } = openWriter()
    const alone = log.commit({ recovery: true })
    const mixed = [log.commit({ recovery: true }), log.commit(note('b'))]
    answer()
    await alone
    await Promise.resolve()
    answer()
    await Promise.all(mixed)
    expect(commits.map(({ recovery }) => recovery ?? false)).toEqual([true, false])
  })

  test('carry the last totals', async () => {
    const { log, commits, answer } = openWriter()
    const usage = { input_tokens: 1, output_tokens: 1, total_tokens: 2 }
    const first = log.commit({})
    const rest = [
      log.commit({ steps: 1, plan: 'old' }),
      log.commit({ steps: 2, usage, plan: 'new', agent: 'b' }),
    ]
    answer()
    await first
    await Promise.resolve()
    answer()
    await Promise.all(rest)
    expect(commits[1]).toMatchObject({ steps: 2, usage, plan: 'new', agent: 'b' })
    expect(commits[0]).not.toHaveProperty('steps')
  })
})

describe('warnings', () => {
  const warned = (...all: string[]) => all.map((code) => ({ code, message: '' }))

  test('are told to the store with their events, wherever these come from; most commits have none', async () => {
    const { log, commits, answer } = openWriter()
    const plain = log.commit({ events: [{ type: 'plan.update', plan: 'p', updated: false }] })
    answer()
    await plain
    expect(commits[0]).not.toHaveProperty('warnings')
    log.emit(warning('shown'))
    log.defer(note('later'))
    const done = log.commit(note('now'))
    answer()
    await done
    expect(commits[1]?.warnings).toEqual(warned('shown', 'later', 'now'))
  })

  test('of a refused commit go with the one that ends the run', async () => {
    const { log, commits, answer } = openWriter()
    const first = log.commit(note('kept'))
    answer('cancelled')
    await expect(first).rejects.toMatchObject({ reason: 'cancelled' })
    const last = log.commit({ end: ended })
    answer()
    await last
    expect(commits[1]?.warnings).toEqual(warned('kept'))
  })
})

describe('a refused commit', () => {
  test('cancelled: rejects, and only the end of a cancelled run is written, with all that was held', async () => {
    const { log, commits, answer } = openWriter()
    const first = log.commit({
      events: [warning('kept'), { type: 'run.suspend', approvals: [], tool_calls: [] }],
      items: [message('kept')],
      claims: [{ step: 0, index: 0, call_id: 'c', effect: 'read', approval_id: null }],
    })
    answer('cancelled')
    await expect(first).rejects.toMatchObject({ reason: 'cancelled' })
    await expect(log.commit(note('refused'))).rejects.toBeInstanceOf(Interruption)
    expect(commits).toHaveLength(1)
    const last = log.commit({ events: [warning('end')], end: ended })
    answer()
    await last
    expect(codes(commits[1])).toEqual(['kept', 'refused', 'end'])
    expect(commits[1]?.items).toHaveLength(1)
    expect(commits[1]).not.toHaveProperty('claims')
  })

  test('keeps the agent and the plan that its events tell of', async () => {
    const { log, commits, answer } = openWriter()
    const usage = { input_tokens: 1, output_tokens: 0, total_tokens: 1 }
    const first = log.commit({
      events: [{ type: 'agent.switch', from: 'a', to: 'b', why: 'handoff' }],
      agent: 'b',
      plan: 'go on',
      steps: 1,
      usage,
    })
    answer('cancelled')
    await expect(first).rejects.toMatchObject({ reason: 'cancelled' })
    const last = log.commit({ end: ended, steps: 2 })
    answer()
    await last
    expect(commits[1]).toMatchObject({ agent: 'b', plan: 'go on', steps: 2, usage })
  })

  test('keeps what was deferred while it was under way', async () => {
    const { log, commits, answer } = openWriter()
    const first = log.commit({ settled: [{ call_id: 'call_0', state: 'committed' }] })
    log.defer({ settled: [{ call_id: 'call_1', state: 'unknown' }] })
    answer('cancelled')
    await expect(first).rejects.toMatchObject({ reason: 'cancelled' })
    const last = log.commit({ end: ended })
    answer()
    await last
    expect(commits[1]?.settled?.map(({ call_id }) => call_id)).toEqual(['call_0', 'call_1'])
  })

  test('fenced: nothing is written any more, not even an end', async () => {
    const { log, commits, answer } = openWriter()
    const first = log.commit(note('a'))
    answer('fenced')
    await expect(first).rejects.toMatchObject({ reason: 'fenced' })
    await expect(log.commit({ end: ended })).rejects.toMatchObject({ reason: 'fenced' })
    expect(commits).toHaveLength(1)
  })

  test('without the lease nothing is written at all', async () => {
    const { log, commits } = openWriter({ holdsLease: () => false })
    await expect(log.commit(note('a'))).rejects.toMatchObject({ reason: 'fenced' })
    expect(commits).toEqual([])
  })

  test('by a store that fails: rejects all that went together, and the next holds what they held', async () => {
    const { log, commits, answer, items } = openWriter()
    log.emit({ type: 'step.start', step: 0, model: 'm' })
    const claim = {
      step: 0,
      index: 0,
      call_id: 'c',
      effect: 'read',
      approval_id: null,
    } as const
    const first = log.commit(note('a'))
    const rest = [
      log.commit({ ...note('b'), items: [message('said')], claims: [claim] }),
      log.commit({ ...note('c'), steps: 1 }),
    ]
    answer()
    await first
    await Promise.resolve()
    answer(new Error('disk'))
    for (const done of rest) await expect(done).rejects.toThrow('disk')
    expect(items).toEqual([])
    expect(log.deferredItems).toMatchObject([{ item: { id: 'said' } }])
    const next = log.commit(note('d'))
    answer()
    await next
    expect(codes(commits[2])).toEqual(['b', 'c', 'd'])
    expect(commits[2]).toMatchObject({ items: [{ position: 0, item: { id: 'said' } }], steps: 1 })
    expect(commits[2]).not.toHaveProperty('claims')
  })
})

test('what an interrupted reply showed can be made void, or be let go', async () => {
  const { log, commits, answer } = openWriter()
  expect(log.voidDeferred()).toBe(false)
  log.emit({ type: 'step.start', step: 0, model: 'm' })
  log.defer({ items: [message('cut')] })
  expect(log.voidDeferred()).toBe(true)
  expect(log.deferredItems).toMatchObject([{ void: true }])
  log.discard()
  expect(log.deferredItems).toEqual([])
  const done = log.commit(note('a'))
  answer()
  await done
  expect(codes(commits[0])).toEqual(['a'])
})
