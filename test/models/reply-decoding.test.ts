import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ModelPart } from '../../src/models/model.ts'
import { ReplyDecoder } from '../../src/models/openai-compatible/reply-decoder.ts'
import { SseParser } from '../../src/models/openai-compatible/sse-parser.ts'
import { joinParts } from './collect-reply.ts'
import { recordedReplies } from './recorded-replies.ts'
import type { DecodedReply } from './recorded-reply.ts'

function decode(chunks: readonly Buffer[]): DecodedReply {
  const parts: ModelPart[] = []
  const decoder = new ReplyDecoder((part) => parts.push(part))
  const parser = new SseParser({ onEvent: (data, name) => decoder.pushEvent(data, name) })
  for (const chunk of chunks) parser.push(chunk)
  parser.end()
  expect(decoder.complete).toBe(true)
  return joinParts(parts, decoder.end())
}

function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b)
  return [0, ...places].map((start, i) => bytes.subarray(start, places[i] ?? bytes.length))
}

describe.each(recordedReplies)('$server: $what', ({ stream, decoded }) => {
  test('decodes', () => {
    expect(decode([Buffer.from(stream)])).toEqual(decoded)
  })

  test('decodes the same byte by byte, and with other line ends', () => {
    for (const text of [stream, stream.replaceAll('\n', '\r\n'), stream.replaceAll('\n', '\r')]) {
      expect(decode([...Buffer.from(text)].map((byte) => Buffer.from([byte])))).toEqual(decoded)
    }
  })
})

describe('a reply', () => {
  test.each([
    ['reasoning', { reasoning: 'b' }, { type: 'reasoning', delta: 'b' }],
    [
      'a tool call',
      { tool_calls: [{ index: 0, function: { name: 'b' } }] },
      { type: 'tool_call', index: 0, name: 'b' },
    ],
    ['a function call', { function_call: { name: 'b' } }, { type: 'tool_call', index: 0, name: 'b' }],
  ])('ends half a character before %s begins', (_name, delta, part) => {
    const parts: ModelPart[] = []
    const decoder = new ReplyDecoder((one) => parts.push(one))
    decoder.pushChunk({ choices: [{ delta: { content: 'a\ud83d' } }] })
    decoder.pushChunk({ choices: [{ delta }] })
    decoder.pushChunk({ choices: [{ delta: {}, finish_reason: 'stop' }] })
    decoder.end()
    expect(parts).toEqual([{ type: 'text', delta: 'a' }, { type: 'text', delta: '\ufffd' }, part])
  })

  const delta = fc.string({ unit: 'binary', minLength: 1 })
  const kind = fc.constantFrom('content', 'reasoning_content', 'tool0', 'tool1')

  test('comes to the same whatever the deltas and wherever the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(kind, delta), { maxLength: 20 }),
        fc.array(fc.nat(10_000), { maxLength: 30 }),
        fc.boolean(),
        (deltas, cuts, escaped) => {
          const { stream, expected } = write(deltas, escaped)
          expect(decode(cutAt(Buffer.from(stream), cuts))).toEqual(expected)
        },
      ),
      { numRuns: 300 },
    )
  })
})

/** A stream of these deltas, its characters optionally escaped and so cut between the halves of surrogate pairs. */
function write(deltas: readonly (readonly [string, string])[], escaped: boolean) {
  const expected: DecodedReply = { text: '', reasoning: '', calls: [], finishReason: 'stop', usage: null }
  const numbers = new Map<string, number>()
  const events: string[] = []
  const say = (payload: object) => {
    const json = JSON.stringify({ choices: [{ index: 0, delta: payload }] })
    events.push(escaped ? escape(json) : json)
  }
  for (const [kind, raw] of deltas) {
    const text = raw.toWellFormed()
    // Cut by code unit: halves of a pair land in deltas of their own.
    const pieces = escaped ? text.split('') : [text]
    if (kind === 'content' || kind === 'reasoning_content') {
      expected[kind === 'content' ? 'text' : 'reasoning'] += text
      for (const piece of pieces) say({ [kind]: piece })
      continue
    }
    let index = numbers.get(kind)
    if (index === undefined) {
      index = numbers.size
      numbers.set(kind, index)
      expected.calls.push({ name: kind, arguments: '' })
      say({ tool_calls: [{ index, id: kind, function: { name: kind, arguments: '' } }] })
    }
    expected.calls[index]!.arguments += text
    for (const piece of pieces) say({ tool_calls: [{ index, function: { arguments: piece } }] })
  }
  if (expected.calls.length > 0) expected.finishReason = 'tool_calls'
  const finish = JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
  return { stream: [...events, finish, '[DONE]'].map((data) => `data: ${data}\n\n`).join(''), expected }
}

function escape(json: string): string {
  return json.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
