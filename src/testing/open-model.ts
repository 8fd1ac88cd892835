import type { ModelChoice } from '../agent/definitions.ts'
import { loadSettings } from '../config.ts'
import { fromAiSdk } from '../models/ai-sdk/ai-sdk-model.ts'
import type { Model } from '../models/model.ts'
import { createModelRegistry } from '../models/registry.ts'
import { registryOptions } from '../parley.ts'

export interface OpenModel {
  model: Model
  /** Closes the connections that were opened for it. */
  close(): Promise<void>
}

/** A model as an agent names it; a name is resolved as a server with the settings of this environment would. */
export function openModel(choice: ModelChoice): OpenModel {
  if (typeof choice !== 'string') {
    const model = 'specificationVersion' in choice ? fromAiSdk(choice) : choice
    return { model, close: () => Promise.resolve() }
  }
  const registry = createModelRegistry(registryOptions(loadSettings()))
  return { model: registry.resolve(choice), close: () => registry.close() }
}
