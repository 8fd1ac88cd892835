import { onTestFinished, describe, expect, test } from 'vitest'
import { createUpstreamServer, streamReply } from '../testing/upstream-server.ts'
import { toKeys } from './providers.ts'
import type { ProviderOptions } from './providers.ts'
import { createModelRegistry } from './registry.ts'
import type { ModelRegistryOptions } from './registry.ts'

const llm = { baseURL: 'http://127.0.0.1:1/v1' }
const openai = { apiKey: 'sk-openai' }
const groq = { groq: { baseURL: 'http://127.0.0.1:2/v1', keys: [{ name: 'main', key: 'gsk' }] } }

/** Asks the model of this name and tells what reached the one upstream that stands for all providers. */
async function ask(name: string, make: (baseURL: string) => ModelRegistryOptions) {
  const upstream = await createUpstreamServer()
  const registry = createModelRegistry(make(upstream.baseURL))
  onTestFinished(async () => {
    await registry.close()
    await upstream.close()
  })
  upstream.reply(streamReply({ text: ['Hi'] }))
  const model = registry.resolve(name)
  await model.stream(
    { instructions: 'x', items: [], tools: [], settings: { maxOutputTokens: 5 } },
    { emit() {}, signal: new AbortController().signal },
  )
  const { headers, body } = await upstream.request(0)
  return { provider: model.provider, id: model.id, key: headers.authorization, body }
}

describe('resolve', () => {
  test.each<[name: string, provider: string, model: string, key: string | undefined]>([
    ['openai/gpt-4o-mini', 'openai', 'gpt-4o-mini', 'Bearer sk-openai'],
    ['llm/qwen3:8b', 'llm', 'qwen3:8b', undefined],
    ['llm/meta/llama-3', 'llm', 'meta/llama-3', undefined],
    ['qwen3:8b', 'llm', 'qwen3:8b', undefined],
    ['meta/llama-3', 'llm', 'meta/llama-3', undefined],
    ['anthropic/claude-x', 'llm', 'anthropic/claude-x', undefined],
    ['groq/llama-3.3-70b', 'groq', 'llama-3.3-70b', 'Bearer gsk'],
  ])('sends %s to %s as %s', async (name, provider, model, key) => {
    const seen = await ask(name, (baseURL) => ({
      llm: { baseURL },
      openai: { ...openai, baseURL },
      providers: { groq: { ...groq.groq, baseURL } },
    }))
    expect(seen).toMatchObject({ provider, id: name, body: { model } })
    expect(seen.key).toBe(key)
  })

  test('speaks the dialect of OpenAI to OpenAI only', async () => {
    const to = async (name: string) =>
      (await ask(name, (baseURL) => ({ llm: { baseURL }, openai: { ...openai, baseURL } }))).body
    expect(await to('openai/x')).toHaveProperty('max_completion_tokens', 5)
    expect(await to('llm/x')).toHaveProperty('max_tokens', 5)
  })

  test('sends openai/… to LLM_BASE_URL, whole, where there is no key of OpenAI', async () => {
    const seen = await ask('openai/gpt-4o', (baseURL) => ({ llm: { baseURL, apiKey: 'sk-gate' } }))
    expect(seen).toMatchObject({ provider: 'llm', body: { model: 'openai/gpt-4o' }, key: 'Bearer sk-gate' })
  })

  test('sends the headers of a provider', async () => {
    const upstream = await createUpstreamServer()
    const providers = { own: { baseURL: upstream.baseURL, headers: { 'x-team': 'red' } } }
    const registry = createModelRegistry({ providers })
    onTestFinished(async () => {
      await registry.close()
      await upstream.close()
    })
    upstream.reply(streamReply({}))
    const request = { instructions: 'x', items: [], tools: [], settings: {} }
    await registry.resolve('own/x').stream(request, { emit() {}, signal: new AbortController().signal })
    expect((await upstream.request(0)).headers).toMatchObject({ 'x-team': 'red' })
  })

  test.each<[name: string, options: ModelRegistryOptions, advice: RegExp]>([
    ['openai/gpt-4o', {}, /OPENAI_API_KEY/],
    ['openai/gpt-4o', { providers: { openai: { maxConcurrent: 2 } } }, /OPENAI_API_KEY/],
    ['anthropic/claude-x', { openai }, /ANTHROPIC_API_KEY, or LLM_BASE_URL/],
    ['google/gemini-x', { openai }, /GOOGLE_GENERATIVE_AI_API_KEY, or LLM_BASE_URL/],
    ['constructor/x', {}, /a provider named "constructor", or set LLM_BASE_URL/],
    ['llm/x', { openai }, /LLM_BASE_URL/],
    ['x', {}, /LLM_BASE_URL/],
    ['meta/llama-3', { providers: groq }, /a provider named "meta", or set LLM_BASE_URL/],
    ['', { llm }, /empty/],
    ['llm/', { llm }, /empty/],
  ])('says what to set for %j', (name, options, advice) => {
    const registry = createModelRegistry(options)
    expect(() => registry.resolve(name)).toThrow(
      expect.objectContaining({
        code: 'model_not_configured',
        message: expect.stringMatching(advice) as string,
      }),
    )
  })

  test('gives the same model for the same name', () => {
    const { resolve } = createModelRegistry({ llm })
    expect(resolve('llm/a')).toBe(resolve('llm/a'))
    expect(resolve('llm/a')).not.toBe(resolve('a'))
  })

  test('forgets models when there are too many names', () => {
    const { resolve } = createModelRegistry({ llm })
    const first = resolve('model-0')
    for (let i = 1; i <= 1000; i++) resolve(`model-${i}`)
    expect(resolve('model-0')).not.toBe(first)
  })

  test('knows the context window of OpenAI models, and only of theirs', () => {
    const { resolve } = createModelRegistry({ llm, openai })
    expect(resolve('openai/gpt-4o-mini').contextWindow).toBe(128_000)
    expect(resolve('openai/gpt-4.1-nano').contextWindow).toBe(1_047_576)
    expect(resolve('llm/gpt-4o-mini').contextWindow).toBeUndefined()
  })
})

describe('what is known of a model', () => {
  test.each<[name: string, window: number | undefined, accepts: string[] | undefined]>([
    ['openai/gpt-4o-mini', 128_000, ['image', 'file']],
    ['openai/gpt-5.2', 400_000, ['image', 'file']],
    ['openai/gpt-5-chat-latest', 128_000, ['image', 'file']],
    ['openai/gpt-3.5-turbo-0125', 16_385, []],
    ['openai/gpt-4-turbo', 128_000, ['image']],
    ['openai/o3', 200_000, ['image', 'file']],
    ['openai/o3-mini', 200_000, []],
    ['openai/o1-mini-2024', 128_000, []],
    ['openai/davinci', undefined, undefined],
    ['anthropic/claude-sonnet-4-5', 200_000, ['image', 'file']],
    ['google/gemini-3-pro', 1_048_576, ['image', 'file']],
    ['llm/gpt-4o', undefined, undefined],
    ['gpt-4o', undefined, undefined],
  ])('%s has a window of %s and takes %j', (name, window, accepts) => {
    const key = { apiKey: 'k' }
    const { resolve } = createModelRegistry({ llm, openai, anthropic: key, google: key })
    const { contextWindow, accepts: taken } = resolve(name)
    expect([contextWindow, taken]).toEqual([window, accepts])
  })

  test('is what the author says, field by field, and else what is built in', () => {
    const { resolve } = createModelRegistry({
      llm,
      openai,
      models: {
        'openai/gpt-4o': { contextWindow: 1000 },
        'openai/gpt-4o-mini': { accepts: [] },
        'llm/qwen3:8b': { contextWindow: 40_960, accepts: ['image'] },
      },
    })
    expect(resolve('openai/gpt-4o')).toMatchObject({ contextWindow: 1000, accepts: ['image', 'file'] })
    expect(resolve('openai/gpt-4o-mini')).toMatchObject({ contextWindow: 128_000, accepts: [] })
    for (const name of ['llm/qwen3:8b', 'qwen3:8b']) {
      expect(resolve(name)).toMatchObject({ contextWindow: 40_960, accepts: ['image'] })
    }
  })

  test('is the same with several keys and a cap', () => {
    const several = { keys: ['a', 'b'].map((name) => ({ name, key: name })), maxConcurrent: 2 }
    const { resolve } = createModelRegistry({ providers: { openai: several } })
    expect(resolve('openai/gpt-4o')).toMatchObject({
      provider: 'openai',
      id: 'openai/gpt-4o',
      contextWindow: 128_000,
      accepts: ['image', 'file'],
      enforcesOutputSchema: true,
    })
  })

  test('holds answers to a schema at OpenAI only', () => {
    const { resolve } = createModelRegistry({ llm, openai, providers: groq })
    const enforcing = ['openai/gpt-4o', 'llm/gpt-4o', 'groq/llama'].map(
      (name) => resolve(name).enforcesOutputSchema,
    )
    expect(enforcing).toEqual([true, undefined, undefined])
  })

  test('holds the prices that the author gave, and no others', () => {
    const price = { input: 2, output: 8 }
    const { infoOf } = createModelRegistry({
      llm,
      openai,
      models: { 'openai/gpt-4o': { price }, 'llm/small': { price }, scripted: { price } },
    })
    expect(['openai/gpt-4o', 'llm/small', 'small', 'scripted'].map((id) => infoOf(id).price)).toEqual(
      Array(4).fill(price),
    )
    expect(
      ['openai/gpt-4o-mini', 'llm/large', 'nobody/x', '', 'constructor'].map((id) => infoOf(id).price),
    ).toEqual(Array(5).fill(undefined))
  })
})

describe('settings of a built-in provider', () => {
  test('are what the author gives, and else those of the environment', async () => {
    const seen = await ask('openai/x', (baseURL) => ({
      openai: { apiKey: 'sk-environment', baseURL },
      providers: { openai: { headers: { 'x-team': 'red' }, maxConcurrent: 1 } },
    }))
    expect(seen.key).toBe('Bearer sk-environment')
    const replaced = await ask('openai/x', (baseURL) => ({
      openai: { apiKey: 'sk-environment', baseURL },
      providers: { openai: { keys: [{ name: 'own', key: 'sk-own' }] } },
    }))
    expect(replaced.key).toBe('Bearer sk-own')
    const moved = await ask('llm/x', (baseURL) => ({ llm, providers: { llm: { baseURL } } }))
    expect(moved.provider).toBe('llm')
  })

  test('make one without being told of it elsewhere', () => {
    const keys = [{ name: 'own', key: 'k' }]
    const registry = createModelRegistry({
      providers: { google: { keys }, anthropic: { keys }, llm, openai: { baseURL: llm.baseURL } },
    })
    expect(registry.describe().providers).toEqual([
      { name: 'openai', origin: 'http://127.0.0.1:1' },
      { name: 'llm', origin: 'http://127.0.0.1:1' },
      { name: 'anthropic', origin: 'https://api.anthropic.com' },
      { name: 'google', origin: 'https://generativelanguage.googleapis.com' },
    ])
    expect(registry.resolve('google/gemini-x').provider).toBe('google')
  })

  test('leave its models to LLM_BASE_URL where there is no key', async () => {
    const seen = await ask('anthropic/claude-x', (baseURL) => ({
      llm: { baseURL },
      providers: { anthropic: { maxConcurrent: 1 } },
    }))
    expect(seen).toMatchObject({ provider: 'llm', body: { model: 'anthropic/claude-x' } })
  })
})

describe('keys in one text', () => {
  test.each<[text: string, keys: string[]]>([
    ['sk-1', ['openai#1=sk-1']],
    ['sk-1, sk-2 ,sk-3', ['openai#1=sk-1', 'openai#2=sk-2', 'openai#3=sk-3']],
    [' sk-1,,', ['openai#1=sk-1']],
    ['', []],
  ])('%j are %j', (text, keys) => {
    expect(toKeys('openai', text).map(({ name, key }) => `${name}=${key}`)).toEqual(keys)
  })
})

describe('a registry', () => {
  test('describes itself without keys, paths and queries', () => {
    const registry = createModelRegistry({
      openai,
      llm: { baseURL: 'https://gate.example/secret/v1?key=secret', defaultModel: 'small' },
      providers: groq,
    })
    expect(registry.describe()).toEqual({
      defaultModel: 'llm/small',
      providers: [
        { name: 'openai', origin: 'https://api.openai.com' },
        { name: 'llm', origin: 'https://gate.example' },
        { name: 'groq', origin: 'http://127.0.0.1:2' },
      ],
    })
  })

  test('has no default model where none is set', () => {
    expect(createModelRegistry({ llm }).describe().defaultModel).toBeNull()
  })

  test('refuses a base URL that is none, at the start', () => {
    expect(() => createModelRegistry({ llm: { baseURL: 'localhost:11434' } })).toThrow(
      expect.objectContaining({ code: 'model_not_configured' }),
    )
  })

  test('refuses a base URL with a user or password, and does not repeat it', () => {
    const make = () => createModelRegistry({ llm: { baseURL: 'http://user:secret-one@127.0.0.1/v1' } })
    expect(make).toThrow(expect.objectContaining({ code: 'model_not_configured' }))
    expect(make).toThrow(/"llm".*without a user or password/)
    expect(make).not.toThrow(/secret-one/)
  })

  test('refuses a provider of a name of its own without a base URL', () => {
    expect(() => createModelRegistry({ providers: { groq: { keys: groq.groq.keys } } })).toThrow(
      expect.objectContaining({
        code: 'model_not_configured',
        message: expect.stringContaining('"groq" needs a baseURL') as string,
      }),
    )
  })

  test.each<[fault: RegExp, provider: ProviderOptions]>([
    [/own\.maxConcurrent: must be at least 1/, { maxConcurrent: 0 }],
    [/own\.maxConcurrent: must be a whole number/, { maxConcurrent: 1.5 }],
    [/own\.keys\.0\.weight: must be more than 0/, { keys: [{ name: 'a', key: 'k', weight: 0 }] }],
    [/own\.keys\.0\.weight: must be a number/, { keys: [{ name: 'a', key: 'k', weight: Number.NaN }] }],
    [/own: no such option: "key"; there are baseURL, /, { key: 'k' } as ProviderOptions],
    [
      /own\.keys: one of several is empty/,
      { keys: ['a', 'b'].map((name) => ({ name, key: name === 'b' ? '' : 'k' })) },
    ],
    [/own\.keys: two have the same name/, { keys: ['k1', 'k2'].map((key) => ({ name: 'a', key })) }],
  ])('refuses settings that make no sense: %s', (fault, provider) => {
    const providers = { own: { baseURL: llm.baseURL, ...provider } }
    expect(() => createModelRegistry({ providers })).toThrow(fault)
  })

  test('refuses a provider name that no model string can hold', () => {
    const providers = { 'a/b': { baseURL: llm.baseURL } }
    expect(() => createModelRegistry({ providers })).toThrow(
      'providers: a/b: a name is made of a-z A-Z 0-9 _ . -',
    )
  })

  test.each<[fault: string, info: object]>([
    ['contextwindow', { contextwindow: 1000 }],
    ['accepts.0: must be "image" or "file"', { accepts: ['picture'] }],
    ['price.input: must be a number, not text', { price: { input: '1', output: 2 } }],
    ['price: no such option: "out"', { price: { input: 1, output: 2, out: 3 } }],
  ])('refuses to be told what is nothing to know of a model: %s', (fault, info) => {
    expect(() => createModelRegistry({ llm, models: { 'llm/big': info } })).toThrow(fault)
  })

  test('closes the connections of all its models', async () => {
    const upstream = await createUpstreamServer()
    onTestFinished(() => upstream.close())
    upstream.replyAlways({ steps: [{ type: 'silence' }] })
    const registry = createModelRegistry({ llm: { baseURL: upstream.baseURL } })
    const request = { instructions: 'x', items: [], tools: [], settings: {} }
    const call = registry.resolve('a').stream(request, { emit() {}, signal: new AbortController().signal })
    const failed = expect(call).rejects.toMatchObject({ code: 'model_unavailable' })
    await upstream.request(0)
    await registry.close()
    await failed
    await upstream.idle()
  })
})
