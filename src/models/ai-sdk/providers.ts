import type { LanguageModelV4 } from '@ai-sdk/provider'
import { AppError } from '../../errors.ts'
import { parseBaseURL } from '../base-url.ts'
import { checkHeader, secretsOf } from '../provider-secrets.ts'
import { boundedResponse } from './bounded-response.ts'

export interface LoadLanguageModelOptions {
  provider: 'anthropic' | 'google'
  /** As the provider knows it: `claude-sonnet-4-5`. */
  model: string
  apiKey: string
  /** Default: the provider's own. What the environment says of it is not read. */
  baseURL?: string
  /** Sent with each request. They win over ours. */
  headers?: Record<string, string>
}

/**
 * A model of a provider that the AI SDK has a package for, imported when it is first named. Throws `model_not_configured`
 * where the package is missing, or the model's name, the key, a header or the base URL cannot be used.
 */
export async function loadLanguageModel(options: LoadLanguageModelOptions): Promise<LanguageModelV4> {
  checkAccess(options)
  const languageModel = await loaders[options.provider](options)
  secrets.set(languageModel, secretsOf(options))
  return languageModel
}

/** What must not be seen in the errors of a model that was loaded here. */
export function secretsOfLanguageModel(languageModel: LanguageModelV4): readonly string[] {
  return secrets.get(languageModel) ?? []
}

const secrets = new WeakMap<LanguageModelV4, readonly string[]>()

const loaders = {
  async anthropic(options: LoadLanguageModelOptions): Promise<LanguageModelV4> {
    const name = '@ai-sdk/anthropic'
    const { createAnthropic } = await importPackage({
      name,
      load: () => import('@ai-sdk/anthropic'),
      options,
    })
    const settings = settingsOf(options, 'https://api.anthropic.com/v1')
    return createAnthropic(settings).languageModel(options.model)
  },
  async google(options: LoadLanguageModelOptions): Promise<LanguageModelV4> {
    const name = '@ai-sdk/google'
    const { createGoogle } = await importPackage({ name, load: () => import('@ai-sdk/google'), options })
    const settings = settingsOf(options, 'https://generativelanguage.googleapis.com/v1beta')
    return createGoogle(settings).languageModel(options.model)
  },
}

function settingsOf({ apiKey, baseURL, headers }: LoadLanguageModelOptions, address: string) {
  return {
    apiKey,
    baseURL: baseURL ?? address,
    ...(headers && { headers }),
    fetch: fetchFromProvider,
  }
}

/** Follows no redirects: the key would go with it. Then the status itself is the error. No answer is without an end. */
const fetchFromProvider: typeof fetch = async (input, init) =>
  boundedResponse(await fetch(input, { ...init, redirect: 'manual' }))

async function importPackage<T>(input: {
  name: string
  load: () => Promise<T>
  options: LoadLanguageModelOptions
}): Promise<T> {
  const { name, load, options } = input
  try {
    return await load()
  } catch (cause) {
    const model = JSON.stringify(`${options.provider}/${options.model}`)
    const message = `The model ${model} needs the package ${name}: npm install ${name}`
    throw new AppError('model_not_configured', { message, cause })
  }
}

function checkAccess({ provider, model, apiKey, baseURL, headers = {} }: LoadLanguageModelOptions): void {
  checkHeader('authorization', apiKey)
  for (const [name, value] of Object.entries(headers)) checkHeader(name, value)
  if (baseURL !== undefined) parseBaseURL(baseURL, `${provider}/…`)
  if (isPath(model)) return
  const message = `The name of the model ${JSON.stringify(`${provider}/${model}`)} is none: only letters, digits and . _ : @ - stand between its slashes.`
  throw new AppError('model_not_configured', { message })
}

/** The name is part of the path that is asked with the key, and may come from a request: it must not lead elsewhere. */
function isPath(model: string): boolean {
  return model.split('/').every((segment) => /^[\w.:@-]+$/.test(segment) && !/^\.\.?$/.test(segment))
}
