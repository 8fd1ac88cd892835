import { z } from 'zod'
import type { Model, ModelSettings } from '../models/model.ts'
import type {
  Agent,
  AnyTool,
  Budget,
  Instructions,
  ModelChoice,
  Overrides,
  RouteFunction,
  ToolSource,
  ZodOrJsonSchema,
} from './definitions.ts'
import type { Hooks } from './hooks.ts'
import { definitionName, functionSchema, uncalled } from '../parse-definition.ts'

export interface SpecialistOptions {
  agent: Agent
  /** Whole words or phrases that speak for it, in any case. `weight`: default 1. */
  keywords?: readonly (string | { word: string; weight: number })[]
}

export interface AgentOptions {
  /** 1 to 64 of `a-z A-Z 0-9 _ -`. Clients call the agent by it. */
  name: string
  description?: string
  /**
   * A name such as `openai/gpt-4o-mini`, a model, a model of the AI SDK, or several: where one fails before its first token,
   * the next is asked. Absent: `LLM_DEFAULT_MODEL`, else the demo model.
   */
  model?: ModelChoice | readonly ModelChoice[]
  /** Text, `template('…{{name}}…')`, or a function of the context. */
  instructions?: Instructions
  tools?: readonly (AnyTool | ToolSource)[]
  /** Model replies a run may take. Default 10. */
  maxSteps?: number
  /** At `maxSteps`, ask once more for an answer, and let the model call no tools. Default true. */
  forceAnswer?: boolean
  /** How many tools of one step run at the same time. Default 8. */
  toolConcurrency?: number
  /** Tries of one model in one step, the first included. Default 3. */
  modelTries?: number
  /**
   * How much of the past is sent: whole turns, the newest first. Default: three quarters of the model's window, if known.
   * `summarise`: what is left out is replaced by a summary that a model writes.
   */
  history?: {
    maxTokens?: number
    maxTurns?: number
    summarise?: boolean | { instructions?: string; model?: ModelChoice; keepTurns?: number }
  }
  /** A plan is written by a model call of its own before step 0, `every`, 2 × `every`… and stays in context. */
  planning?: { every: number; instructions?: string; model?: ModelChoice }
  /** What the answer must be: a zod schema or a JSON Schema. A request's `output_schema` stands instead. */
  output?: ZodOrJsonSchema
  /** Other agents one of which a request is routed to. */
  specialists?: readonly (Agent | SpecialistOptions)[]
  /** How. Default: by keywords, where a specialist has some; else by a model call. `fallback`: default the agent itself. */
  routing?: { by?: 'keywords' | 'model' | RouteFunction; fallback?: string; model?: ModelChoice }
  /** Agents it may hand a run over to: themselves, or the names of agents that are served. */
  handoffs?: readonly (Agent | string)[]
  /** Handoffs in one run. Default 5. */
  maxHandoffs?: number
  /** Limits of one run, checked between steps. */
  budget?: Budget
  /** How long people, and callers whose tools are called, are waited for. Default 7 days; null: for ever. */
  approvalTimeoutMs?: number | null
  settings?: ModelSettings
  /** One, or several in the order they are asked. */
  hooks?: Hooks | readonly Hooks[]
  /** What a request may change. Default: temperature, output limit, and `max_steps` downward. */
  overrides?: Partial<Overrides>
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function isModel(value: unknown): boolean {
  if (!isObject(value)) return false
  const ours = 'stream' in value && 'id' in value && 'provider' in value
  return ours || ('specificationVersion' in value && value.specificationVersion === 'v4')
}

export function isToolSource(value: unknown): value is ToolSource {
  return isObject(value) && 'kind' in value && value.kind === 'tool-source' && 'open' in value
}

export function isAgent(value: unknown): value is Agent {
  return isObject(value) && 'asTool' in value && 'toolSources' in value
}

const modelChoice = z.union([
  z.string().min(1),
  z.custom<Model>(isModel, 'must be a model of ours or of the AI SDK (v4)'),
])
export const agentSchema = z.custom<Agent>(isAgent, 'must be made with agent()')
const keyword = z.union([
  z.string().min(1),
  z.strictObject({ word: z.string().min(1), weight: z.number().positive() }),
])
const hooksSchema = z.strictObject({
  beforeModel: functionSchema.optional(),
  afterModel: functionSchema.optional(),
  beforeTool: functionSchema.optional(),
  afterTool: functionSchema.optional(),
  filterText: functionSchema.optional(),
})
const template = z.custom(
  (value) => isObject(value) && 'kind' in value && value.kind === 'template',
  'must be made with template()',
)

export const agentOptionsSchema = z.strictObject({
  name: definitionName,
  description: z.string().optional(),
  model: z.union([modelChoice, z.array(modelChoice).min(1)]).optional(),
  instructions: z.union([z.string(), functionSchema, template]).optional(),
  tools: z.array(z.custom(isToolOrSource, { error: ({ input }) => describeNoTool(input) })).optional(),
  maxSteps: z.int().min(0).max(1000).optional(),
  forceAnswer: z.boolean().optional(),
  toolConcurrency: z.int().min(1).optional(),
  modelTries: z.int().min(1).optional(),
  history: z
    .strictObject({
      maxTokens: z.int().min(1).optional(),
      maxTurns: z.int().min(0).optional(),
      summarise: z
        .union([
          z.boolean(),
          z.strictObject({
            instructions: z.string().optional(),
            model: modelChoice.optional(),
            keepTurns: z.int().min(0).optional(),
          }),
        ])
        .optional(),
    })
    .optional(),
  planning: z
    .strictObject({
      every: z.int().min(1),
      instructions: z.string().optional(),
      model: modelChoice.optional(),
    })
    .optional(),
  output: z.custom(isObject, 'must be a zod schema or a JSON Schema').optional(),
  specialists: z
    .array(
      z.union([agentSchema, z.strictObject({ agent: agentSchema, keywords: z.array(keyword).optional() })]),
    )
    .min(1)
    .optional(),
  routing: z
    .strictObject({
      by: z.union([z.enum(['keywords', 'model']), functionSchema]).optional(),
      fallback: z.string().optional(),
      model: modelChoice.optional(),
    })
    .optional(),
  handoffs: z.array(z.union([definitionName, agentSchema])).optional(),
  maxHandoffs: z.int().min(0).max(100).optional(),
  budget: z
    .strictObject({
      tokens: z.int().positive().optional(),
      cost: z.number().positive().optional(),
      seconds: z.number().positive().optional(),
      toolCalls: z.int().min(0).optional(),
    })
    .optional(),
  approvalTimeoutMs: z.int().positive().nullable().optional(),
  settings: z
    .strictObject({
      temperature: z.number().min(0).max(2).optional(),
      topP: z.number().min(0).max(1).optional(),
      maxOutputTokens: z.int().positive().optional(),
      stop: z.array(z.string()).optional(),
      seed: z.int().optional(),
      reasoningEffort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']).optional(),
      parallelToolCalls: z.boolean().optional(),
    })
    .optional(),
  hooks: z.union([z.array(hooksSchema), hooksSchema]).optional(),
  overrides: z
    .strictObject({
      instructions: z.enum(['append', 'replace', 'never']).optional(),
      model: z.boolean().optional(),
      maxStepsUpTo: z.int().min(0).max(1000).optional(),
    })
    .optional(),
})

function isToolOrSource(value: unknown): boolean {
  return isToolSource(value) || (isObject(value) && 'needsApproval' in value && 'parse' in value)
}

function describeNoTool(value: unknown): string {
  if (isAgent(value)) return `is an agent: give ${value.name}.asTool()`
  if (Array.isArray(value)) return 'is a list: put its tools in one by one, with ...'
  const wanted = 'must be made with tool(), or be a source of tools'
  return typeof value === 'function' ? `${wanted}, not ${uncalled(value)}` : wanted
}
