import type { LanguageModelV4 } from '@ai-sdk/provider'
import type { z } from 'zod'
import type { Clock } from '../clock.ts'
import type { Principal } from '../identity/principal.ts'
import type { Logger } from '../logger.ts'
import type { Model, ModelSettings } from '../models/model.ts'
import type { Hooks } from './hooks.ts'

/*
 * What agents and tools are once they are defined: inert, every default filled in. `agent()` and `tool()` make them.
 */

export type JsonSchema = Record<string, unknown>

export type ToolEffect = 'read' | 'idempotent' | 'write'

/** Something a tool wants to know from a person while it runs. */
export interface Question {
  /** What is asked, for people. At most 10,000 characters. */
  message: string
  /** Zod or JSON Schema of the answer, at most 20,000 characters as JSON. Absent: any text. */
  schema?: ZodOrJsonSchema
}

/**
 * `accept`: `content` fits the schema's JSON Schema; where it was a zod schema, parse it with that. `decline`: the person said no.
 * `cancel`: nobody answered in time.
 */
export type Answer =
  { action: 'accept'; content: unknown } | { action: 'decline'; reason?: string } | { action: 'cancel' }

/** What a tool may know of the run that calls it. */
export interface ToolContext {
  /** Fires on cancel, on the tool's own timeout and when the node shuts down. A tool has a second to end after it. */
  signal: AbortSignal
  /** The same whenever this very call is tried again, also after a crash. Give it to what you call. */
  idempotencyKey: string
  principal: Principal
  namespace: string
  runId: string
  conversationId: string | null
  callId: string
  /** The request's `run_context`. */
  runContext: Readonly<Record<string, unknown>>
  /** Shows progress to whoever watches the run now. Not kept. */
  progress: (progress: { progress?: number; total?: number; message?: string }) => void
  /**
   * Asks a person. The first time it rejects, and nothing the tool does then counts: the run is suspended with the question.
   * Once there is an answer the tool runs again from its beginning, and the same question (its message and schema) is
   * answered at once; so ask before anything takes effect. A call may ask 50 times.
   */
  ask: (question: Question) => Promise<Answer>
  /** Writes to the server's log, with run and call id; `fields` under a key of their own. */
  log: (message: string, fields?: Record<string, unknown>) => void
}

export type ApprovalContext = Pick<
  ToolContext,
  'principal' | 'namespace' | 'runId' | 'conversationId' | 'runContext'
>

/** `tookTooLong`: whether it fits is not known, for the check was stopped. */
export type ParsedInput<Input> =
  { ok: true; value: Input } | { ok: false; message: string; tookTooLong?: true }

/** A tool as the loop knows it: inert, made by `tool()`. */
export interface Tool<Input = unknown> {
  readonly name: string
  readonly description: string
  /** JSON Schema of the arguments, as the model is told. */
  readonly parameters: JsonSchema
  /** `write`, the default: it changes something and must not be run twice without a person's word. */
  readonly effect: ToolEffect
  /** Whether a person must agree before it runs. */
  needsApproval(input: Input, context: ApprovalContext): boolean | Promise<boolean>
  /** It is made to wait for people: it may need approval, or it asks. Others may ask as well, by `context.ask`. */
  readonly asksPeople?: true
  /** Null: only the run's own limits end it. */
  readonly timeoutMs: number | null
  /** Longer results are cut, with a mark that says so. In characters. */
  readonly maxOutputChars: number
  /** Further tries after a failure, and the wait before the first of them, which doubles. Never for a `write`. */
  readonly retries: { times: number; delayMs: number }
  /** How long a result answers the same call of the same owner. Null: it is not kept. Only for a `read`. */
  readonly cacheMs: number | null
  /** The agent that does the work, where the tool is one: `execute` is not called then. */
  readonly agent?: Agent
  parse(input: unknown): ParsedInput<Input>
  execute(input: Input, context: ToolContext): unknown
}

// Tools of all inputs meet in one list; each checks its own input before it runs.
// oxlint-disable-next-line typescript/no-explicit-any
export type AnyTool = Tool<any>

/** Tools that are found while the server runs, such as those of an MCP server. Inert until it is opened. */
export interface ToolSource {
  readonly kind: 'tool-source'
  /** For people: in logs and warnings. Never holds credentials. */
  readonly name: string
  /** Begins to look for its tools. Once per server; does not wait and does not throw. */
  open(options: { logger: Logger; clock: Clock }): OpenToolSource
}

export interface OpenToolSource {
  /**
   * The tools there are now. Waits while they are looked for the first time, within the source's own limit. Rejects when
   * there are none to be had; the tools that were found last stay while their server is away.
   */
  tools(signal: AbortSignal): Promise<readonly AnyTool[]>
  /** What was found last, without a wait; undefined while nothing was. Absent: never told. For whoever only shows it. */
  known?(): readonly AnyTool[] | undefined
  close(): Promise<void>
}

/** What an agent's instructions may depend on. */
export interface InstructionsContext {
  runContext: Readonly<Record<string, unknown>>
  owner: string
  namespace: string
  conversationId: string | null
}

export type InstructionsFunction = (context: InstructionsContext) => string | Promise<string>

/** Text with `{{name}}` where values of the request's `run_context` go. Made by `template()`. */
export interface InstructionsTemplate {
  readonly kind: 'template'
  readonly text: string
  /** The paths that are asked for, each once: `customer.name`. */
  readonly names: readonly string[]
}

export type Instructions = string | InstructionsTemplate | InstructionsFunction

/** A name such as `openai/gpt-4o-mini`, a model of ours, or one of the AI SDK. */
export type ModelChoice = string | Model | LanguageModelV4

export interface Specialist {
  readonly agent: Agent
  /** Whole words or phrases that speak for it, in any case, each with its weight. */
  readonly keywords: readonly { word: string; weight: number }[]
}

/** Chooses by name. Undefined: the conversation stays with the one it has. */
export type RouteFunction = (
  input: string,
  context: InstructionsContext & { current: string | null; signal: AbortSignal },
) => string | undefined | Promise<string | undefined>

export interface Routing {
  readonly by: 'keywords' | 'model' | RouteFunction
  /** Who answers where nothing speaks for anybody: a specialist, or the agent itself. */
  readonly fallback: string
  /** For `by: 'model'`. Default: the agent's own model. */
  readonly model: ModelChoice | undefined
}

export interface Planning {
  /** A plan is made before step 0 and again before each step that is a multiple of it. */
  readonly every: number
  readonly instructions: string | undefined
  readonly model: ModelChoice | undefined
}

export interface Summarising {
  readonly instructions: string | undefined
  readonly model: ModelChoice | undefined
  /** Newest turns that stay as they are. */
  readonly keepTurns: number
}

export interface History {
  readonly maxTokens?: number
  readonly maxTurns?: number
  /** What is over the limits is replaced by a summary, instead of being left out. */
  readonly summarise?: Summarising
}

/** Limits of one run. Checked between steps. */
export interface Budget {
  /** Input and output together. */
  readonly tokens?: number
  /** In the unit of the price table. */
  readonly cost?: number
  /** Time in which the run is worked on; waiting for people does not count. */
  readonly seconds?: number
  readonly toolCalls?: number
}

export interface Overrides {
  /** `append`: a request's instructions follow the agent's. `replace`: they stand instead. */
  readonly instructions: 'append' | 'replace' | 'never'
  readonly model: boolean
  readonly maxStepsUpTo: number
}

export interface AsToolOptions {
  /** Default: the agent's name. */
  name?: string
  /** Default: the agent's description. */
  description?: string
}

/** What the answer must be. */
export interface Output {
  /** As the model is told. */
  readonly schema: JsonSchema
  /** The value as the schema has it, or what is wrong with it. */
  parse(value: unknown): ParsedInput<unknown> | Promise<ParsedInput<unknown>>
}

/** An agent as it is served: inert, every default filled in. */
export interface Agent {
  readonly name: string
  readonly description: string
  /** In order of preference. Empty: the server's default. */
  readonly models: readonly ModelChoice[]
  readonly instructions: Instructions
  readonly tools: readonly AnyTool[]
  readonly toolSources: readonly ToolSource[]
  readonly maxSteps: number
  readonly forceAnswer: boolean
  readonly toolConcurrency: number
  readonly modelTries: number
  readonly history: History
  readonly planning: Planning | null
  readonly output: Output | null
  readonly specialists: readonly Specialist[]
  readonly routing: Routing
  /** Agents it may hand a run to: themselves, or the names of others that are served. */
  readonly handoffs: readonly (Agent | string)[]
  readonly maxHandoffs: number
  readonly budget: Budget
  readonly approvalTimeoutMs: number | null
  readonly settings: ModelSettings
  readonly hooks: readonly Hooks[]
  readonly overrides: Overrides
  /** The agent as a tool of another: its input is `{ task: string }`, its result the text of its answer. */
  asTool(options?: AsToolOptions): Tool<{ task: string }>
}

export type ZodOrJsonSchema = z.ZodType | JsonSchema
