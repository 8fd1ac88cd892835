import { describe, expect, test } from 'vitest'
import type { ModelItem, PlacedItem } from '../items.ts'
import { buildHistory, estimateTokens, type HistoryLimits } from './history.ts'

type Short = ModelItem | [void_: 'void', item: ModelItem]

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
