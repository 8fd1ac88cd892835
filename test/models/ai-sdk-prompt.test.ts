import type { LanguageModelV4, LanguageModelV4CallOptions, LanguageModelV4Prompt } from '@ai-sdk/provider'
import { describe, expect, test } from 'vitest'
import type { ModelItem, Part } from '../../src/items.ts'
import { createAiSdkModel } from '../../src/models/ai-sdk/ai-sdk-model.ts'
import type { ModelPart, ModelRequest } from '../../src/models/model.ts'
import { collectReply, greeting } from './collect-reply.ts'
import { finish, itemsOf, languageModel } from './language-model.ts'

type Options = Partial<Pick<LanguageModelV4, 'provider' | 'supportedUrls'>>

/** What a language model is asked, the signal left out. */
async function ask(request: Partial<ModelRequest>, options: Options = {}) {
  const asked = languageModel([finish()], options)
  const model = createAiSdkModel({ provider: 'acme', id: 'acme/m', languageModel: asked })
  await collectReply(model, { request: { ...greeting, ...request } })
  const { abortSignal: _, ...call } = asked.calls[0] as LanguageModelV4CallOptions
  return call
}

async function prompt(items: ModelItem[], options: Options & { instructions?: string } = {}) {
  const { instructions, ...rest } = options
  return (await ask({ items, instructions }, rest)).prompt
}

const user = (...content: Part[]): ModelItem => ({ type: 'message', id: 'item_u', role: 'user', content })
const said = (text: string, extra: object = {}): ModelItem => ({
  type: 'message',
  id: 'item_a',
  role: 'assistant',
  content: [{ type: 'text', text }],
  ...extra,
})
const system = (text: string): ModelItem => ({
  type: 'message',
  id: 'item_s',
  role: 'system',
  content: [{ type: 'text', text }],
})
const text = (value: string): Part => ({ type: 'text', text: value })
const call = (id: string, args: string, extra: object = {}): ModelItem => ({
  type: 'tool_call',
  id: `item_${id}`,
  call_id: id,
  name: `t_${id}`,
  arguments: args,
  ...extra,
})
const result = (id: string, output: string, extra: object = {}): ModelItem => ({
  type: 'tool_result',
  id: `item_r_${id}`,
  call_id: id,
  output,
  ...extra,
})
const reasoning = (value: string, extra: object = {}): ModelItem => ({
  type: 'reasoning',
  id: 'item_t',
  text: value,
  ...extra,
})
const from = (name: string, data: Record<string, unknown>) => ({ provider: { name, data } })
const signed = (signature: string) => ({ acme: { signature } })

describe('a prompt', () => {
  test('holds instructions, messages, calls and results, a reply in one message', async () => {
    const items = [
      user(text('a'), text('b')),
      said('c'),
      call('call_1', '{"x":1}'),
      call('call_2', ''),
      result('call_1', 'one'),
      result('call_2', 'two', { error: { code: 'tool_failed', message: 'no' } }),
      said('d'),
      user(text('e')),
    ]
    expect(await prompt(items, { instructions: 'Be kind.' })).toEqual([
      { role: 'system', content: 'Be kind.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
      {
        role: 'assistant',
        content: [
          { type: 'text', text: 'c' },
          { type: 'tool-call', toolCallId: 'call_1', toolName: 't_call_1', input: { x: 1 } },
          { type: 'tool-call', toolCallId: 'call_2', toolName: 't_call_2', input: {} },
        ],
      },
      {
        role: 'tool',
        content: [
          {
            type: 'tool-result',
            toolCallId: 'call_1',
            toolName: 't_call_1',
            output: { type: 'text', value: 'one' },
          },
          {
            type: 'tool-result',
            toolCallId: 'call_2',
            toolName: 't_call_2',
            output: { type: 'error-text', value: 'two' },
          },
        ],
      },
      { role: 'assistant', content: [{ type: 'text', text: 'd' }] },
      { role: 'user', content: [{ type: 'text', text: 'e' }] },
    ] satisfies LanguageModelV4Prompt)
  })

  test('says a later system message in the user’s place, and marks it', async () => {
    expect(await prompt([system('first'), user(text('a')), system('later')])).toEqual([
      { role: 'system', content: 'first' },
      { role: 'user', content: [{ type: 'text', text: 'a' }] },
      { role: 'user', content: [{ type: 'text', text: '<system>\nlater\n</system>' }] },
    ])
  })

  test.each(['not json', '[1]', '"x"', 'null', '1'])(
    'sends past arguments %s as an empty object',
    async (args) => {
      const [, message] = await prompt([user(text('a')), call('call_1', args), result('call_1', 'r')])
      expect(message).toMatchObject({ content: [{ input: {} }] })
    },
  )

  test('begins with the user where a conversation does not', async () => {
    const messages = await prompt([system('s'), said('Where to?'), user(text('Oslo.'))])
    expect(messages.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user'])
    expect(await prompt([user(text('Oslo.'))])).toHaveLength(1)
  })

  test('keeps call ids that providers take, and gives others new ones that still fit together', async () => {
    const ids = ['call_0123', 'functions.get:0', 'functions get:0']
    const items = [...ids.map((id) => call(id, '{}')), ...ids.map((id) => result(id, 'r'))]
    const [, assistant, tool] = await prompt(items)
    const made = (assistant!.content as { toolCallId: string }[]).map(({ toolCallId }) => toolCallId)
    expect(made[0]).toBe('call_0123')
    expect(new Set(made).size).toBe(3)
    for (const id of made) expect(id).toMatch(/^[a-zA-Z0-9_-]{1,64}$/)
    expect(tool?.content).toMatchObject(made.map((toolCallId) => ({ toolCallId })))
  })

  test('leaves out what says nothing', async () => {
    const items = [user(text('a'), text('')), said(''), said(' \n'), user(text('b'))]
    expect(await prompt(items)).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'a' }] },
      { role: 'user', content: [{ type: 'text', text: 'b' }] },
    ])
  })
})

describe('what a provider wants back', () => {
  const reply = (name: string) => [
    user(text('a')),
    reasoning('think', from(name, signed('r'))),
    said('b', from(name, signed('t'))),
    call('call_1', '{}', from(name, signed('c'))),
    result('call_1', 'r'),
  ]

  test('goes to the provider it came from', async () => {
    const [, message] = await prompt(reply('acme'))
    expect(message?.content).toEqual([
      { type: 'reasoning', text: 'think', providerOptions: signed('r') },
      { type: 'text', text: 'b', providerOptions: signed('t') },
      expect.objectContaining({ type: 'tool-call', providerOptions: signed('c') }),
    ])
  })

  test('goes to no other, reasoning with it', async () => {
    const [, message] = await prompt(reply('openai'))
    expect(message?.content).toEqual([
      { type: 'text', text: 'b' },
      { type: 'tool-call', toolCallId: 'call_1', toolName: 't_call_1', input: {} },
    ])
  })

  test('is not sent of thoughts that were cut, or that a message would end in', async () => {
    const cut = reasoning('cut', { partial: true, ...from('acme', signed('x')) })
    const items = [
      user(text('a')),
      cut,
      said('b'),
      reasoning('c', from('acme', signed('c'))),
      user(text('d')),
    ]
    expect(await prompt(items)).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'a' }] },
      { role: 'assistant', content: [{ type: 'text', text: 'b' }] },
      { role: 'user', content: [{ type: 'text', text: 'd' }] },
    ])
    const only = [user(text('a')), reasoning('c', from('acme', signed('c'))), user(text('d'))]
    expect((await prompt(only)).map(({ role }) => role)).toEqual(['user', 'user'])
  })

  test('comes back block by block from a reply, whatever way its blocks came', async () => {
    const parts: ModelPart[] = []
    const asked = languageModel([
      { type: 'reasoning-start', id: 'a', providerMetadata: signed('sealed') },
      { type: 'reasoning-end', id: 'a' },
      { type: 'reasoning-start', id: 'b' },
      { type: 'reasoning-delta', id: 'b', delta: 'one' },
      { type: 'reasoning-end', id: 'b', providerMetadata: signed('b') },
      { type: 'reasoning-start', id: 'c', providerMetadata: signed('sealed too') },
      { type: 'reasoning-end', id: 'c' },
      { type: 'reasoning-start', id: 'd' },
      { type: 'reasoning-delta', id: 'd', delta: 'two' },
      { type: 'reasoning-start', id: 'e' },
      { type: 'reasoning-delta', id: 'e', delta: 'three' },
      { type: 'reasoning-end', id: 'd', providerMetadata: signed('d') },
      { type: 'reasoning-end', id: 'e', providerMetadata: signed('e') },
      { type: 'tool-call', toolCallId: 'x', toolName: 't', input: '{}', providerMetadata: signed('x') },
      finish(),
    ])
    const model = createAiSdkModel({ provider: 'acme', id: 'acme/m', languageModel: asked })
    await collectReply(model, { onPart: (part) => parts.push(part) })
    const items = itemsOf(parts, 'acme')
    const made = items.at(-1)!
    const callId = made.type === 'tool_call' ? made.call_id : ''
    const [, message] = await prompt([user(text('a')), ...items, result(callId, 'r')])
    expect(message?.content).toEqual([
      { type: 'reasoning', text: '', providerOptions: signed('sealed') },
      { type: 'reasoning', text: 'one', providerOptions: signed('b') },
      { type: 'reasoning', text: '', providerOptions: signed('sealed too') },
      { type: 'reasoning', text: 'two', providerOptions: signed('d') },
      { type: 'reasoning', text: '\n\nthree', providerOptions: signed('e') },
      { type: 'tool-call', toolCallId: callId, toolName: 't', input: {}, providerOptions: signed('x') },
    ])
  })

  test('includes the files it made; others are told that there was one', async () => {
    const file = (name: string): ModelItem => ({
      type: 'message',
      id: 'item_f',
      role: 'assistant',
      content: [{ type: 'image', url: 'data:image/png;base64,aGk=', media_type: 'image/png' }],
      ...from(name, signed('f')),
    })
    const data = { type: 'data', data: 'aGk=' }
    expect((await prompt([user(text('a')), file('acme')]))[1]?.content).toEqual([
      { type: 'file', mediaType: 'image/png', data, providerOptions: signed('f') },
    ])
    expect((await prompt([user(text('a')), file('other')]))[1]?.content).toEqual([
      { type: 'text', text: '[image: image/png]' },
    ])
  })
})

describe('images and files', () => {
  const image = (url: string, media_type?: string): Part => ({
    type: 'image',
    url,
    ...(media_type !== undefined && { media_type }),
  })
  const file = (url: string, media_type: string): Part => ({ type: 'file', url, media_type, filename: 'f' })

  test.each([
    [image('data:image/png;base64,aGk='), 'image/png', 'aGk='],
    [image('DATA:image/PNG;charset=x;Base64,aGk%3D'), 'image/png', 'aGk='],
    [image('data:;base64,aGk=', 'image/webp'), 'image/webp', 'aGk='],
    [image('data:;base64,aGk='), 'image/*', 'aGk='],
    [
      file('data:text/plain,h%69%FFé', 'text/plain'),
      'text/plain',
      Buffer.from([104, 105, 255, 195, 169]).toString('base64'),
    ],
  ])('%j goes along as data', async (part, mediaType, base64) => {
    const [message] = await prompt([user(part)])
    expect(message?.content).toMatchObject([
      { type: 'file', mediaType, data: { type: 'data', data: base64 } },
    ])
  })

  const pictures = { 'image/*': [/^https:/] }
  test.each<[Part, Options['supportedUrls'], string]>([
    [image('https://a.example/x'), pictures, 'image/*'],
    [image('https://a.example/x', 'image/png'), pictures, 'image/png'],
    [image('https://a.example/x.JPG?y'), { 'image/jpeg': [/^https:/] }, 'image/jpeg'],
    [image('https://a.example/x'), { '*': [/^https:\/\/a/g] }, 'image/*'],
    [file('https://a.example/x', 'application/pdf'), Promise.resolve({ '*/*': [/./] }), 'application/pdf'],
  ])('%j goes along as a URL where the model fetches such', async (part, supportedUrls, mediaType) => {
    for (let i = 0; i < 2; i++) {
      const [message] = await prompt([user(part)], { supportedUrls: supportedUrls! })
      expect(message?.content).toMatchObject([{ type: 'file', mediaType, data: { type: 'url' } }])
      const { url } = (message!.content as { data: { url: URL } }[])[0]!.data
      expect(url.href).toBe('url' in part ? part.url : '')
    }
  })

  test.each<[Part, Options['supportedUrls']]>([
    [image('https://a.example/x'), {}],
    [image('http://a.example/x'), pictures],
    [image('https://a.example/x'), { 'image/png': [/./] }],
    [file('https://a.example/x', 'application/pdf'), pictures],
    [image('no url'), { '*': [/./] }],
    [image('data:image/png'), { '*': [/./] }],
  ])('%j is refused where it does not', async (part, supportedUrls) => {
    await expect(prompt([user(part)], { supportedUrls: supportedUrls! })).rejects.toMatchObject({
      code: 'input_not_accepted',
      message: expect.stringContaining('data:'),
    })
  })
})

describe('the options of a call', () => {
  const tools = [{ name: 't', description: 'd', parameters: { type: 'object' } }]

  test('are absent where the request leaves them open', async () => {
    expect(Object.keys(await ask({ toolChoice: 'required' }))).toEqual(['prompt'])
  })

  test('are the settings, tools and schema of the request', async () => {
    const settings = {
      temperature: 0.5,
      topP: 0.9,
      maxOutputTokens: 100,
      stop: ['x'],
      seed: 7,
      reasoningEffort: 'xhigh',
      parallelToolCalls: false,
    } as const
    const outputSchema = { type: 'object' }
    const call = await ask({
      tools,
      toolChoice: 'auto',
      outputSchema,
      settings: { ...settings, stop: ['x'] },
    })
    expect(call).toEqual({
      prompt: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
      temperature: 0.5,
      topP: 0.9,
      maxOutputTokens: 100,
      stopSequences: ['x'],
      seed: 7,
      reasoning: 'xhigh',
      tools: [{ type: 'function', name: 't', description: 'd', inputSchema: { type: 'object' } }],
      toolChoice: { type: 'auto' },
      responseFormat: { type: 'json', name: 'output', schema: { type: 'object' } },
    })
  })

  test.each([
    ['none', { type: 'none' }],
    ['required', { type: 'required' }],
    [{ name: 't' }, { type: 'tool', toolName: 't' }],
  ] as const)('take the tool choice %j', async (toolChoice, expected) => {
    expect((await ask({ tools, toolChoice })).toolChoice).toEqual(expected)
  })

  test.each([
    ['anthropic.messages', { anthropic: { includePings: true, disableParallelToolUse: true } }],
    ['google.generative-ai', { google: { thinkingConfig: { includeThoughts: true } } }],
    ['openai.responses', { openai: { parallelToolCalls: false } }],
    ['acme', undefined],
  ])('of %s say in its words what has no common name', async (provider, expected) => {
    const settings = { parallelToolCalls: false, reasoningEffort: 'low' } as const
    expect((await ask({ tools, settings }, { provider })).providerOptions).toEqual(expected)
  })
})
