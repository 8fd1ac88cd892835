import type { LanguageModelV4 } from '@ai-sdk/provider'
import { z } from 'zod'
import type { Clock } from '../../clock.ts'
import { systemClock } from '../../clock.ts'
import { AppError } from '../../errors.ts'
import { clockSchema, DefinitionError, maxTimerMs, parseDefinition } from '../../parse-definition.ts'
import type { InputKind, Model } from '../model.ts'
import { acceptsSchema } from '../model-info.ts'
import { secretsOfLanguageModel } from './providers.ts'
import { ReplyReader } from './reply-reader.ts'
import type { OpenLanguageModel } from './reply-reader.ts'

export interface AiSdkOptions {
  /** Silence, from the request or the last part, after which a call fails with `model_timeout`. Default 60 s. */
  stallTimeoutMs?: number
  /** Tokens, where known. */
  contextWindow?: number
  /** What a message may hold beside text, where known. */
  accepts?: readonly InputKind[]
  /** Only where no answer can break its schema, with and without tools. Default: not. */
  enforcesOutputSchema?: boolean
  clock?: Clock
}

export interface AiSdkModelOptions extends AiSdkOptions {
  /** Whose `providerData`: `anthropic`, `google`. */
  provider: string
  /** The full name: `anthropic/claude-sonnet-4-5`. */
  id: string
  /** The function is called at the first request, and again only where it failed. */
  languageModel: LanguageModelV4 | (() => Promise<LanguageModelV4>)
}

/** A model behind the interface `LanguageModelV4` of the AI SDK. */
export function createAiSdkModel(options: AiSdkModelOptions): Model {
  const { provider, id, contextWindow, accepts, enforcesOutputSchema } = options
  const open = opener(options.languageModel)
  const stallTimeoutMs = options.stallTimeoutMs ?? 60_000
  const clock = options.clock ?? systemClock
  return {
    provider,
    id,
    ...(contextWindow !== undefined && { contextWindow }),
    ...(accepts && { accepts }),
    ...(enforcesOutputSchema !== undefined && { enforcesOutputSchema }),
    stream(request, { emit, signal }) {
      return new Promise((resolve, reject) => {
        const reader = new ReplyReader({
          open,
          request,
          provider,
          emit,
          signal,
          resolve,
          reject,
          stallTimeoutMs,
          clock,
        })
        reader.start()
      })
    },
  }
}

/**
 * An author's own model object of the AI SDK, as a model of ours: `fromAiSdk(mistral('mistral-large-latest'))`. Its name is
 * `provider/modelId`. Throws a `DefinitionError` where it is not of version 4, and on what is not one of the options.
 */
export function fromAiSdk(languageModel: LanguageModelV4, options: AiSdkOptions = {}): Model {
  checkVersion(languageModel)
  parseDefinition({ what: 'fromAiSdk', schema: optionsSchema, options })
  const { provider, modelId } = languageModel
  return createAiSdkModel({ ...options, provider, id: `${provider}/${modelId}`, languageModel })
}

const optionsSchema = z.strictObject({
  stallTimeoutMs: z.int().positive().max(maxTimerMs).optional(),
  contextWindow: z.int().positive().optional(),
  accepts: acceptsSchema.optional(),
  enforcesOutputSchema: z.boolean().optional(),
  clock: clockSchema.optional(),
})

function checkVersion(languageModel: LanguageModelV4 | undefined): void {
  // Authors without types, and those with packages of another year.
  const specificationVersion: unknown = languageModel?.specificationVersion
  if (specificationVersion === 'v4') return
  const said = JSON.stringify(specificationVersion) ?? 'none'
  throw new DefinitionError(
    `not a LanguageModelV4 of the AI SDK: its specificationVersion is ${said}, not "v4"`,
  )
}

function opener(source: AiSdkModelOptions['languageModel']): () => Promise<OpenLanguageModel> {
  let opened: Promise<OpenLanguageModel> | undefined
  return () => {
    opened ??= open(source).catch((error: unknown) => {
      opened = undefined
      throw error
    })
    return opened
  }
}

async function open(source: AiSdkModelOptions['languageModel']): Promise<OpenLanguageModel> {
  const languageModel = typeof source === 'function' ? await source() : source
  try {
    checkVersion(languageModel)
  } catch (cause) {
    const message = 'The package of this model is not of version 4 of the AI SDK interface.'
    throw new AppError('model_not_configured', { message, cause })
  }
  return { languageModel, secrets: secretsOfLanguageModel(languageModel) }
}
