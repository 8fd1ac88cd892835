import { readFileSync } from 'node:fs'
import { AppError } from '../errors.ts'
import { callAuthor } from './author-code.ts'
import type { RunContext } from './context.ts'
import type { Instructions, InstructionsContext, InstructionsTemplate } from './definitions.ts'
import { DefinitionError } from './parse-definition.ts'

const placeholder = /\{\{\s*([^{}]*?)\s*\}\}/g
const path = /^[A-Za-z_][\w-]*(\.[\w-]+)*$/

/**
 * Instructions with values of the request's `run_context`: `template('You help {{customer.name}}.')`. A run whose context
 * lacks one is refused with `run_context_missing`. Throws a `DefinitionError` on a placeholder that is no path.
 */
export function template(text: string): InstructionsTemplate {
  const names = new Set<string>()
  for (const [whole, name = ''] of text.matchAll(placeholder)) {
    if (!path.test(name)) throw new DefinitionError(`template: ${whole} is not the path of a value`)
    names.add(name)
  }
  return Object.freeze({ kind: 'template', text, names: [...names] })
}

/**
 * The text of a file next to the agent: `readPrompt(new URL('./prompt.md', import.meta.url))`. Read at once; throws a
 * `DefinitionError` where there is none.
 */
export function readPrompt(file: URL | string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    throw new DefinitionError(`readPrompt: ${String(file)}: ${why}`)
  }
}

/** The values a template asks for that a request's `run_context` does not have. */
export function missingValues(
  instructions: Instructions,
  runContext: Readonly<Record<string, unknown>>,
): string[] {
  if (typeof instructions !== 'object') return []
  return instructions.names.filter((name) => valueAt(runContext, name) === undefined)
}

/** The agent's instructions for this run, without what the request adds. */
export function ownInstructions(context: RunContext): string | Promise<string> {
  const { instructions } = context.agent
  if (typeof instructions === 'string') return instructions
  if (typeof instructions === 'object') return fill(instructions, context)
  return callAuthor(context.signal, () => instructions(instructionsContext(context)))
}

export function instructionsContext(context: RunContext): InstructionsContext {
  const { owner, namespace } = context.principal
  return {
    runContext: context.options.run_context ?? {},
    owner,
    namespace,
    conversationId: context.conversationId,
  }
}

/** Throws `run_context_missing`, with a location for each value that is not there. */
export function assertValues(
  instructions: Instructions,
  runContext: Readonly<Record<string, unknown>>,
): void {
  const missing = missingValues(instructions, runContext)
  if (missing.length === 0) return
  throw new AppError('run_context_missing', {
    message: `The agent's instructions need ${missing.join(', ')} in run_context.`,
    locations: missing.map((name) => ({
      path: ['body', 'run_context', ...name.split('.')],
      message: 'missing',
    })),
  })
}

function fill(instructions: InstructionsTemplate, context: RunContext): string {
  const values = context.options.run_context ?? {}
  assertValues(instructions, values)
  // One pass: what a value holds is never read as a placeholder.
  return instructions.text.replace(placeholder, (_whole, name: string) => {
    const value = valueAt(values, name)
    return typeof value === 'string' ? value : JSON.stringify(value)
  })
}

function valueAt(values: Readonly<Record<string, unknown>>, name: string): unknown {
  let value: unknown = values
  for (const key of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<string, unknown>)[key]
  }
  return value ?? undefined
}
