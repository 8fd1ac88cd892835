import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AppError } from '../../errors.ts'
import { SseParser } from './sse-parser.ts'

type Event = [name: string, data: string]

function parse(chunks: readonly (string | Buffer)[], maxEventLength?: number): Event[] {
  const events: Event[] = []
  const parser = new SseParser({
    onEvent: (data, name) => events.push([name, data]),
    ...(maxEventLength !== undefined && { maxEventLength }),
  })
  for (const chunk of chunks) parser.push(chunk)
  parser.end()
  return events
}

const cases: [behaviour: string, stream: string, events: Event[]][] = [
  [
    'reads one event per blank line',
    'data: a\n\ndata: b\n\n',
    [
      ['message', 'a'],
      ['message', 'b'],
    ],
  ],
  [
    'takes CRLF as one line end',
    'data: a\r\n\r\ndata: b\r\n\r\n',
    [
      ['message', 'a'],
      ['message', 'b'],
    ],
  ],
  [
    'takes CR as a line end',
    'data: a\r\rdata: b\r\r',
    [
      ['message', 'a'],
      ['message', 'b'],
    ],
  ],
  [
    'takes mixed line ends',
    'data: a\r\n\ndata: b\n\r\ndata: c\r\r\n',
    [
      ['message', 'a'],
      ['message', 'b'],
      ['message', 'c'],
    ],
  ],
  ['joins data lines with LF', 'data: a\ndata:\ndata\ndata: b\n\n', [['message', 'a\n\n\nb']]],
  [
    'skips comments, ids, retries and unknown fields',
    ': hi\nid: 7\nretry: 5\nfoo: x\ndata: a\n:\n\n',
    [['message', 'a']],
  ],
  ['gives no event without data', 'event: ping\n\n: hb\n\n\n\ndata: a\n\n', [['message', 'a']]],
  [
    'keeps the name for its own event only',
    'event: error\ndata: a\n\ndata: b\n\n',
    [
      ['error', 'a'],
      ['message', 'b'],
    ],
  ],
  [
    'takes away one space only',
    'data:  a\n\ndata:b\n\n',
    [
      ['message', ' a'],
      ['message', 'b'],
    ],
  ],
  ['skips a byte order mark', '\ufeffdata: a\n\n', [['message', 'a']]],
  ['keeps a byte order mark within data', 'data: a\ufeff\n\n', [['message', 'a\ufeff']]],
  [
    'gives out an event that the end cut',
    'data: a\n\ndata: b',
    [
      ['message', 'a'],
      ['message', 'b'],
    ],
  ],
  ['does not take a longer field name for data', 'database: a\n\n', []],
  ['gives an event whose data is empty', 'data:\n\n', [['message', '']]],
]

describe('SseParser', () => {
  test.each(cases)('%s', (_behaviour, stream, events) => {
    expect(parse([stream])).toEqual(events)
    expect(parse([Buffer.from(stream)])).toEqual(events)
    expect(parse([...Buffer.from(stream)].map((byte) => Buffer.from([byte])))).toEqual(events)
  })

  test('reads the same however the bytes are cut', () => {
    const line = fc.oneof(
      fc.string({ unit: 'binary' }).map((text) => `data: ${text.replace(/[\r\n]/g, '')}`),
      fc.constantFrom('data', 'data:', ': x', 'event: error', 'id: 1', '', '', ''),
    )
    const stream = fc.array(fc.tuple(line, fc.constantFrom('\n', '\r', '\r\n')), { maxLength: 20 })
    fc.assert(
      fc.property(stream, fc.array(fc.nat(400), { maxLength: 12 }), (lines, cuts) => {
        const bytes = Buffer.from(
          lines
            .map(([text, end]) => text + end)
            .join('')
            .toWellFormed(),
        )
        expect(parse(cutAt(bytes, cuts))).toEqual(parse([bytes]))
      }),
      { numRuns: 300 },
    )
  })

  test('gives no event after it was stopped from within one', () => {
    const seen: string[] = []
    const parser = new SseParser({
      onEvent(data) {
        seen.push(data)
        parser.stop()
      },
    })
    parser.push('data: a\n\ndata: b\n\n')
    parser.push('data: c\n\n')
    parser.end()
    expect(seen).toEqual(['a'])
  })

  test.each([
    ['one line without end', ['data: aaaa', 'aaaa', 'aaaa']],
    ['many lines of one event', ['data: aaaa\n', 'data: aaaa\n', 'data: aaaa\n']],
  ])('refuses an event beyond its limit: %s', (_name, chunks) => {
    const code = () => {
      try {
        return parse(chunks, 12)
      } catch (error) {
        return AppError.is(error) && error.code
      }
    }
    expect(code()).toBe('model_bad_response')
  })

  test('reads a long line in many pieces in linear time', () => {
    const piece = Buffer.from('x'.repeat(16))
    const count = 200_000
    const [event] = parse([
      Buffer.from('data: '),
      ...Array.from({ length: count }, () => piece),
      Buffer.from('\n\n'),
    ])
    expect(event?.[1].length).toBe(16 * count)
  })
})

function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b)
  return [0, ...places].map((start, i) => bytes.subarray(start, places[i] ?? bytes.length))
}
