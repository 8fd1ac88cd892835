import { AppError } from '../errors.ts'
import type { ModelKeys, ProviderKey } from './key-ring.ts'
import type { Model, ModelPart } from './model.ts'

export interface KeyedModelOptions {
  keys: ModelKeys
  /** The model as one key reaches it. */
  create: (key: ProviderKey) => Model
}

/**
 * A model with several keys. A key that is refused or limited before the first part of a reply is replaced by another at
 * once; after it, the failure is the caller's, and the key cools down all the same.
 */
export function createKeyedModel({ keys, create }: KeyedModelOptions): Model {
  const models = new Map(keys.keys.map((key) => [key, create(key)]))
  const [first] = models.values()
  if (!first) throw new TypeError('createKeyedModel: give at least one key')
  return {
    ...first,
    async stream(request, { emit, signal }) {
      let began = false
      const noting = (part: ModelPart) => {
        began = true
        emit(part)
      }
      const tried = new Set<ProviderKey>()
      for (;;) {
        const key = keys.pick(tried)
        try {
          return await (models.get(key) ?? first).stream(request, { emit: noting, signal })
        } catch (error) {
          if (!AppError.is(error) || !keys.coolDown(key, error) || began) throw error
          tried.add(key)
        }
      }
    },
  }
}
