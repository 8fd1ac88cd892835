import { gatewayReplies, groqReplies } from './gateway-replies.ts'
import { nothing, sse } from './recorded-reply.ts'
import type { RecordedReply } from './recorded-reply.ts'

/** Chunks in the shapes in which servers send them: field for field as documented or recorded, contents shortened. */
export const recordedReplies: readonly RecordedReply[] = [
  ...openai(),
  ...vllm(),
  ...ollama(),
  ...openrouter(),
  ...deepseek(),
  ...mistral(),
  ...groqReplies(),
  ...gatewayReplies(),
]

function openai(): RecordedReply[] {
  const chunk = (delta: object, finish_reason: string | null = null) => ({
    id: 'chatcmpl-BwoiPTGRbKkY5rncfaM0s9KtWrq5N',
    object: 'chat.completion.chunk',
    created: 1_753_357_673,
    model: 'gpt-4.1-2025-04-14',
    service_tier: 'default',
    system_fingerprint: 'fp_51e1070cf2',
    choices: [{ index: 0, delta, logprobs: null, finish_reason }],
    usage: null,
    obfuscation: 'x7Yq',
  })
  const usageChunk = {
    ...chunk({}),
    choices: [],
    usage: {
      prompt_tokens: 19,
      completion_tokens: 10,
      total_tokens: 29,
      prompt_tokens_details: { cached_tokens: 8, audio_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 4, audio_tokens: 0, accepted_prediction_tokens: 0 },
    },
  }
  const usage = {
    input_tokens: 19,
    output_tokens: 10,
    total_tokens: 29,
    cached_input_tokens: 8,
    reasoning_tokens: 4,
  }
  const call = (index: number, fn: object, rest: object = {}) =>
    chunk({ tool_calls: [{ index, ...rest, function: fn }] })
  return [
    {
      server: 'OpenAI',
      what: 'text and usage',
      stream: sse(
        chunk({ role: 'assistant', content: '', refusal: null }),
        chunk({ content: 'Hello' }),
        chunk({ content: ' wörld 👋' }),
        chunk({}, 'stop'),
        usageChunk,
        '[DONE]',
      ),
      decoded: { ...nothing, text: 'Hello wörld 👋', finishReason: 'stop', usage },
    },
    {
      server: 'OpenAI',
      what: 'parallel tool calls, one after the other',
      stream: sse(
        chunk({ role: 'assistant', content: null }),
        call(0, { name: 'weather', arguments: '' }, { id: 'call_DdmO', type: 'function' }),
        call(0, { arguments: '{"ci' }),
        call(0, { arguments: 'ty": "Rome"}' }),
        call(1, { name: 'weather', arguments: '' }, { id: 'call_8qPl', type: 'function' }),
        call(1, { arguments: '{"city": "Oslo"}' }),
        chunk({}, 'tool_calls'),
        '[DONE]',
      ),
      decoded: {
        ...nothing,
        calls: [
          { name: 'weather', arguments: '{"city": "Rome"}' },
          { name: 'weather', arguments: '{"city": "Oslo"}' },
        ],
        finishReason: 'tool_calls',
      },
    },
    {
      server: 'OpenAI',
      what: 'a refusal',
      stream: sse(
        chunk({ role: 'assistant', content: '', refusal: null }),
        chunk({ refusal: 'I cannot' }),
        chunk({ refusal: ' help.' }),
        chunk({}, 'stop'),
        '[DONE]',
      ),
      decoded: { ...nothing, text: 'I cannot help.', finishReason: 'stop' },
    },
    {
      server: 'OpenAI',
      what: 'a function_call, before there were tools',
      stream: sse(
        chunk({ role: 'assistant', content: null, function_call: { name: 'weather', arguments: '' } }),
        chunk({ function_call: { arguments: '{"city":' } }),
        chunk({ function_call: { arguments: '"Rome"}' } }),
        chunk({}, 'function_call'),
        '[DONE]',
      ),
      decoded: {
        ...nothing,
        calls: [{ name: 'weather', arguments: '{"city":"Rome"}' }],
        finishReason: 'tool_calls',
      },
    },
    {
      server: 'Azure OpenAI',
      what: 'filter results in a chunk without choices',
      stream: sse(
        {
          choices: [],
          created: 0,
          id: '',
          model: '',
          object: '',
          prompt_filter_results: [{ prompt_index: 0 }],
        },
        chunk({ content: 'Hi' }),
        chunk({}, 'content_filter'),
        '[DONE]',
      ),
      decoded: { ...nothing, text: 'Hi', finishReason: 'content_filter' },
    },
  ]
}

function vllm(): RecordedReply[] {
  const chunk = (delta: object, finish_reason: string | null = null) => ({
    id: 'chatcmpl-6f2b',
    object: 'chat.completion.chunk',
    created: 1_750_000_000,
    model: 'Qwen/Qwen3-8B',
    choices: [{ index: 0, delta, logprobs: null, finish_reason, stop_reason: null, token_ids: null }],
  })
  const usage = { prompt_tokens: 9, total_tokens: 12, completion_tokens: 3, prompt_tokens_details: null }
  const call = (index: number, rest: object) => chunk({ tool_calls: [{ index, ...rest }] })
  return [
    {
      server: 'vLLM',
      what: 'reasoning, with choices null in the usage chunk',
      stream: sse(
        chunk({ role: 'assistant', content: '' }),
        chunk({ reasoning_content: 'Let me' }),
        chunk({ reasoning_content: ' think.' }),
        chunk({ content: 'Four.' }),
        chunk({ content: '' }, 'stop'),
        { ...chunk({}), choices: null, usage },
        '[DONE]',
      ),
      decoded: {
        ...nothing,
        text: 'Four.',
        reasoning: 'Let me think.',
        finishReason: 'stop',
        usage: { input_tokens: 9, output_tokens: 3, total_tokens: 12 },
      },
    },
    {
      server: 'vLLM',
      what: 'the same reasoning under two names',
      stream: sse(
        chunk({ reasoning: 'Hm', reasoning_content: 'Hm' }),
        chunk({ content: 'Yes' }),
        chunk({}, 'stop'),
        '[DONE]',
      ),
      decoded: { ...nothing, text: 'Yes', reasoning: 'Hm', finishReason: 'stop' },
    },
    {
      server: 'vLLM',
      what: 'usage that grows with every chunk',
      stream: sse(
        { ...chunk({ content: 'a' }), usage: { prompt_tokens: 9, total_tokens: 10, completion_tokens: 1 } },
        { ...chunk({ content: 'b' }), usage: { prompt_tokens: 9, total_tokens: 11, completion_tokens: 2 } },
        { ...chunk({}, 'stop'), usage },
        '[DONE]',
      ),
      decoded: {
        ...nothing,
        text: 'ab',
        finishReason: 'stop',
        usage: { input_tokens: 9, output_tokens: 3, total_tokens: 12 },
      },
    },
    {
      server: 'vLLM',
      what: 'interleaved calls that repeat id and name in every delta',
      stream: sse(
        call(0, { id: 'a', type: 'function', function: { name: 'add', arguments: '{"x":{"y":' } }),
        call(1, { id: 'b', type: 'function', function: { name: 'add', arguments: '{"x"' } }),
        call(0, { id: 'a', type: 'function', function: { name: 'add', arguments: '"}"}' } }),
        call(1, { id: 'b', type: 'function', function: { name: 'add', arguments: ':2}' } }),
        call(0, { id: 'a', type: 'function', function: { name: 'add', arguments: '}' } }),
        chunk({}, 'tool_calls'),
        '[DONE]',
      ),
      decoded: {
        ...nothing,
        calls: [
          { name: 'add', arguments: '{"x":{"y":"}"}}' },
          { name: 'add', arguments: '{"x":2}' },
        ],
        finishReason: 'tool_calls',
      },
    },
    {
      server: 'vLLM',
      what: 'the whole arguments once more in the last chunk',
      stream: sse(
        call(0, { id: 'a', type: 'function', function: { name: 'add' } }),
        call(0, { function: { arguments: '{"x":1}' } }),
        {
          ...chunk({}),
          choices: [
            {
              index: 0,
              delta: { tool_calls: [{ index: 0, function: { name: 'add', arguments: '{"x":1}' } }] },
              finish_reason: 'tool_calls',
            },
          ],
        },
        '[DONE]',
      ),
      decoded: { ...nothing, calls: [{ name: 'add', arguments: '{"x":1}' }], finishReason: 'tool_calls' },
    },
    {
      server: 'vLLM',
      what: 'arguments that come only in the last chunk',
      stream: sse(
        call(0, { id: 'a', type: 'function', function: { name: 'add' } }),
        {
          ...chunk({}),
          choices: [
            {
              index: 0,
              delta: { tool_calls: [{ index: 0, function: { arguments: '{"x":1}' } }] },
              finish_reason: 'tool_calls',
            },
          ],
        },
        '[DONE]',
      ),
      decoded: { ...nothing, calls: [{ name: 'add', arguments: '{"x":1}' }], finishReason: 'tool_calls' },
    },
  ]
}

function ollama(): RecordedReply[] {
  const chunk = (delta: object, finish_reason: string | null = null) => ({
    id: 'chatcmpl-812',
    object: 'chat.completion.chunk',
    created: 1_732_900_000,
    model: 'llama3.2',
    system_fingerprint: 'fp_ollama',
    choices: [{ index: 0, delta: { role: 'assistant', ...delta }, finish_reason }],
  })
  const call = (id: string, name: string, args: string, index?: number) =>
    chunk({
      content: '',
      tool_calls: [
        { id, ...(index !== undefined && { index }), type: 'function', function: { name, arguments: args } },
      ],
    })
  const calls = [
    { name: 'write', arguments: '{"path":"a"}' },
    { name: 'write', arguments: '{"path":"b"}' },
    { name: 'list', arguments: '{}' },
  ]
  return [
    {
      server: 'Ollama',
      what: 'whole calls without an index, finished with stop',
      stream: sse(
        call('call_1', 'write', '{"path":"a"}'),
        call('call_2', 'write', '{"path":"b"}'),
        call('call_3', 'list', '{}'),
        chunk({ content: '' }, 'stop'),
        '[DONE]',
      ),
      decoded: { ...nothing, calls, finishReason: 'tool_calls' },
    },
    {
      server: 'Ollama',
      what: 'every call at index 0',
      stream: sse(
        call('call_1', 'write', '{"path":"a"}', 0),
        call('call_2', 'write', '{"path":"b"}', 0),
        call('call_3', 'list', '{}', 0),
        chunk({ content: '' }, 'tool_calls'),
        '[DONE]',
      ),
      decoded: { ...nothing, calls, finishReason: 'tool_calls' },
    },
    {
      server: 'Ollama',
      what: 'thinking as reasoning',
      stream: sse(
        chunk({ content: '', reasoning: 'So' }),
        chunk({ content: 'Yes' }),
        chunk({ content: '' }, 'stop'),
        '[DONE]',
      ),
      decoded: { ...nothing, text: 'Yes', reasoning: 'So', finishReason: 'stop' },
    },
  ]
}

function openrouter(): RecordedReply[] {
  const chunk = (delta: object, finish_reason: string | null = null) => ({
    id: 'gen-1761054747-aRXh',
    provider: 'OpenAI',
    model: 'openai/gpt-5',
    object: 'chat.completion.chunk',
    created: 1_761_054_747,
    choices: [{ index: 0, delta, finish_reason, native_finish_reason: null, logprobs: null }],
  })
  return [
    {
      server: 'OpenRouter',
      what: 'comments, reasoning details and usage with a cost',
      stream: `: OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n${sse(
        chunk({ role: 'assistant', content: '', reasoning: null, reasoning_details: [] }),
        chunk({
          role: 'assistant',
          content: '',
          reasoning: 'Sum',
          reasoning_details: [{ type: 'reasoning.summary', summary: 'Sum', index: 0 }],
        }),
        chunk({ role: 'assistant', content: 'Five' }),
        chunk({ role: 'assistant', content: '' }, 'stop'),
        {
          ...chunk({ role: 'assistant', content: '' }),
          usage: {
            prompt_tokens: 3,
            completion_tokens: 2,
            total_tokens: 5,
            cost: 0.00001,
            prompt_tokens_details: { cached_tokens: 0 },
            completion_tokens_details: { reasoning_tokens: 1 },
          },
        },
        '[DONE]',
      )}`,
      decoded: {
        ...nothing,
        text: 'Five',
        reasoning: 'Sum',
        finishReason: 'stop',
        usage: {
          input_tokens: 3,
          output_tokens: 2,
          total_tokens: 5,
          cached_input_tokens: 0,
          reasoning_tokens: 1,
        },
      },
    },
  ]
}

function deepseek(): RecordedReply[] {
  const chunk = (delta: object, finish_reason: string | null = null) => ({
    id: '1f633d8bfc032625086f14113c411638',
    object: 'chat.completion.chunk',
    created: 1_718_345_013,
    model: 'deepseek-reasoner',
    system_fingerprint: 'fp_a49d71b8a1',
    choices: [{ index: 0, delta, finish_reason, logprobs: null }],
  })
  return [
    {
      server: 'DeepSeek',
      what: 'reasoning_content beside a null content, usage with the finish',
      stream: sse(
        chunk({ role: 'assistant', content: null, reasoning_content: '' }),
        chunk({ content: null, reasoning_content: 'Okay' }),
        chunk({ content: 'Hi', reasoning_content: null }),
        {
          ...chunk({ content: '', reasoning_content: null }, 'length'),
          usage: {
            prompt_tokens: 17,
            completion_tokens: 9,
            total_tokens: 26,
            prompt_cache_hit_tokens: 16,
            prompt_cache_miss_tokens: 1,
          },
        },
        '[DONE]',
      ),
      decoded: {
        ...nothing,
        text: 'Hi',
        reasoning: 'Okay',
        finishReason: 'length',
        usage: { input_tokens: 17, output_tokens: 9, total_tokens: 26, cached_input_tokens: 16 },
      },
    },
  ]
}

function mistral(): RecordedReply[] {
  const chunk = (delta: object, finish_reason: string | null = null) => ({
    id: 'c3c77283055240cbbaf6f01d384cfccb',
    object: 'chat.completion.chunk',
    created: 1_762_355_135,
    model: 'magistral-medium-2509',
    choices: [{ index: 0, delta, finish_reason }],
  })
  const thinking = (text: string) =>
    chunk({ content: [{ type: 'thinking', thinking: [{ type: 'text', text }] }] })
  return [
    {
      server: 'Mistral',
      what: 'thinking and text as parts of the content',
      stream: sse(
        chunk({ role: 'assistant', content: '' }),
        thinking('A'),
        thinking(' greeting'),
        chunk({ content: [{ type: 'text', text: 'Hel' }] }),
        chunk({ content: 'lo' }),
        {
          ...chunk({ content: '' }, 'stop'),
          usage: { prompt_tokens: 5, total_tokens: 9, completion_tokens: 4 },
        },
        '[DONE]',
      ),
      decoded: {
        ...nothing,
        text: 'Hello',
        reasoning: 'A greeting',
        finishReason: 'stop',
        usage: { input_tokens: 5, output_tokens: 4, total_tokens: 9 },
      },
    },
    {
      server: 'Mistral',
      what: 'whole calls in one delta, without type or index',
      stream: sse(
        chunk({ role: 'assistant', content: '' }),
        chunk(
          {
            content: '',
            tool_calls: [
              { id: 'D681PevKs', function: { name: 'weather', arguments: '{"city": "Rome"}' } },
              { id: 'null', function: { name: 'weather', arguments: '{"city": "Oslo"}' } },
            ],
          },
          'tool_calls',
        ),
        '[DONE]',
      ),
      decoded: {
        ...nothing,
        calls: [
          { name: 'weather', arguments: '{"city": "Rome"}' },
          { name: 'weather', arguments: '{"city": "Oslo"}' },
        ],
        finishReason: 'tool_calls',
      },
    },
  ]
}
