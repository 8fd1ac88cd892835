import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ModelPart } from '../model.ts'
import { ReplyDecoder } from './reply-decoder.ts'
import { TextFrame } from './text-frame.ts'

const chunk = (delta: object, rest: object = {}) =>
  JSON.stringify({ id: 'chatcmpl-1', choices: [{ index: 0, delta, finish_reason: null }], ...rest })

test('takes the text of a chunk that differs from a learned one in its text alone', () => {
  const frame = new TextFrame()
  expect(frame.take(chunk({ content: 'one' }))).toBeUndefined()
  frame.learn(chunk({ content: 'one' }), 'one')
  expect(frame.take(chunk({ content: ' zwölf 🎈' }))).toBe(' zwölf 🎈')
})

test.each([
  ['with a quote in it', chunk({ content: 'a "b"' })],
  ['with an escape in it', chunk({ content: 'a\nb' })],
  ['without a text', chunk({ content: '' })],
  ['that is cut off', chunk({ content: 'one' }).slice(0, -1)],
  ['that says more', chunk({ content: 'one', refusal: 'no' })],
  ['that ends the reply', chunk({ content: 'one' }).replace('null', '"stop"')],
  ['of another id', chunk({ content: 'one' }).replace('-1', '-2')],
])('leaves a chunk %s to the parser', (_name, data) => {
  const frame = new TextFrame()
  frame.learn(chunk({ content: 'one' }), 'one')
  expect(frame.take(data)).toBeUndefined()
})

test('learns nothing from a chunk that holds two contents', () => {
  const frame = new TextFrame()
  const data = chunk({ content: 'one' }, { logprobs: { content: 'one' } })
  frame.learn(data, 'one')
  expect(frame.take(data)).toBeUndefined()
})

test('stops learning from a provider whose chunks are never alike', () => {
  const frame = new TextFrame()
  const padded = (pad: string) => chunk({ content: 'one' }, { obfuscation: pad })
  for (let i = 0; i < 8; i++) frame.learn(padded(`pad ${i}`), 'one')
  frame.learn(padded('last'), 'one')
  expect(frame.take(padded('last'))).toBeUndefined()
})

const text = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }),
  fc.constantFrom('"', '\\', '\\u0041', '\n', '"}', '"content":"x', '\ud83c', '\udf88', ' word'),
)
const delta = fc.oneof(
  { weight: 5, arbitrary: text.map((content) => ({ content })) },
  { weight: 1, arbitrary: text.map((reasoning_content) => ({ content: '', reasoning_content })) },
  { weight: 1, arbitrary: text.map((refusal) => ({ refusal })) },
  { weight: 1, arbitrary: text.map((part) => ({ content: [{ type: 'text', text: part }] })) },
  { weight: 1, arbitrary: fc.constant({ role: 'assistant', content: null }) },
)
const rest = fc.oneof(
  { weight: 6, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: fc.record({ created: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.constant({ usage: { prompt_tokens: 1, completion_tokens: 2 } }) },
  { weight: 1, arbitrary: fc.constant({ logprobs: { content: [] } }) },
)

test('a reply of any chunks is what parsing each of them gives', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(delta, rest), { maxLength: 30 }),
      fc.func(fc.boolean()),
      (chunks, spaced) => {
        const written = chunks.map(([one, more]) =>
          spaced(one) ? chunk(one, more).replaceAll('":', '": ') : chunk(one, more),
        )
        const [framed, parsed] = [decoding(), decoding()]
        for (const data of written) {
          framed.decoder.pushEvent(data, 'message')
          parsed.decoder.pushChunk(JSON.parse(data))
        }
        framed.decoder.pushEvent('[DONE]', 'message')
        expect([framed.decoder.end(), framed.parts]).toEqual([parsed.decoder.end(), parsed.parts])
      },
    ),
    { numRuns: 500 },
  )
})

function decoding() {
  const parts: ModelPart[] = []
  return { parts, decoder: new ReplyDecoder((part) => parts.push(part)) }
}
