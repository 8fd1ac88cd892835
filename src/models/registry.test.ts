import { onTestFinished, describe, expect, test } from 'vitest'
import { createUpstreamServer, streamReply } from '../testing/upstream-server.ts'
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
    ['anthropic/claude-x', { openai }, /anthropic\/… is not supported directly yet; set LLM_BASE_URL/],
    ['google/gemini-x', { openai }, /google\/… is not supported directly yet; set LLM_BASE_URL/],
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

describe('a registry', () => {
  test('describes itself without keys, paths and credentials', () => {
    const registry = createModelRegistry({
      openai,
      llm: { baseURL: 'https://user:secret@gate.example/v1?key=secret', defaultModel: 'small' },
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

  test('refuses a provider name that no model string can hold', () => {
    const providers = { 'a/b': { baseURL: llm.baseURL } }
    expect(() => createModelRegistry({ providers })).toThrow(/provider name "a\/b"/)
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
