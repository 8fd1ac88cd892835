import { z } from 'zod'

/** A definition an author wrote cannot be used. `message` says what and where, for people. */
export class DefinitionError extends TypeError {
  constructor(message: string) {
    super(message)
    this.name = 'DefinitionError'
  }
}

/** What agents and tools may be called: what providers accept as the name of a function. */
export const definitionName = z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, 'must be 1 to 64 of a-z A-Z 0-9 _ -')

export const functionSchema = z.custom((value) => typeof value === 'function', 'must be a function')

/** Node's timers end here. */
export const maxTimerMs = 2 ** 31 - 1

/** Throws a `DefinitionError` that names every fault. Gives nothing back: the options are used as they are. */
export function parseDefinition(input: {
  what: 'agent' | 'tool'
  schema: z.ZodType
  options: unknown
}): void {
  const result = input.schema.safeParse(input.options)
  if (result.success) return
  const { options, what } = input
  const named = typeof options === 'object' && options !== null && 'name' in options
  const name = named && typeof options.name === 'string' ? ` ${options.name}` : ''
  const faults = result.error.issues.map(({ path, message }) =>
    path.length > 0 ? `${path.join('.')}: ${message}` : message,
  )
  throw new DefinitionError(`${what}${name}: ${faults.join('; ')}`)
}
