import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { FilterContext, HookContext } from '../agent/hooks.ts'
import type { Item, MessageItem, ModelItem } from '../items.ts'
import type { ModelReply, ModelRequest } from '../models/model.ts'
import { denyList, type DenyListOptions } from './deny-list.ts'
import { maxInput } from './max-input.ts'

function user(id: string, text: string): MessageItem {
  return { type: 'message', id, role: 'user', content: [{ type: 'text', text }] }
}

/** `input`: the ids of what the run itself brings. */
function request(items: ModelItem[], input = items.map(({ id }) => id)) {
  const given: ModelRequest = { instructions: undefined, items, tools: [], settings: {} }
  const own: Item[] = items.filter(({ id }) => input.includes(id))
  const signal = new AbortController().signal
  const context = { input: own, signal, earlierInput: async () => [] } as unknown as HookContext
  return { given, context }
}

function answer(options: DenyListOptions, items: ModelItem[], input?: string[]) {
  const { given, context } = request(items, input)
  return denyList(options).beforeModel!(given, context)
}

/** What is shown of a reply that comes in pieces, and what it is refused with. */
function stream(options: DenyListOptions, pieces: readonly string[]) {
  const refused: string[] = []
  const context = { refuse: (message) => void refused.push(message) } as FilterContext
  const filter = denyList(options).filterText!('text', context)!
  const shown = [...pieces.map((piece) => filter.push(piece)), filter.end()]
  return { shown, text: shown.join(''), refused }
}

const isRefused = async (options: DenyListOptions, text: string) =>
  (await answer(options, [user('i', text)])) !== undefined

describe('a word is found', async () => {
  test.each([
    ['falcon', 'the Falcon has landed'],
    ['falcon', 'FALCON'],
    ['falcon', '(falcon)'],
    ['falcon', 'fal\u200bcon'],
    ['falcon', 'fal\u00adcon!'],
    ['falcon', 'ｆａｌｃｏｎ'],
    ['falcon', '𝐟𝐚𝐥𝐜𝐨𝐧'],
    ['falcon', '👍𝐟alcon'],
    ['falcon', '\u200bfalcon'],
    ['falcon', '秘\u200bfalcon'],
    ['falcon', '秘\ufe00falcon'],
    ['falcon', 'fal\u034fcon'],
    ['falcon', 'fal\ufe0fcon'],
    ['falcon', 'fal\u{e0101}con'],
    ['falcon', 'fal\u180bcon'],
    ['falcon', 'fal\u17b4con'],
    ['falcon', 'fal\u3164con'],
    ['falcon', '\u115ffal\uffa0con'],
    ['falcon', '_falcon_'],
    ['falcon', 'my __falcon__ rises'],
    ['falcon', 'falcon_1'],
    ['secret plan', 'secret_plan'],
    ['secret plan', 'a secret _plan_'],
    ['secret plan', 'secret \u3164 plan'],
    ['secret_plan', 'my_secret_plan'],
    ['secret_plan', 'secret plan'],
    ['秘密', '秘\ufe00密'],
    ['café', 'cafe\u0301'],
    ['cafe\u0301', 'CAFÉ'],
    ['straße', 'STRASSE'],
    ['Σίσυφος', 'ΣΊΣΥΦΟΣ'],
    ['project falcon', 'Project\n  Falcon.'],
    ['project falcon', 'project-falcon'],
    ['project falcon', 'my project project falcon'],
    ['e-mail', 'e mail'],
    ['project falcon', `project${' '.repeat(40)}falcon`],
    ['project falcon', `project${'\u200b -\n'.repeat(400)}falcon`],
    ['falcon', `f${'\u200b'.repeat(1000)}alcon`],
    ["don't", 'DON’T'],
    ['秘密', 'これは秘密です'],
    ['ガス', 'ｶﾞｽ'],
    ['한국', '한국'.normalize('NFD')],
  ])('%j in %j', async (word, text) => {
    expect(await isRefused({ words: [word] }, text)).toBe(true)
    expect(stream({ words: [word] }, text.split('')).refused).toHaveLength(1)
  })
})

describe('a word is not found', () => {
  test.each([
    ['falcon', 'falcons and xfalcon and 1falcon'],
    ['falcon', 'falco n'],
    ['cafe', 'café'],
    ['project falcon', 'project. falcon'],
    ['project falcon', 'projectfalcon'],
    ['project falcon', 'project'],
    ['project falcon', `project${' '.repeat(40)}. falcon`],
    ['falcon', `falcon${'s'.repeat(300)}`],
    ['秘密', '秘 の密'],
    ['ann', 'Joanna'],
  ])('%j in %j', async (word, text) => {
    expect(await isRefused({ words: [word] }, text)).toBe(false)
    expect(stream({ words: [word] }, text.split(''))).toMatchObject({ text, refused: [] })
  })
})

describe('requests', () => {
  const options: DenyListOptions = { words: ['falcon'], message: 'Not that.' }

  test('are refused with the author’s message for what they bring', async () => {
    expect(await answer(options, [user('a', 'hi'), user('b', 'falcon')])).toEqual({
      refuse: { code: 'content_filter', message: 'Not that.' },
    })
    expect(await answer(options, [user('a', 'hi')])).toBeUndefined()
  })

  test('go on with what was refused earlier blacked out', async () => {
    const items: ModelItem[] = [
      user('a', 'The falcon has key sk-12345678.'),
      { ...user('b', 'falcon'), role: 'assistant' },
      { type: 'tool_result', id: 'c', call_id: 'x', output: 'falcon' },
      user('d', 'hi'),
    ]
    const both: DenyListOptions = { ...options, patterns: [/sk-[a-z0-9]{8,20}/] }
    const masked = (text: string) => request([user('a', text), ...items.slice(1)]).given
    expect(await answer(options, items, ['d'])).toEqual(masked('The ███ has key sk-12345678.'))
    expect(await answer(both, items, ['d'])).toEqual(masked('The ███ has key ███.'))
  })

  test.each([
    ['words far apart', `project${' '.repeat(100_000)}falcon`],
    ['much between them that is not seen', `project ${'\u200b'.repeat(100_000)}falcon`],
    ['a word with much in it that is not seen', `a red project f${'\u00ad'.repeat(100_000)}alcon`],
  ])('are refused for %s, and blacked out later', async (_, text) => {
    const list: DenyListOptions = { words: ['project falcon'] }
    expect(await isRefused(list, text)).toBe(true)
    const masked = await answer(list, [user('a', text), user('b', 'hi')], ['b'])
    expect(JSON.stringify(masked)).toContain('███')
    expect(JSON.stringify(masked)).not.toContain('alcon')
  })

  test('are looked at in what they say that a model has said', async () => {
    const said: MessageItem = { ...user('a', 'falcon'), role: 'assistant' }
    expect(await answer(options, [said, user('b', 'hi')])).toMatchObject({ refuse: {} })
    const { given, context } = request([said, user('b', 'hi')], ['b'])
    const earlierInput = async () => [[said]]
    const later = await denyList(options).beforeModel!(given, { ...context, earlierInput })
    expect(later).toEqual(
      request([{ ...said, content: [{ type: 'text', text: '███' }] }, user('b', 'hi')]).given,
    )
  })

  test('are looked at in their own instructions', async () => {
    const { given, context } = request([user('a', 'hi')])
    const hooks = denyList(options)
    const instructions = 'Say falcon.'
    expect(await hooks.beforeModel!(given, { ...context, instructions })).toMatchObject({ refuse: {} })
    expect(await hooks.beforeModel!(given, { ...context, instructions: 'Say hi.' })).toBeUndefined()
  })

  test('are looked at part by part and across their parts', async () => {
    const of = (...texts: string[]): MessageItem => ({
      ...user('a', ''),
      content: texts.map((text) => ({ type: 'text', text })),
    })
    const image = { type: 'image' as const, url: 'data:,' }
    expect(await answer(options, [of('x', 'falcon')])).toMatchObject({ refuse: {} })
    expect(await answer(options, [of('fal', 'con')])).toMatchObject({ refuse: {} })
    const split = of('a fal', 'con')
    split.content.push(image)
    expect(await answer(options, [split], [])).toEqual(
      request([{ ...split, content: [{ type: 'text', text: 'a ███' }, image] }]).given,
    )
  })

  test('are not looked at where only output is', () => {
    expect(Object.keys(denyList({ ...options, input: false }))).toEqual(['filterText', 'afterModel'])
    expect(Object.keys(denyList({ ...options, output: false }))).toEqual(['beforeModel'])
  })
})

describe('replies', () => {
  const words: DenyListOptions = { words: ['falcon', 'red kite'] }

  test('are shown up to the word and refused once', () => {
    const { text, refused } = stream(words, ['Look: a fal', 'con, and a falcon', ' more'])
    expect(text).toBe('Look: a ')
    expect(refused).toEqual(['This content is not allowed here.'])
  })

  test('come with no more than a word of delay where nothing is denied', () => {
    expect(stream(words, ['One', ' two', ' red', ' three.']).shown).toEqual([
      'One',
      ' two',
      ' ',
      'red three.',
      '',
    ])
  })

  test('never show a piece of a denied word, wherever they are cut', async () => {
    const fragments = [
      'falcon',
      'fal',
      'con',
      'red',
      ' ',
      'kite',
      '-',
      'a',
      'x_',
      '\u200b',
      '\u{e0101}',
      '_',
      '👍',
      '𝐟',
      'é',
      '.',
      '7',
    ]
    const text = fc.array(fc.constantFrom(...fragments), { maxLength: 12 }).map((all) => all.join(''))
    await fc.assert(
      fc.asyncProperty(text, fc.array(fc.nat({ max: 40 }), { maxLength: 12 }), async (whole, cuts) => {
        const places = [0, ...cuts.filter((cut) => cut < whole.length), whole.length].toSorted(
          (a, b) => a - b,
        )
        const pieces = places.slice(1).map((place, i) => whole.slice(places[i], place))
        const streamed = stream(words, pieces)
        expect(streamed.text).toBe(stream(words, [whole]).text)
        expect(streamed.refused.length > 0).toBe(await isRefused(words, whole))
        expect(streamed.shown.filter((one) => /[\uD800-\uDBFF]$/.test(one))).toEqual([])
        expect(await isRefused(words, streamed.text)).toBe(false)
      }),
      { numRuns: 1000 },
    )
  })

  test('are refused after they were shown where the words of a phrase are further apart than is held back', async () => {
    const text = `red${' '.repeat(3000)}kite`
    const { shown, refused } = stream(words, ['red', ' '.repeat(1000), ' '.repeat(2000), 'kite'])
    expect([shown.join(''), refused]).toEqual([text, []])
    const items = [{ ...user('a', text), role: 'assistant' as const }]
    const reply: ModelReply = { finishReason: 'stop', usage: null }
    expect(await denyList(words).afterModel!({ items, reply }, request([]).context)).toMatchObject({
      refuse: {},
    })
  })

  test('are refused after they were shown where a filter could not see enough', async () => {
    const options: DenyListOptions = { patterns: [/begin[^]*end/], maxPatternChars: 8 }
    const text = `begin ${'x'.repeat(100)} end`
    expect(stream(options, text.split('')).refused).toEqual([])
    const hooks = denyList(options)
    const check = (items: Item[]) => hooks.afterModel!({ items, reply }, request([]).context)
    const reply: ModelReply = { finishReason: 'stop', usage: null }
    const items = [{ ...user('a', text), role: 'assistant' as const }]
    expect(await check(items)).toMatchObject({ refuse: { code: 'content_filter' } })
    expect(await check([{ type: 'reasoning', id: 'r', text }])).toBeDefined()
    const call: Item = { type: 'tool_call', id: 'c', call_id: 'x', name: 't', arguments: text }
    expect(await check([call])).toBeUndefined()
  })
})

describe('patterns', () => {
  const options: DenyListOptions = { patterns: [/\bsk-[a-z0-9]{8,20}\b/gi], maxPatternChars: 24 }

  test('are matched against normalised text', async () => {
    expect(await isRefused(options, 'key: ＳＫ-abcd\u200b1234.')).toBe(true)
    expect(await isRefused(options, 'key: sk-abcd\ufe0f12\u{e0101}34.')).toBe(true)
    expect(await isRefused(options, 'risk-averse people')).toBe(false)
    expect(await isRefused(options, 'ask-abcd1234')).toBe(false)
  })

  test('nothing of a match is shown, however it is cut', () => {
    const text = `${'Some text before it. '.repeat(3)}The key is sk-abcd12345678 and more.`
    for (const size of [1, 3, 7, 1000]) {
      const { text: shown, refused } = stream(options, text.match(new RegExp(`.{1,${size}}`, 'gs'))!)
      expect(refused).toHaveLength(1)
      expect(shown).not.toContain('sk-')
      expect(text.startsWith(shown)).toBe(true)
    }
  })

  test('hold back no more than they must, and do not match because of it', () => {
    const text = `${'ask-abcd1234 '.repeat(20)}👍👍👍👍👍👍👍👍👍👍👍👍👍👍👍`
    const { shown, text: all, refused } = stream(options, text.split(/(?=.)/u))
    expect(all).toBe(text)
    expect(refused).toEqual([])
    expect(shown.at(-1)!.length).toBeLessThanOrEqual(25)
    expect(shown.filter((one) => /[\uD800-\uDBFF]$/.test(one))).toEqual([])
  })

  test('one that matches nothing at all denies nothing', async () => {
    expect(await isRefused({ patterns: [/x*/] }, 'abc')).toBe(false)
  })
})

describe('a list that cannot work is an error at once', () => {
  test.each([
    [{}, 'there are no words and no patterns'],
    [{ words: ['c++'] }, 'not made of whole words: "c++"'],
    [{ words: ['_a'] }, 'not made of whole words: "_a"'],
    [{ words: [' '] }, 'must not be empty'],
    [{ words: ['a'], maxPatternChars: 0 }, 'maxPatternChars'],
  ] as [DenyListOptions, string][])('%j', (options, message) => {
    expect(() => denyList(options)).toThrow(message)
  })
})

describe('maxInput', () => {
  const check = (chars: number, items: ModelItem[], input?: string[]) => {
    const { given, context } = request(items, input)
    return maxInput({ chars }).beforeModel!(given, context)
  }

  test('counts the text that the request brings, and nothing else', async () => {
    const items: ModelItem[] = [
      user('old', 'x'.repeat(100)),
      {
        ...user('a', '12345'),
        content: [
          { type: 'text', text: '12345' },
          { type: 'image', url: 'data:,123' },
        ],
      },
      user('b', '67890'),
      { ...user('c', 'x'.repeat(100)), role: 'assistant' },
      { type: 'tool_result', id: 'd', call_id: 'x', output: 'x'.repeat(100) },
    ]
    expect(await check(10, items, ['a', 'b', 'd'])).toBeUndefined()
    expect(await check(9, items, ['a', 'b', 'd'])).toEqual({
      refuse: {
        code: 'content_filter',
        message: 'The input is too long: 10 characters, and at most 9 are taken.',
      },
    })
  })

  test('counts what the request says that a model has said', async () => {
    const said: MessageItem = { ...user('a', 'x'.repeat(10)), role: 'assistant' }
    expect(await check(9, [said])).toMatchObject({ refuse: {} })
    const { given, context } = request([said, user('b', 'hi')], ['b'])
    const later = await maxInput({ chars: 9 }).beforeModel!(given, {
      ...context,
      earlierInput: async () => [[said]],
    })
    expect(JSON.stringify(later)).toContain('a message of 10 characters was refused')
  })

  test('a limit that is none is an error', () => {
    expect(() => maxInput({ chars: Number.NaN })).toThrow(TypeError)
  })
})
