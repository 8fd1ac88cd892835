import { expect, test } from 'vitest'
import type { CallToolResult } from '@modelcontextprotocol/client'
import { toOutput } from './result.ts'

test.for<[string, CallToolResult, unknown]>([
  ['joins texts', { content: [text('a'), text('b')] }, 'a\nb'],
  ['is empty without content', { content: [] }, ''],
  ['gives structured content where there is no text', { content: [], structuredContent: { a: 1 } }, { a: 1 }],
  ['prefers text to structured content', { content: [text('a')], structuredContent: { a: 1 } }, 'a'],
  [
    'shows structured content beside an image',
    { content: [{ type: 'image', data: 'AAAA', mimeType: 'image/png' }], structuredContent: { a: 1 } },
    '{"a":1}\n[image: image/png, 3 bytes]',
  ],
  [
    'mentions sound with its size',
    { content: [{ type: 'audio', data: 'A'.repeat(4_000), mimeType: 'audio/wav' }] },
    '[audio: audio/wav, 3.0 kB]',
  ],
  [
    'mentions a link with what is known of it',
    {
      content: [
        { type: 'resource_link', uri: 'file:///a', name: 'a', mimeType: 'text/plain', size: 2_500_000 },
      ],
    },
    '[resource: file:///a, text/plain, 2.5 MB]',
  ],
  [
    'shows the text of a resource',
    { content: [{ type: 'resource', resource: { uri: 'file:///a', text: 'words' } }] },
    '[resource: file:///a]\nwords',
  ],
  [
    'mentions the bytes of a resource',
    { content: [{ type: 'resource', resource: { uri: 'file:///a', mimeType: 'a/b', blob: 'AA==' } }] },
    '[resource: file:///a, a/b, 1 bytes]',
  ],
])('%s', ([, result, output]) => {
  expect(toOutput(result)).toEqual(output)
})

test('a failure is thrown with the words of the server', () => {
  expect(() => toOutput({ content: [text('no such file')], isError: true })).toThrow('no such file')
  expect(() => toOutput({ content: [], structuredContent: { code: 1 }, isError: true })).toThrow('{"code":1}')
  expect(() => toOutput({ content: [], isError: true })).toThrow('The tool failed without a word.')
})

function text(words: string): { type: 'text'; text: string } {
  return { type: 'text', text: words }
}
