import { z } from 'zod'
import { parseDefinition } from '../parse-definition.ts'
import type { InputKind, ModelPrice } from './model.ts'

/** What is known of a model. What is absent is not known, and nothing is assumed of it. */
export interface ModelInfo {
  /** Tokens. The past is trimmed to fit it. */
  contextWindow?: number
  /** What a message may hold beside text; `[]`: nothing. */
  accepts?: readonly InputKind[]
  /** False: requests with a JSON Schema of the answer are refused; the model is told it in words alone. */
  takesOutputSchema?: boolean
  price?: ModelPrice
}

export const acceptsSchema = z.array(z.enum(['image', 'file']))

const infosSchema = z.record(
  z.string(),
  z.strictObject({
    contextWindow: z.int().positive().optional(),
    accepts: acceptsSchema.optional(),
    takesOutputSchema: z.boolean().optional(),
    price: z
      .strictObject({
        input: z.number().min(0),
        output: z.number().min(0),
        cachedInput: z.number().min(0).optional(),
      })
      .optional(),
  }),
)

/** Throws a `DefinitionError`: a misspelt price would be none, and a budget of cost would not hold. */
export function checkInfos(models: Readonly<Record<string, ModelInfo>>): void {
  parseDefinition({ what: 'models', schema: infosSchema, options: models })
}

/** What is known without being told of a provider's own model, by the name the provider gives it. */
export function builtInInfo(provider: string, model: string): ModelInfo {
  const found = families.get(provider)?.find(([prefix]) => model.startsWith(prefix))
  if (!found) return {}
  const [, contextWindow, accepts] = found
  return { contextWindow, accepts }
}

const textOnly: readonly InputKind[] = []
const images: readonly InputKind[] = ['image']
const imagesAndFiles: readonly InputKind[] = ['image', 'file']

type Family = readonly [prefix: string, contextWindow: number, accepts: readonly InputKind[]]

/**
 * The first prefix that fits counts. Where members of a family differ, the smaller window: it costs some of the past, a larger
 * one a refused request. Prices change too often to be kept here.
 */
const families: ReadonlyMap<string, readonly Family[]> = new Map(
  Object.entries({
    openai: [
      ['gpt-5-chat', 128_000, imagesAndFiles],
      ['gpt-5', 400_000, imagesAndFiles],
      ['gpt-4.1', 1_047_576, imagesAndFiles],
      ['gpt-4o-audio', 128_000, textOnly],
      ['gpt-4o', 128_000, imagesAndFiles],
      ['gpt-4-turbo', 128_000, images],
      ['gpt-3.5-turbo', 16_385, textOnly],
      ['o4-mini', 200_000, imagesAndFiles],
      ['o3-mini', 200_000, textOnly],
      ['o3', 200_000, imagesAndFiles],
      ['o1-mini', 128_000, textOnly],
      ['o1-preview', 128_000, textOnly],
      ['o1', 200_000, imagesAndFiles],
    ],
    anthropic: [
      ['claude-3-haiku', 200_000, images],
      ['claude-', 200_000, imagesAndFiles],
    ],
    google: [
      ['gemini-2.5-flash-image', 32_768, imagesAndFiles],
      ['gemini-', 1_048_576, imagesAndFiles],
    ],
  }),
)
