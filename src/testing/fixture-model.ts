import { existsSync } from 'node:fs'
import type { ModelChoice } from '../agent/definitions.ts'
import { toFilePath } from './model-fixture.ts'
import { recordModel, type FixtureModel, type RecordModelOptions } from './record-model.ts'
import { replayModel, type ReplayModelOptions } from './replay-model.ts'

export interface FixtureModelOptions extends RecordModelOptions, ReplayModelOptions {
  /**
   * What is recorded, as an agent names its model: the settings of the environment resolve a name such as
   * `openai/gpt-4o-mini` as they do for a server. A replay asks neither for it nor for keys.
   */
  model: ModelChoice | (() => ModelChoice)
  /** Default: where there is no file yet, but never where the variable `CI` is set. True records anew. */
  record?: boolean
}

/**
 * A model for a test in the manner of a snapshot: the first run of the test records, all others play back. To record again,
 * delete the file. Close it after the server: that writes the file, or checks that the whole of it was played.
 *
 * @example
 * const model = fixtureModel({ path: new URL('./weather.json', import.meta.url), model: 'openai/gpt-4o-mini' })
 */
export function fixtureModel(options: FixtureModelOptions): FixtureModel {
  const { model, record, ...rest } = options
  const file = toFilePath(options.path)
  const missing = !existsSync(file)
  const isCi = Boolean(process.env['CI']) && process.env['CI'] !== 'false'
  if (record ?? (missing && !isCi)) return recordModel(typeof model === 'function' ? model() : model, rest)
  if (missing) {
    const why = record === false ? 'recording is switched off' : 'the variable CI is set'
    throw new Error(
      `fixtureModel: there is no fixture at ${file}, and ${why}: record it on your machine and commit it`,
    )
  }
  return replayModel(rest)
}
