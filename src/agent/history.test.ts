import { describe, expect, test } from 'vitest'
import type { Item, ModelItem, NoteItem, PlacedItem } from '../items.ts'
import { buildHistory, estimateTokens, type HistoryLimits } from './history.ts'

type Short = Item | [void_: 'void', item: Item]

/** Items of a run, by step; step null are input. */
function run(runId: string, steps: [step: number | null, ...items: Short[]][]): PlacedItem[] {
  let position = 0
  return steps.flatMap(([step, ...items]) =>
    items.map((short) => {
      const [isVoid, item] = Array.isArray(short) ? [true, short[1]] : [false, short]
      return { run_id: runId, position: position++, step, void: isVoid, parent_call_id: null, item }
    }),
  )
}

const message = (role: 'user' | 'assistant', text: string, partial?: true): ModelItem => ({
  type: 'message',
  id: text,
  role,
  content: [{ type: 'text', text }],
  ...(partial ? { partial } : {}),
})
const user = (text: string) => message('user', text)
const said = (text: string, partial?: true) => message('assistant', text, partial)
const call = (call_id: string, partial?: true): ModelItem => ({
  type: 'tool_call',
  id: `call ${call_id}`,
  call_id,
  name: 'it',
  arguments: '{}',
  ...(partial ? { partial } : {}),
})
const result = (call_id: string): ModelItem => ({
  type: 'tool_result',
  id: `result ${call_id}`,
  call_id,
  output: 'ok',
})
const thought = (text: string, partial?: true): ModelItem => ({
  type: 'reasoning',
  id: text,
  text,
  ...(partial ? { partial } : {}),
})

function build(own: PlacedItem[], earlier: PlacedItem[] = [], limits: HistoryLimits = {}) {
  const built = buildHistory({ earlier, own, limits })
  const ids = built.items.map((item) =>
    item.type === 'tool_result' && item.error ? `made up ${item.call_id}` : item.id,
  )
  return { ...built, ids }
}

describe('pairing', () => {
  test('results come in call order, whatever order they were committed in', () => {
    const own = run('r', [
      [null, user('hi')],
      [0, call('a'), call('b'), result('b'), result('a')],
      [1, said('done')],
    ])
    expect(build(own).ids).toEqual(['hi', 'call a', 'call b', 'result a', 'result b', 'done'])
  })

  test('a call without a result gets one that says its outcome is unknown', () => {
    const own = run('r', [
      [null, user('hi')],
      [0, call('a'), call('b'), result('b')],
    ])
    const { ids, items } = build(own)
    expect(ids).toEqual(['hi', 'call a', 'call b', 'made up a', 'result b'])
    expect(items[3]).toMatchObject({ call_id: 'a', error: { code: 'outcome_unknown' } })
  })

  test('what is void is left out, with its calls', () => {
    const own = run('r', [
      [null, user('hi')],
      [0, ['void', said('x')], ['void', call('v')], said('y')],
    ])
    expect(build(own).ids).toEqual(['hi', 'y'])
  })

  test('of what was cut only text stays', () => {
    const own = run('r', [
      [null, user('hi')],
      [0, thought('t', true), said('cut', true), call('c', true)],
    ])
    expect(build(own).ids).toEqual(['hi', 'cut'])
  })

  test('whole reasoning stays where it was', () => {
    const own = run('r', [
      [null, user('hi')],
      [0, thought('t'), call('a'), result('a')],
      [1, said('done')],
    ])
    expect(build(own).ids).toEqual(['hi', 't', 'call a', 'result a', 'done'])
  })

  test('text behind a call of the same reply stands before it', () => {
    const own = run('r', [
      [null, user('hi')],
      [0, call('a'), said('more'), call('b'), result('a'), result('b')],
    ])
    expect(build(own).ids).toEqual(['hi', 'more', 'call a', 'call b', 'result a', 'result b'])
  })

  test("a history that the caller brings as input keeps its turns' order", () => {
    const own = run('r', [
      [
        null,
        user('one'),
        call('a'),
        result('a'),
        said('first'),
        user('two'),
        call('b'),
        call('c'),
        user('three'),
      ],
    ])
    expect(build(own).ids).toEqual([
      'one',
      'call a',
      'result a',
      'first',
      'two',
      'call b',
      'call c',
      'made up b',
      'made up c',
      'three',
    ])
  })

  test('a result without its call is left out', () => {
    expect(build(run('r', [[null, user('hi'), result('nobody')]])).ids).toEqual(['hi'])
  })

  test('two steps with calls do not mix', () => {
    const own = run('r', [
      [null, user('hi')],
      [0, call('a'), result('a')],
      [1, call('b'), result('b')],
    ])
    expect(build(own).ids).toEqual(['hi', 'call a', 'result a', 'call b', 'result b'])
  })
})

describe('results that a later run brings', () => {
  const asking = run('1', [
    [null, user('q')],
    [0, said('one moment'), call('a'), call('b'), result('a')],
  ])
  const answering = run('2', [
    [null, result('b')],
    [0, call('c')],
  ])
  const own = run('r', [[null, result('c')]])
  const whole = ['q', 'one moment', 'call a', 'call b', 'result a', 'result b', 'call c', 'result c']

  test('stand behind their calls', () => {
    expect(build(own, [...asking, ...answering]).ids).toEqual(whole)
    const late = run('r', [[null, user('now'), result('b')]])
    expect(build(late, asking).ids).toEqual([...whole.slice(0, 6), 'now'])
  })

  test('belong to the call nearest before them', () => {
    const again = run('2', [[null, user('x'), call('b'), result('b')]])
    const other = run('3', [[null, { ...result('b'), id: 'other b' }]])
    expect(build(other, again).ids).toEqual(['x', 'call b', 'result b'])
    expect(build(again, asking).ids.slice(-3)).toEqual(['x', 'call b', 'result b'])
  })

  test('make one turn with their calls, which is kept or left out whole', () => {
    const before = run('0', [
      [null, user('hi')],
      [0, said('hello')],
    ])
    const runs = [
      ...before,
      ...asking,
      ...answering,
      ...run('3', [
        [null, result('c')],
        [0, said('done')],
      ]),
    ]
    const now = run('r', [[null, user('now')]])
    expect(build(now, runs, { maxTurns: 1 })).toMatchObject({ ids: [...whole, 'done', 'now'], turns: 1 })
    const { ids, left } = build(now, runs, { maxTurns: 0 })
    expect(ids).toEqual(['now'])
    expect(left.map(({ runId, items }) => [runId, items.length])).toEqual([
      ['0', 2],
      ['3', 9],
    ])
  })

  test('keep the turn that this run goes on with, and it takes its room', () => {
    const before = run('0', [[null, user('hi')]])
    const runs = [...before, ...asking, ...answering]
    expect(build(own, runs, { maxTurns: 0, maxTokens: 1 })).toMatchObject({
      ids: whole,
      turns: 0,
      trimmed: true,
    })
    const room = estimateTokens(build(own, runs.slice(1)).items)
    expect(build(own, runs, { maxTokens: room + 1 }).ids).toEqual(whole)
    expect(build(own, runs, { maxTokens: room + 10 }).ids).toEqual(['hi', ...whole])
  })

  test('are not sent without their calls, nor a turn without its beginning', () => {
    expect(build(run('r', [[null, user('now')]]), answering).ids).toEqual(['now'])
    expect(build(run('r', [[null, user('now'), result('c')]]), answering, { maxTurns: 0 }).ids).toEqual([
      'now',
    ])
  })
})

describe('trimming', () => {
  const earlier = ['1', '2', '3'].flatMap((n) =>
    run(n, [
      [null, user(`q${n}`)],
      [0, said(`a${n}`)],
    ]),
  )
  const own = run('r', [[null, user('now')]])

  test.each<[HistoryLimits, string[], boolean]>([
    [{}, ['q1', 'a1', 'q2', 'a2', 'q3', 'a3'], false],
    [{ maxTurns: 3 }, ['q1', 'a1', 'q2', 'a2', 'q3', 'a3'], false],
    [{ maxTurns: 1 }, ['q3', 'a3'], true],
    [{ maxTurns: 0 }, [], true],
    [{ maxTokens: 5 }, [], true],
    [{ maxTokens: 0 }, [], true],
    [{ maxTokens: 1000, maxTurns: 2 }, ['q2', 'a2', 'q3', 'a3'], true],
  ])('%o keeps %o', (limits, kept, trimmed) => {
    const built = build(own, earlier, limits)
    expect(built.ids).toEqual([...kept, 'now'])
    expect(built.trimmed).toBe(trimmed)
    expect(built.turns).toBe(kept.length / 2)
  })

  test('what this run says counts against the tokens, and stays', () => {
    const long = run('r', [[null, user('x'.repeat(1000))]])
    expect(build(long, earlier, { maxTokens: 100 })).toMatchObject({ turns: 0, trimmed: true })
  })

  test('a turn is never sent in part', () => {
    const calls = run('1', [
      [null, user('q')],
      [0, call('a'), result('a')],
      [1, said('long'.repeat(100))],
    ])
    expect(build(own, calls, { maxTokens: 60 }).ids).toEqual(['now'])
  })
})

describe('notes', () => {
  const note = (kind: NoteItem['kind'], text: string, through?: string): NoteItem => {
    const note: NoteItem = { type: 'note', id: text, kind, text }
    return through === undefined ? note : { ...note, through_run_id: through }
  }
  const now = run('r', [[null, user('now')]])
  const turn = (n: number, ...more: Short[]) =>
    run(String(n), [
      [null, user(`q${n}`)],
      [0, said(`a${n}`), ...more],
    ])

  test('of this run reach the model as messages, of its plans only the newest', () => {
    const own = run('r', [
      [null, user('hi')],
      [0, note('plan', 'old plan'), call('a'), result('a')],
      [1, note('plan', 'new plan'), note('reminder', 'hurry'), said('{')],
      [1, note('correction', 'no JSON')],
    ])
    const built = build(own)
    expect(built.ids).toEqual(['hi', 'call a', 'result a', 'new plan', 'hurry', '{', 'no JSON'])
    expect(built.items[3]).toMatchObject({ type: 'message', role: 'user' })
    expect(built.items.filter(({ type }) => type === 'message')).toHaveLength(5)
  })

  test('of earlier runs are not sent, nor are answers that were corrected', () => {
    const earlier = run('1', [
      [null, user('q')],
      [0, note('plan', 'plan'), call('a'), result('a')],
      [1, said('wrong'), note('correction', 'no')],
      [2, note('reminder', 'hurry'), said('right')],
    ])
    expect(build(now, earlier).ids).toEqual(['q', 'call a', 'result a', 'right', 'now'])
  })

  test('a summary stands for its runs, before all that came later', () => {
    const earlier = [turn(1), turn(2), turn(3, note('summary', 'sum', '1')), turn(4)].flat()
    const built = build(now, earlier)
    expect(built.ids).toEqual(['sum', 'q2', 'a2', 'q3', 'a3', 'q4', 'a4', 'now'])
    expect(built).toMatchObject({ turns: 3, trimmed: false, summary: { text: 'sum' } })
  })

  test('the newest summary counts, one of this run most of all', () => {
    const earlier = [
      turn(1),
      turn(2, note('summary', 'old', '1')),
      turn(3, note('summary', 'new', '2')),
    ].flat()
    expect(build(now, earlier).ids).toEqual(['new', 'q3', 'a3', 'now'])
    const own = [...now, ...run('r', [[0, note('summary', 'newest', '3')]])]
    expect(build(own, earlier).ids).toEqual(['newest', 'now'])
  })

  test('a summary of runs that were not read stands before those that were', () => {
    expect(build(now, turn(4, note('summary', 'sum', '3'))).ids).toEqual(['sum', 'q4', 'a4', 'now'])
  })

  test('what is left out begins after the summary; the summary stays, and takes its room', () => {
    const earlier = [turn(1), turn(2, note('summary', 'sum', '1')), turn(3), turn(4)].flat()
    const built = build(now, earlier, { maxTurns: 1 })
    expect(built.ids).toEqual(['sum', 'q4', 'a4', 'now'])
    expect(built.left.map(({ runId }) => runId)).toEqual(['2', '3'])
    expect(build(now, earlier, { maxTokens: 0 }).ids).toEqual(['sum', 'now'])
  })

  test('with a share of the tokens fewer turns are kept', () => {
    const earlier = [1, 2, 3, 4, 5, 6].flatMap((n) => turn(n))
    const kept = (limits: HistoryLimits, share: number) =>
      buildHistory({ earlier, own: now, limits, share }).turns
    expect(kept({ maxTurns: 5 }, 1)).toBe(5)
    expect(kept({ maxTurns: 5 }, 0.5)).toBe(5)
    expect(kept({}, 0.5)).toBe(6)
    const perTurn = estimateTokens(build([], turn(1)).items)
    const maxTokens = estimateTokens(build(now).items) + 4 * perTurn
    expect(kept({ maxTokens }, 1)).toBe(4)
    expect(kept({ maxTokens }, 0.5)).toBe(2)
  })
})

test('an estimate counts text, and a picture as a thousand tokens', () => {
  expect(estimateTokens([])).toBe(0)
  expect(estimateTokens([user('1234567')])).toBe(6)
  expect(estimateTokens([thought('1234567'), call('a'), result('a')])).toBe(16)
  const picture: ModelItem = {
    type: 'message',
    id: 'p',
    role: 'user',
    content: [{ type: 'image', url: 'data:image/png;base64,' }],
  }
  expect(estimateTokens([picture])).toBeGreaterThan(1000)
})
