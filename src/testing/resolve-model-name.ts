import { loadSettings } from '../config.ts'
import type { Model } from '../models/model.ts'
import { createModelRegistry } from '../models/registry.ts'

/** The model that a server with the settings of this environment would ask. Throws `model_not_configured`. */
export function resolveModelName(name: string): { model: Model; close: () => Promise<void> } {
  const { llmBaseUrl, llmApiKey, openaiApiKey, openaiBaseUrl } = loadSettings()
  const registry = createModelRegistry({
    ...(llmBaseUrl && { llm: { baseURL: llmBaseUrl, ...(llmApiKey && { apiKey: llmApiKey }) } }),
    ...(openaiApiKey && {
      openai: { apiKey: openaiApiKey, ...(openaiBaseUrl && { baseURL: openaiBaseUrl }) },
    }),
  })
  return { model: registry.resolve(name), close: () => registry.close() }
}
