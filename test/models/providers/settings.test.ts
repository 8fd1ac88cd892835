import { describe, expect, onTestFinished, test } from 'vitest'
import type { Model, ModelRequest } from '../../../src/models/model.ts'
import { createModelRegistry } from '../../../src/models/registry.ts'
import { collectReply, greeting } from '../collect-reply.ts'
import type { StandIn } from '../stand-ins/stand-in.ts'
import { providers } from './provider.ts'

/*
 * How a reply is asked for, as far as it can be asked for by no route of the server yet: at the port of the models.
 */

const lookUp = { name: 'look_up', description: 'Looks up.', parameters: { type: 'object', properties: {} } }

describe.for(providers.filter(({ differs }) => differs.wire))('a model of $name', (provider) => {
  async function start(): Promise<{ standIn: StandIn; model: Model }> {
    const standIn = await provider.start()
    const access = { baseURL: standIn.baseURL, apiKey: standIn.key }
    const registry = createModelRegistry({ [provider.name]: access })
    onTestFinished(async () => {
      await registry.close()
      await standIn.close()
    })
    return { standIn, model: registry.resolve(provider.model(standIn) as string) }
  }

  async function ask(request: Partial<ModelRequest>) {
    const { standIn, model } = await start()
    standIn.reply({ text: 'Hi.' })
    const { decoded } = await collectReply(model, { request: { ...greeting, ...request } })
    expect(decoded.text).toBe('Hi.')
    expect(standIn.refusals).toEqual([])
    return standIn.seen[0]!
  }

  test.for(['auto', 'none', 'required', { name: 'look_up' }] as const)(
    'may, must not, or must call: %j',
    async (toolChoice) => {
      expect((await ask({ tools: [lookUp], toolChoice })).toolChoice).toEqual(toolChoice)
    },
  )

  test('is asked for what the settings say', async () => {
    const { settings } = await ask({ settings: { topP: 0.4, stop: ['END'], seed: 4, maxOutputTokens: 50 } })
    expect(settings).toEqual({
      maxOutputTokens: 50,
      temperature: undefined,
      topP: 0.4,
      stop: ['END'],
      // Anthropic has none: the same question may be answered otherwise.
      ...(provider.name === 'anthropic' ? {} : { seed: 4 }),
      reasoning: undefined,
    })
  })

  test('is asked for nothing that nobody set', async () => {
    const { settings, toolChoice, output, tools } = await ask({})
    expect({ toolChoice, output, tools }).toEqual({ toolChoice: undefined, output: undefined, tools: [] })
    const { maxOutputTokens, ...others } = settings
    expect(Object.values(others).filter((value) => value !== undefined)).toEqual([])
    // Anthropic wants a limit always; it is the most that the model can do.
    expect(maxOutputTokens).toBe(provider.name === 'anthropic' ? 64_000 : undefined)
  })

  test('is asked not to think', async () => {
    const { settings } = await ask({ settings: { reasoningEffort: 'none' } })
    const words = {
      llm: 'none',
      openai: 'none',
      anthropic: { type: 'disabled' },
      google: { thinkingLevel: 'minimal' },
    }
    expect(settings.reasoning).toEqual(words[provider.name as keyof typeof words])
  })

  test('is asked for one call at a time', async () => {
    const { body } = await ask({ tools: [lookUp], settings: { parallelToolCalls: false } })
    const words = {
      llm: { parallel_tool_calls: false },
      openai: { parallel_tool_calls: false },
      anthropic: { tool_choice: { type: 'auto', disable_parallel_tool_use: true } },
      // Gemini cannot be asked for it.
      google: {},
    }
    expect(body).toMatchObject(words[provider.name as keyof typeof words])
  })
})
