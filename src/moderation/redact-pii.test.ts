import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { FilterContext, HookContext, TextFilter } from '../agent/hooks.ts'
import type { ModelItem } from '../items.ts'
import type { ModelRequest } from '../models/model.ts'
import { redactPii, redactText, type PiiKind } from './redact-pii.ts'

const kinds: readonly PiiKind[] = ['email', 'iban', 'card', 'phone']

const found: Record<PiiKind, readonly (readonly [text: string, redacted: string])[]> = {
  email: [
    ['ann@example.com', '[email]'],
    ['Write to ann@example.com.', 'Write to [email].'],
    ['<mailto:ann.b+news@mail.example.co.uk>', '<mailto:[email]>'],
    ['ANN_B%x@EXAMPLE.COM, bo@x.io', '[email], [email]'],
    ["O'Brien: o'brien@example.ie", "O'Brien: [email]"],
    ['(jörg@müller.example)', '([email])'],
    ['a@b.xn--p1ai!', '[email]!'],
    ['ann@example.com-', '[email]-'],
    ['4111111111111111@example.com', '[email]'],
    ['"ann@example.com"', '"[email]"'],
    [`${'x.'.repeat(60)}ann@example.com`, `${'x.'.repeat(60 - 30)}[email]`],
  ],
  iban: [
    ['DE89 3704 0044 0532 0130 00', '[iban]'],
    ['IBAN: DE89370400440532013000.', 'IBAN: [iban].'],
    ['gb29 nwbk 6016 1331 9268 19', '[iban]'],
    ['FR14 2004 1010 0505 0001 3M02 606, please', '[iban], please'],
    ['NO9386011117947', '[iban]'],
    ['MT84-MALT-0110-0001-2345-MTLC-AST0-01S', '[iban]'],
  ],
  card: [
    ['4111 1111 1111 1111', '[card]'],
    ['my card is 4111111111111111, thanks', 'my card is [card], thanks'],
    ['5500-0000-0000-0004', '[card]'],
    ['Amex 3782 822463 10005.', 'Amex [card].'],
    ['3056 930902 5904', '[card]'],
    ['6011.1111.1111.1117', '[card]'],
    ['4111 1111 1111 1111 12/27 123', '[card] 12/27 123'],
    ['4222222222222', '[card]'],
    ['2221 0000 0000 0009', '[card]'],
    ['card:4111111111111111', 'card:[card]'],
    ['2 4111 1111 1111 1111', '2 [card]'],
  ],
  phone: [
    ['+49 30 1234567', '[phone]'],
    ['+4915112345678', '[phone]'],
    ['+49 (0)30 123456', '[phone]'],
    ['(+49) 30 1234567', '[phone]'],
    ['call (+49 30 1234567) now', 'call ([phone]) now'],
    ['+1 (555) 123-4567', '[phone]'],
    ['+1-555-123-4567 2 times', '[phone] 2 times'],
    ['+44 20 7946 0958.', '[phone].'],
    ['+34 612 345 678', '[phone]'],
    ['0049 30 1234567', '[phone]'],
    ['(555) 123-4567', '[phone]'],
    ['(555)123-4567', '[phone]'],
    ['555-123-4567', '[phone]'],
    ['555.123.4567', '[phone]'],
    ['1-800-555-0199!', '[phone]!'],
    ['212 555 0147 is mine', '[phone] is mine'],
    ['030 1234567', '[phone]'],
    ['030/1234567', '[phone]'],
    ['(030) 123 45 67', '[phone]'],
    ['us (030 1234567)', 'us ([phone])'],
    ['06 12 34 56 78', '[phone]'],
    ['06.12.34.56.78', '[phone]'],
    ['020 7946 0958', '[phone]'],
    ['07700 900123', '[phone]'],
    ['07700900123', '[phone]'],
    ['0612345678', '[phone]'],
    ['015112345678', '[phone]'],
    ['Tel.:030-1234567', 'Tel.:[phone]'],
  ],
}

const kept: Record<PiiKind, readonly string[]> = {
  email: [
    'ann@localhost',
    'meet @ noon',
    '@ann said',
    'a@b',
    'a@b.c',
    'a@b.1',
    'ann @example.com',
    'ann.@example.com',
    'x = y@z',
    'git@',
    'user@-.com',
    '1@2.3',
  ],
  iban: [
    'DE89 3704 0044 0532 0130 01',
    'DE89 3704 0044 0532 0130',
    'XDE89370400440532013000',
    'DE893704004405320130001',
    'ZZ89370400440532013000',
    'AB12 3456',
    'DE89  3704 0044 0532 0130 00',
    'In 2024 we met',
  ],
  card: [
    '4111 1111 1111 1112',
    '1718000000000',
    '41111111111111111111111111',
    '4111 1111 11111111',
    '0.4111111111111111',
    'ref4111111111111111',
    '4111111111111111x',
    '2 3 4 5 6 2 3 4 5 6 2 3 4 5 6',
    '550e8400-e29b-41d4-a716-446655440000',
    '2024-01-01 10:00:00',
    '3,141,592,653,589,793',
  ],
  phone: [
    '2024-01-31',
    '01.02.2024',
    '01.02.2024 10:30',
    '01/02/2024 10 Uhr',
    '31.12.2024-01.02.2025',
    '10:30-12:45',
    'Order 1234567890',
    'order #555-123-4567',
    '112-1234567-1234567',
    '555-123-4567-8901',
    '€ 1.234.567,89',
    '$1,234,567.89',
    '0.123456789',
    '1 000 000 000',
    '+100.000.000',
    '+5',
    'C++ 11 and 14',
    '2+2=4',
    '2+12345678901',
    '192.168.100.200',
    '10.0.0.1:8080',
    '555-1234',
    '612 345 678',
    '0123 4567 8901',
    '07700900123-5',
    'DE89 3704 0044 0532 0130',
    '978-0-306-40615-7',
    '0-306-40615-2',
    '0012345678905',
    '123-45-6789',
    '550e8400-e29b-41d4-a716-012345678901',
    'v1.2.3-4567',
    '+12345',
    '+1234567890123456789',
    '12345678',
    'room 101, 202 and 3030',
    '(1) 2 (3) 4',
    '2021 2022 2023',
  ],
}

describe.each(kinds)('%s', (kind) => {
  test.each(found[kind])('of %j leaves %j', (text, redacted) => {
    expect(redactText(text)).toBe(redacted)
  })

  test.each(kept[kind])('is not in %j', (text) => {
    // Part of an account number that is none may have the look of a card.
    expect(redactText(text, kind === 'iban' ? { kinds: [kind] } : {})).toBe(text)
  })
})

test('several kinds in one text are told apart, and nothing else changes', () => {
  expect(
    redactText('Ann (ann@x.example, +49 30 1234567) paid 12.50 with 4111 1111 1111 1111 on 01.02.2024. 👍'),
  ).toBe('Ann ([email], [phone]) paid 12.50 with [card] on 01.02.2024. 👍')
})

test('only the kinds that are asked for are redacted, by what the author says', () => {
  const text = 'ann@x.example or +49 30 1234567, help@x.example'
  expect(redactText(text, { kinds: ['phone'] })).toBe('ann@x.example or [phone], help@x.example')
  const replacement = (kind: PiiKind, match: string) =>
    match === 'help@x.example' ? match : kind.toUpperCase()
  expect(redactText(text, { replacement })).toBe('EMAIL or PHONE, help@x.example')
})

function filter(): TextFilter {
  return redactPii().filterText!('text', {} as FilterContext)!
}

function redactPieces(pieces: readonly string[]): { shown: string[]; text: string } {
  const one = filter()
  const shown = [...pieces.map((piece) => one.push(piece)), one.end()]
  return { shown, text: shown.join('') }
}

describe('a text that is streamed', () => {
  const marks = [
    '@',
    '.',
    '+',
    '(',
    ') ',
    ' ',
    '-',
    '0',
    '1',
    '4111',
    'DE89',
    'a',
    '👍',
    '𝐀',
    'é',
    '\n',
    ', ',
  ]
  const fragments = [
    ...kinds.flatMap((kind) => [...found[kind].map(([text]) => text), ...kept[kind]]),
    ...marks,
  ]
  const cutText = fc
    .tuple(
      fc.array(fc.oneof(fc.constantFrom(...fragments), fc.string({ maxLength: 4 })), { maxLength: 8 }),
      fc.array(fc.nat({ max: 400 }), { maxLength: 40 }),
    )
    .map(([parts, cuts]) => {
      const text = parts.join('')
      const places = [...new Set([0, ...cuts.map((cut) => cut % (text.length + 1)), text.length])]
      places.sort((a, b) => a - b)
      return { text, pieces: places.slice(1).map((place, i) => text.slice(places[i], place)) }
    })

  test('is redacted as the whole text is, wherever it is cut', () => {
    fc.assert(
      fc.property(cutText, ({ text, pieces }) => {
        expect(redactPieces(pieces).text).toBe(redactText(text))
      }),
      { numRuns: 2000 },
    )
  })

  test('every text of the tables is redacted the same character by character', () => {
    for (const text of fragments) expect(redactPieces(text.split('')).text).toBe(redactText(text))
  })

  test('never comes in half characters', () => {
    const half = /[\uD800-\uDBFF]$|^[\uDC00-\uDFFF]/
    fc.assert(
      fc.property(cutText, ({ pieces }) => {
        expect(redactPieces(pieces).shown.filter((one) => half.test(one))).toEqual([])
      }),
    )
  })

  test('comes with no more than a word of delay', () => {
    const words = 'The quick brown fox, aged 7, jumps over 13 lazy dogs in 2024 for 3.50 a day.'.split(
      /(?<= )/,
    )
    const one = filter()
    let given = ''
    let shown = ''
    for (const word of words) {
      given += word
      shown += one.push(word)
      expect(given.length - shown.length).toBeLessThanOrEqual(word.length)
    }
  })

  test('holds back no more than an address can be long', () => {
    for (const text of [
      'a'.repeat(5000),
      '4'.repeat(5000),
      `a@${'a.'.repeat(2500)}`,
      '+1 2 3 4'.repeat(600),
      '(((('.repeat(900),
    ]) {
      const one = filter()
      let ahead = 0
      for (const character of text) {
        ahead += 1 - one.push(character).length
        expect(ahead).toBeLessThanOrEqual(320)
      }
    }
  })
})

test.each([
  ['digits', '4'.repeat(400_000)],
  ['grouped digits', '4111 1111 1111 1112 '.repeat(20_000)],
  ['beginnings of addresses', 'a@'.repeat(200_000)],
  ['addresses without an end', `a@${'a.'.repeat(200_000)}`],
  ['dots', 'a.'.repeat(200_000)],
  ['beginnings of numbers', '+1('.repeat(130_000)],
  ['beginnings of accounts', 'DE89 '.repeat(80_000)],
])('much of %s takes no more than a moment, whole and in pieces', (_what, text) => {
  const began = performance.now()
  redactText(text)
  redactPieces(text.match(/[^]{1,64}/g)!)
  // A quadratic scan would take hours; the bound only has to be far from both.
  expect(performance.now() - began).toBeLessThan(5_000)
})

const context = { signal: new AbortController().signal } as HookContext

describe('what the model reads', () => {
  const request = (items: ModelItem[]): ModelRequest => ({
    instructions: 'Mail boss@x.example.',
    items,
    tools: [],
    settings: {},
  })
  const redact = (items: ModelItem[]) =>
    redactPii().beforeModel!(request(items), context) as Promise<ModelRequest | undefined>

  test('is redacted in messages, results and the arguments of calls; the author’s instructions are not', async () => {
    const changed = await redact([
      {
        type: 'message',
        id: 'i1',
        role: 'user',
        content: [
          { type: 'text', text: 'I am a@x.example' },
          { type: 'image', url: 'http://a@x.example/' },
        ],
      },
      {
        type: 'tool_call',
        id: 'i2',
        call_id: 'c1',
        name: 't',
        arguments: '{"to":"a@x.example","card":4111111111111111,"deep":[{"n":1}]}',
        provider: { name: 'p', data: { id: '1' } },
      },
      { type: 'tool_result', id: 'i3', call_id: 'c1', output: 'sent to a@x.example' },
      { type: 'tool_call', id: 'i4', call_id: 'c2', name: 't', arguments: '{"to": a@x.example' },
    ])
    expect(changed).toEqual(
      request([
        {
          type: 'message',
          id: 'i1',
          role: 'user',
          content: [
            { type: 'text', text: 'I am [email]' },
            { type: 'image', url: 'http://a@x.example/' },
          ],
        },
        {
          type: 'tool_call',
          id: 'i2',
          call_id: 'c1',
          name: 't',
          arguments: '{"to":"[email]","card":"[card]","deep":[{"n":1}]}',
        },
        { type: 'tool_result', id: 'i3', call_id: 'c1', output: 'sent to [email]' },
        { type: 'tool_call', id: 'i4', call_id: 'c2', name: 't', arguments: '{"to": [email]' },
      ]),
    )
  })

  test('is the same object where there is nothing to redact', async () => {
    const clean: ModelItem = {
      type: 'message',
      id: 'i1',
      role: 'user',
      content: [{ type: 'text', text: 'hello' }],
    }
    expect(await redact([clean])).toBeUndefined()
    const dirty: ModelItem = { ...clean, id: 'i2', content: [{ type: 'text', text: 'a@x.example' }] }
    expect((await redact([clean, dirty]))!.items[0]).toBe(clean)
    expect(dirty.content).toEqual([{ type: 'text', text: 'a@x.example' }])
  })
})

test('input and output can be had apart', () => {
  expect(Object.keys(redactPii({ input: false }))).toEqual(['filterText'])
  expect(Object.keys(redactPii({ output: false }))).toEqual(['beforeModel'])
})
