import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4StreamPart,
  LanguageModelV4Usage,
} from '@ai-sdk/provider'
import { createReplyBuilder } from '../../src/agent/reply-builder.ts'
import type { ModelItem } from '../../src/items.ts'
import type { ModelPart } from '../../src/models/model.ts'

type Reply = LanguageModelV4StreamPart[] | Source
type Source = UnderlyingDefaultSource<LanguageModelV4StreamPart>

export interface HandMadeLanguageModel extends LanguageModelV4 {
  /** What it was asked, oldest first. */
  readonly calls: LanguageModelV4CallOptions[]
}

/**
 * A language model of the AI SDK that streams what it is told to: parts, a source, or what a
 * function promises for each call (which may reject).
 */
export function languageModel(
  reply: Reply | (() => Promise<Reply>),
  options: Partial<Pick<LanguageModelV4, 'provider' | 'modelId' | 'supportedUrls'>> = {},
): HandMadeLanguageModel {
  const calls: LanguageModelV4CallOptions[] = []
  return {
    specificationVersion: 'v4',
    provider: 'acme.chat',
    modelId: 'm-1',
    supportedUrls: {},
    ...options,
    calls,
    doGenerate: () => Promise.reject(new Error('only streams')),
    async doStream(call) {
      calls.push(call)
      const source = typeof reply === 'function' ? await reply() : reply
      return { stream: new ReadableStream(Array.isArray(source) ? sourceOf(source) : source) }
    },
  }
}

function sourceOf(parts: readonly LanguageModelV4StreamPart[]): Source {
  let next = 0
  return {
    pull(controller) {
      const part = parts[next++]
      if (part) controller.enqueue(part)
      else controller.close()
    },
  }
}

export const noUsage: LanguageModelV4Usage = {
  inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: undefined, text: undefined, reasoning: undefined },
}

type Unified = Extract<LanguageModelV4StreamPart, { type: 'finish' }>['finishReason']['unified']

export function finish(
  unified: Unified = 'stop',
  usage: LanguageModelV4Usage = noUsage,
): LanguageModelV4StreamPart {
  return { type: 'finish', finishReason: { unified, raw: unified }, usage }
}

export const textDelta = (delta: string, id = '0'): LanguageModelV4StreamPart => ({
  type: 'text-delta',
  id,
  delta,
})

/** The items that a run keeps of a reply. */
export function itemsOf(parts: readonly ModelPart[], provider: string): ModelItem[] {
  const unused = () => {
    throw new Error('a reply is only shown')
  }
  const log = { emit: () => undefined, progress: unused, defer: unused, commit: unused }
  const builder = createReplyBuilder({ log, provider })
  for (const part of parts) builder.push(part)
  return builder.finish() as ModelItem[]
}
