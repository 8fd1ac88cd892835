import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AppError } from '../errors.ts'
import { promptReads } from '../prompt-reads.ts'
import type { RunOptions } from '../run-state.ts'
import { callAuthor } from './author-code.ts'
import type { RunContext } from './context.ts'
import type { Agent, Instructions, InstructionsContext, InstructionsTemplate } from './definitions.ts'
import { DefinitionError } from '../parse-definition.ts'

/** `\{{name}}` is no placeholder: it stands for `{{name}}` itself. */
const placeholder = /\\?\{\{([^{}]*)\}\}/g
const path = /^[A-Za-z_][\w-]*(\.[\w-]+)*$/

/**
 * Instructions with values of the request's `run_context`: `template('You help {{customer.name}}.')`. A run whose context
 * lacks one is refused with `run_context_missing`. `\{{name}}` stands for itself. Throws a `DefinitionError` on a placeholder
 * that is no path.
 */
export function template(text: string): InstructionsTemplate {
  if (typeof text !== 'string') throw new DefinitionError('template: must be text')
  const names = new Set<string>()
  for (const [whole, inner = ''] of text.matchAll(placeholder)) {
    if (whole.startsWith('\\')) continue
    const name = inner.trim()
    if (!path.test(name)) throw new DefinitionError(`template: ${whole} is not the path of a value`)
    names.add(name)
  }
  return Object.freeze({ kind: 'template', text, names: Object.freeze([...names]) })
}

/**
 * The text of a file next to the agent: `readPrompt(new URL('./prompt.md', import.meta.url))`. Read at once, as UTF-8; a byte
 * order mark and the white space around it are left out, lines end in LF. Throws a `DefinitionError` where it cannot be read.
 */
export function readPrompt(file: URL | string): string {
  try {
    promptReads.publish(typeof file === 'string' ? resolve(file) : fileURLToPath(file))
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))
    return text.replace(/\r\n?/g, '\n').trim()
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    throw new DefinitionError(`readPrompt: ${String(file)}: ${why}`)
  }
}

/** The values a template asks for that a request's `run_context` does not have. */
function missingValues(instructions: Instructions, runContext: Readonly<Record<string, unknown>>): string[] {
  if (typeof instructions !== 'object') return []
  return instructions.names.filter((name) => valueAt(runContext, name) === undefined)
}

/** The agent's instructions for this run, without what the request adds. */
export function ownInstructions(context: RunContext): string | Promise<string> {
  const { instructions } = context.agent
  if (typeof instructions === 'string') return instructions
  if (typeof instructions === 'object') return fill(instructions, context)
  return callAuthor(context.signal, async () => {
    const text: unknown = await instructions(instructionsContext(context))
    if (typeof text !== 'string') throw new TypeError(`instructions of ${context.agent.name}: not a text`)
    return text
  })
}

/** Whether a request's instructions stand instead of the agent's: those are not asked for anything then. */
export function replacesInstructions(agent: Agent, options: RunOptions): boolean {
  return options.instructions !== undefined && agent.overrides.instructions === 'replace'
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
  return instructions.text.replace(placeholder, (whole, inner: string) => {
    if (whole.startsWith('\\')) return whole.slice(1)
    const value = valueAt(values, inner.trim())
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
