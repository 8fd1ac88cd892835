import { describe, expect, test } from 'vitest'
import type { ModelItem } from '../../items.ts'
import type { ModelRequest } from '../model.ts'
import { encodeRequest } from './request.ts'

function encode(request: Partial<ModelRequest>, provider = 'llm'): Record<string, unknown> {
  const whole: ModelRequest = { instructions: undefined, items: [], tools: [], settings: {}, ...request }
  return JSON.parse(encodeRequest(whole, { provider, model: 'm' })) as Record<string, unknown>
}

const messagesOf = (...items: ModelItem[]) => encode({ items }).messages

const text = (role: 'user' | 'assistant' | 'system', content: string): ModelItem => ({
  type: 'message',
  id: 'item_1',
  role,
  content: [{ type: 'text', text: content }],
})
const call = (id: string, args = '{}'): ModelItem => ({
  type: 'tool_call',
  id: `item_${id}`,
  call_id: id,
  name: 'search',
  arguments: args,
})
const result = (id: string): ModelItem => ({
  type: 'tool_result',
  id: `item_r${id}`,
  call_id: id,
  output: `out ${id}`,
})
const wireCall = (id: string, args = '{}') => ({
  id,
  type: 'function',
  function: { name: 'search', arguments: args },
})
const tool = { name: 'search', description: 'Searches.', parameters: { type: 'object' } }

describe('encodeRequest', () => {
  test('leaves out everything that is not set', () => {
    expect(encode({})).toEqual({
      model: 'm',
      messages: [],
      stream: true,
      stream_options: { include_usage: true },
    })
  })

  test('puts the instructions first, as the system message', () => {
    expect(
      encode({ instructions: 'Be kind.', items: [text('system', 's'), text('user', 'u')] }).messages,
    ).toEqual([
      { role: 'system', content: 'Be kind.' },
      { role: 'system', content: 's' },
      { role: 'user', content: 'u' },
    ])
  })

  test('joins text and the calls of one reply, and pairs results by our call ids', () => {
    expect(
      messagesOf(text('assistant', 'Let me see.'), call('a'), call('b'), result('a'), result('b')),
    ).toEqual([
      { role: 'assistant', content: 'Let me see.', tool_calls: [wireCall('a'), wireCall('b')] },
      { role: 'tool', tool_call_id: 'a', content: 'out a' },
      { role: 'tool', tool_call_id: 'b', content: 'out b' },
    ])
  })

  test('begins a new assistant message after results', () => {
    expect(messagesOf(call('a'), result('a'), call('b'), result('b'), text('assistant', 'Done.'))).toEqual([
      { role: 'assistant', content: null, tool_calls: [wireCall('a')] },
      { role: 'tool', tool_call_id: 'a', content: 'out a' },
      { role: 'assistant', content: null, tool_calls: [wireCall('b')] },
      { role: 'tool', tool_call_id: 'b', content: 'out b' },
      { role: 'assistant', content: 'Done.' },
    ])
  })

  test('lets no message stand between a call and its result', () => {
    expect(messagesOf(text('assistant', 'a'), call('a'), text('assistant', 'b'), result('a'))).toEqual([
      { role: 'assistant', content: 'ab', tool_calls: [wireCall('a')] },
      { role: 'tool', tool_call_id: 'a', content: 'out a' },
    ])
  })

  test('leaves out reasoning and empty answers', () => {
    const reasoning: ModelItem = { type: 'reasoning', id: 'item_r', text: 'hm' }
    expect(messagesOf(text('assistant', ''), reasoning, call('a'), result('a'))).toEqual([
      { role: 'assistant', content: null, tool_calls: [wireCall('a')] },
      { role: 'tool', tool_call_id: 'a', content: 'out a' },
    ])
  })

  test.each(['{"a":', 'hello', '', '[1]', '"x"', 'null'])(
    'sends the arguments %j as an empty object',
    (args) => {
      expect(messagesOf(call('a', args))).toEqual([
        { role: 'assistant', content: null, tool_calls: [wireCall('a', '{}')] },
      ])
    },
  )

  test('sends good arguments exactly as the model wrote them', () => {
    expect(messagesOf(call('a', ' { "x" : 1.0 }'))).toEqual([
      { role: 'assistant', content: null, tool_calls: [wireCall('a', ' { "x" : 1.0 }')] },
    ])
  })

  test('sends images and files as parts', () => {
    const item: ModelItem = {
      type: 'message',
      id: 'item_1',
      role: 'user',
      content: [
        { type: 'text', text: 'Look:' },
        { type: 'image', url: 'https://example.com/a.png' },
        {
          type: 'file',
          url: 'data:application/pdf;base64,AA==',
          media_type: 'application/pdf',
          filename: 'a.pdf',
        },
      ],
    }
    expect(messagesOf(item)).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Look:' },
          { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
          { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,AA==' } },
        ],
      },
    ])
  })

  test('offers tools, with choice and parallelism', () => {
    const body = encode({
      tools: [tool],
      toolChoice: { name: 'search' },
      settings: { parallelToolCalls: false },
    })
    expect(body).toMatchObject({
      tools: [{ type: 'function', function: tool }],
      tool_choice: { type: 'function', function: { name: 'search' } },
      parallel_tool_calls: false,
    })
    expect(encode({ tools: [tool], toolChoice: 'required' }).tool_choice).toBe('required')
  })

  test('says nothing of tools where there are none: providers refuse a choice without tools', () => {
    const body = encode({ toolChoice: 'none', settings: { parallelToolCalls: true } })
    expect(Object.keys(body)).toEqual(['model', 'messages', 'stream', 'stream_options'])
  })

  test.each([
    ['openai', 'max_completion_tokens', 'max_tokens'],
    ['llm', 'max_tokens', 'max_completion_tokens'],
  ])('passes settings on, as %s names them', (provider, present, absent) => {
    const settings = {
      temperature: 0,
      topP: 0.5,
      maxOutputTokens: 7,
      stop: ['END'],
      seed: 0,
      reasoningEffort: 'low' as const,
    }
    const body = encode({ settings }, provider)
    expect(body).toMatchObject({
      temperature: 0,
      top_p: 0.5,
      stop: ['END'],
      seed: 0,
      reasoning_effort: 'low',
    })
    expect(body[present]).toBe(7)
    expect(body).not.toHaveProperty(absent)
  })

  test.each([
    [
      'closed',
      { type: 'object', properties: { a: { type: 'string' } }, required: ['a'], additionalProperties: false },
      true,
    ],
    ['open to other properties', { type: 'object', properties: { a: {} }, required: ['a'] }, undefined],
    [
      'with an optional property',
      { type: 'object', properties: { a: {} }, additionalProperties: false },
      undefined,
    ],
    [
      'open one level below',
      {
        type: 'object',
        properties: { a: { type: 'array', items: { type: 'object' } } },
        required: ['a'],
        additionalProperties: false,
      },
      undefined,
    ],
  ])('asks for strict output only where the schema is closed: %s', (_name, schema, strict) => {
    const format = encode({ outputSchema: schema }).response_format
    const json_schema = strict ? { name: 'output', schema, strict } : { name: 'output', schema }
    expect(format).toEqual({ type: 'json_schema', json_schema })
  })
})
