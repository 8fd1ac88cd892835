import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Model, ModelSettings } from '../models/model.ts'
import { DefinitionError, definitionName, functionSchema, parseDefinition } from './definition.ts'
import type { Hooks } from './hooks.ts'
import type { Tool } from './tool.ts'

/** What an agent's instructions may depend on. */
export interface InstructionsContext {
  runContext: Readonly<Record<string, unknown>>
  owner: string
  namespace: string
  conversationId: string | null
}

export interface AgentOptions {
  /** 1 to 64 of `a-z A-Z 0-9 _ -`. Clients call the agent by it. */
  name: string
  description?: string
  /** A name such as `openai/gpt-4o-mini`, or a model. Absent: `LLM_DEFAULT_MODEL`, else the demo model. */
  model?: string | Model
  instructions?: string | ((context: InstructionsContext) => string | Promise<string>)
  // Tools of all inputs meet in one list; each checks its own input before it runs.
  // oxlint-disable-next-line typescript/no-explicit-any
  tools?: readonly Tool<any>[]
  /** Model replies a run may take. Default 10. */
  maxSteps?: number
  /** At `maxSteps`, ask once more without tools for an answer. Default true. */
  forceAnswer?: boolean
  /** How many tools of one step run at the same time. Default 8. */
  toolConcurrency?: number
  /** Tries of one model call, the first included. Default 3. */
  modelTries?: number
  /** How much of the past is sent: whole turns, the newest first. Default: three quarters of the model's window, if known. */
  history?: { maxTokens?: number; maxTurns?: number }
  /** How long an approval may wait. Default 7 days; null: for ever. */
  approvalTimeoutMs?: number | null
  settings?: ModelSettings
  hooks?: Hooks
  /** What a request may change. Default: temperature, output limit, and `max_steps` downward. */
  overrides?: {
    /** `append`, the default: a request's instructions follow the agent's. `replace`: they stand instead. */
    instructions?: 'append' | 'replace' | 'never'
    model?: boolean
    maxStepsUpTo?: number
  }
}

/** An agent as it is served: inert, every default filled in. */
export interface Agent extends Required<
  Omit<AgentOptions, 'model' | 'description' | 'overrides' | 'history'>
> {
  readonly description: string
  readonly model: string | Model | undefined
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly tools: readonly Tool<any>[]
  readonly history: { maxTokens?: number; maxTurns?: number }
  readonly overrides: { instructions: 'append' | 'replace' | 'never'; model: boolean; maxStepsUpTo: number }
}

const optionsSchema = z.strictObject({
  name: definitionName,
  description: z.string().optional(),
  model: z
    .union([z.string().min(1), z.custom<Model>(isModel, 'must be a model or the name of one')])
    .optional(),
  instructions: z.union([z.string(), functionSchema]).optional(),
  tools: z.array(z.custom(isTool, 'must be made with tool()')).optional(),
  maxSteps: z.int().min(0).max(1000).optional(),
  forceAnswer: z.boolean().optional(),
  toolConcurrency: z.int().min(1).optional(),
  modelTries: z.int().min(1).optional(),
  history: z
    .strictObject({ maxTokens: z.int().min(1).optional(), maxTurns: z.int().min(0).optional() })
    .optional(),
  approvalTimeoutMs: z.int().positive().nullable().optional(),
  settings: z
    .strictObject({
      temperature: z.number().min(0).max(2).optional(),
      topP: z.number().min(0).max(1).optional(),
      maxOutputTokens: z.int().positive().optional(),
      stop: z.array(z.string()).optional(),
      seed: z.int().optional(),
      reasoningEffort: z.string().optional(),
      parallelToolCalls: z.boolean().optional(),
    })
    .optional(),
  hooks: z
    .strictObject({
      beforeModel: functionSchema.optional(),
      afterModel: functionSchema.optional(),
      beforeTool: functionSchema.optional(),
      afterTool: functionSchema.optional(),
    })
    .optional(),
  overrides: z
    .strictObject({
      instructions: z.enum(['append', 'replace', 'never']).optional(),
      model: z.boolean().optional(),
      maxStepsUpTo: z.int().min(0).max(1000).optional(),
    })
    .optional(),
})

function isModel(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && 'stream' in value && 'id' in value && 'provider' in value
  )
}

function isTool(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'needsApproval' in value && 'parse' in value
}

const week = 7 * 24 * 3600 * 1000

/**
 * Defines an agent. Throws a `DefinitionError` at once on what is not one of its options, on two tools of one name and on
 * limits that make no sense.
 *
 * @example
 * export default agent({ name: 'assistant', model: 'openai/gpt-4o-mini', tools: [calculator] })
 */
export function agent(options: AgentOptions): Agent {
  parseDefinition({ what: 'agent', schema: optionsSchema, options })
  const tools = options.tools ?? []
  const names = new Set<string>()
  for (const { name } of tools) {
    if (names.has(name)) throw new DefinitionError(`agent ${options.name}: two tools are named ${name}`)
    names.add(name)
  }
  const maxSteps = options.maxSteps ?? 10
  return Object.freeze({
    name: options.name,
    description: options.description ?? '',
    model: options.model,
    instructions: options.instructions ?? '',
    tools,
    maxSteps,
    forceAnswer: options.forceAnswer ?? true,
    toolConcurrency: options.toolConcurrency ?? 8,
    modelTries: options.modelTries ?? 3,
    history: options.history ?? {},
    approvalTimeoutMs: options.approvalTimeoutMs === undefined ? week : options.approvalTimeoutMs,
    settings: options.settings ?? {},
    hooks: options.hooks ?? {},
    overrides: {
      instructions: options.overrides?.instructions ?? 'append',
      model: options.overrides?.model ?? false,
      maxStepsUpTo: options.overrides?.maxStepsUpTo ?? maxSteps,
    },
  })
}

/** Hash of what a run depends on: 16 hexadecimal digits over model, instructions, tools and limits. */
export function definitionHash(definition: Agent, modelId: string): string {
  const { instructions } = definition
  const shape = {
    name: definition.name,
    model: modelId,
    instructions: typeof instructions === 'function' ? instructions.toString() : instructions,
    maxSteps: definition.maxSteps,
    tools: definition.tools.map(({ name, description, parameters, effect }) => ({
      name,
      description,
      parameters,
      effect,
    })),
  }
  return createHash('sha256').update(JSON.stringify(shape)).digest('hex').slice(0, 16)
}
