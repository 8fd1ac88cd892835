import { nothing, sse } from './recorded-reply.ts'
import type { RecordedReply } from './recorded-reply.ts'

/** Shapes that several servers and gateways share. */
export function gatewayReplies(): RecordedReply[] {
  const chunk = (delta: object, finish_reason: string | null = null) => ({
    choices: [{ index: 0, delta, finish_reason }],
  })
  const call = (entry: object) => chunk({ tool_calls: [entry] })
  const fn = (name: string, args: unknown) => ({ function: { name, arguments: args } })
  const twoCalls = [
    { name: 'add', arguments: '{"x":1}' },
    { name: 'add', arguments: '{"x":2}' },
  ]
  return [
    {
      server: 'Gemini',
      what: 'calls with empty ids and no index, each whole',
      stream: sse(
        call({ id: '', type: 'function', ...fn('add', '{"x":1}') }),
        call({ id: '', type: 'function', ...fn('add', '{"x":2}') }),
        chunk({}, 'stop'),
        '[DONE]',
      ),
      decoded: { ...nothing, calls: twoCalls, finishReason: 'tool_calls' },
    },
    {
      server: 'a gateway',
      what: 'calls with one id for all, each whole',
      stream: sse(
        call({ id: 'call_add', ...fn('add', '{"x":1}') }),
        call({ id: 'call_add', ...fn('add', '{"x":2}') }),
        chunk({}, 'tool_calls'),
        '[DONE]',
      ),
      decoded: { ...nothing, calls: twoCalls, finishReason: 'tool_calls' },
    },
    {
      server: 'a gateway',
      what: 'white space after a call, with its id and name, and then the call once more',
      stream: sse(
        call({ index: 0, id: 'a', ...fn('add', '{"x":1}') }),
        call({ index: 0, id: 'a', ...fn('add', '\n') }),
        call({ index: 0, id: 'a', ...fn('add', '{"x":1}') }),
        chunk({}, 'tool_calls'),
        '[DONE]',
      ),
      decoded: {
        ...nothing,
        calls: [{ name: 'add', arguments: '{"x":1}' }],
        finishReason: 'tool_calls',
      },
    },
    {
      server: 'a gateway',
      what: 'one id for all at indexes of their own, interleaved',
      stream: sse(
        call({ index: 1, id: 'x', ...fn('add', '{"x"') }),
        call({ index: 0, id: 'x', ...fn('add', '{"x"') }),
        call({ index: 0, function: { arguments: ':2}' } }),
        call({ index: 1, function: { arguments: ':1}' } }),
        chunk({}, 'tool_calls'),
        '[DONE]',
      ),
      decoded: { ...nothing, calls: twoCalls, finishReason: 'tool_calls' },
    },
    {
      server: 'a gateway',
      what: 'neither index nor id, several calls in one delta, then their arguments by position',
      stream: sse(
        chunk({ tool_calls: [fn('add', ''), fn('add', '')] }),
        chunk({ tool_calls: [{ function: { arguments: '{"x"' } }, { function: { arguments: '{"x"' } }] }),
        chunk({ tool_calls: [{ function: { arguments: ':1}' } }, { function: { arguments: ':2}' } }] }),
        chunk({}, 'tool_calls'),
        '[DONE]',
      ),
      decoded: { ...nothing, calls: twoCalls, finishReason: 'tool_calls' },
    },
    {
      server: 'a gateway',
      what: 'one call without index and id, its name in every delta',
      stream: sse(
        call(fn('add', '{"x":{}')),
        call(fn('add', ',"y":1}')),
        call(fn('sub', '{}')),
        chunk({}, 'tool_calls'),
        '[DONE]',
      ),
      decoded: {
        ...nothing,
        calls: [
          { name: 'add', arguments: '{"x":{},"y":1}' },
          { name: 'sub', arguments: '{}' },
        ],
        finishReason: 'tool_calls',
      },
    },
    {
      server: 'a gateway',
      what: 'arguments as an object',
      stream: sse(call({ index: 0, id: 'a', ...fn('add', { x: 1 }) }), chunk({}, 'tool_calls'), '[DONE]'),
      decoded: { ...nothing, calls: [{ name: 'add', arguments: '{"x":1}' }], finishReason: 'tool_calls' },
    },
    {
      server: 'a gateway',
      what: 'arguments before the name',
      stream: sse(
        call({ index: 0, id: 'a', function: { arguments: '{"x"' } }),
        call({ index: 0, ...fn('add', ':1}') }),
        chunk({}, 'tool_calls'),
        '[DONE]',
      ),
      decoded: { ...nothing, calls: [{ name: 'add', arguments: '{"x":1}' }], finishReason: 'tool_calls' },
    },
    {
      server: 'xAI',
      what: 'reasoning that is not counted as output',
      stream: sse(
        chunk({ content: 'Hi' }),
        {
          ...chunk({}, 'stop'),
          usage: {
            prompt_tokens: 21,
            completion_tokens: 563,
            total_tokens: 847,
            completion_tokens_details: { reasoning_tokens: 263 },
          },
        },
        '[DONE]',
      ),
      decoded: {
        ...nothing,
        text: 'Hi',
        finishReason: 'stop',
        usage: { input_tokens: 21, output_tokens: 826, total_tokens: 847, reasoning_tokens: 263 },
      },
    },
    {
      server: 'a gateway',
      what: 'no [DONE] and an empty finish_reason on the way',
      stream: sse(chunk({ content: 'Hi' }, ''), chunk({}, 'eos')),
      decoded: { ...nothing, text: 'Hi', finishReason: 'stop' },
    },
    {
      server: 'a gateway',
      what: '[DONE] without a finish_reason',
      stream: sse(chunk({ content: 'Hi' }), '[DONE]'),
      decoded: { ...nothing, text: 'Hi', finishReason: 'stop' },
    },
    {
      server: 'a gateway',
      what: 'a reason nobody knows, and a whole message that repeats the deltas',
      stream: sse(
        chunk({ content: 'Hi' }),
        {
          choices: [
            { index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'constructor' },
          ],
        },
        '[DONE]',
      ),
      decoded: { ...nothing, text: 'Hi', finishReason: 'other' },
    },
    {
      server: 'a gateway',
      what: 'one event with the whole completion',
      stream: sse(
        {
          object: 'chat.completion',
          choices: [
            {
              index: 0,
              message: { role: 'assistant', content: 'Hi', reasoning_text: 'So' },
              finish_reason: 'stop',
            },
          ],
          usage: { prompt_tokens: 1, completion_tokens: 2 },
        },
        '[DONE]',
      ),
      decoded: {
        ...nothing,
        text: 'Hi',
        reasoning: 'So',
        finishReason: 'stop',
        usage: { input_tokens: 1, output_tokens: 2, total_tokens: 3 },
      },
    },
    {
      server: 'a gateway',
      what: 'characters cut in two between deltas, and between arguments',
      stream: sse(
        '{"choices":[{"delta":{"reasoning":"r\\ud83d"}}]}',
        '{"choices":[{"delta":{"reasoning":"\\ude00"}}]}',
        '{"choices":[{"delta":{"content":"a\\ud83d"}}]}',
        '{"choices":[{"delta":{"content":"\\ude00b\\ud83d"}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"add","arguments":"{\\"x\\":\\"\\ud83d"}}]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\\ude00\\"}"}}]}}]}',
        chunk({}, 'tool_calls'),
        '[DONE]',
      ),
      decoded: {
        ...nothing,
        text: 'a😀b\ufffd',
        reasoning: 'r😀',
        calls: [{ name: 'add', arguments: '{"x":"😀"}' }],
        finishReason: 'tool_calls',
      },
    },
  ]
}

export function groqReplies(): RecordedReply[] {
  const chunk = (delta: object, finish_reason: string | null = null, rest: object = {}) => ({
    id: 'chatcmpl-3e1f',
    object: 'chat.completion.chunk',
    created: 1_726_000_000,
    model: 'llama-3.3-70b-versatile',
    system_fingerprint: 'fp_2ca0059abb',
    choices: [{ index: 0, delta, logprobs: null, finish_reason }],
    ...rest,
  })
  return [
    {
      server: 'Groq',
      what: 'usage in a field of its own',
      stream: sse(
        chunk({ role: 'assistant', content: '' }, null, { x_groq: { id: 'req_01' } }),
        chunk({ content: 'Hi' }),
        chunk({}, 'stop', {
          x_groq: {
            id: 'req_01',
            usage: {
              queue_time: 0.05,
              prompt_tokens: 20,
              completion_tokens: 2,
              total_tokens: 22,
              total_time: 0.1,
            },
          },
        }),
        '[DONE]',
      ),
      decoded: {
        ...nothing,
        text: 'Hi',
        finishReason: 'stop',
        usage: { input_tokens: 20, output_tokens: 2, total_tokens: 22 },
      },
    },
  ]
}
