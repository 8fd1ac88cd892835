import { AppError } from '../errors.ts'
import type { ModelItem, Part } from '../items.ts'
import type { Model, ModelRequest, ModelSettings, ModelTool, ToolChoice } from '../models/model.ts'
import type { RunContext } from './context.ts'
import type { Output } from './definitions.ts'
import { buildHistory, type HistoryLimits } from './history.ts'
import { ownInstructions, replacesInstructions } from './instructions.ts'
import { isForProviders, outputInstructions, outputOf } from './output.ts'
import { runBeforeModel } from './run-hooks.ts'
import { offeredTools } from './toolbox.ts'
import { toldInMessages } from './transcript.ts'
import { warnOnce } from './warn.ts'

/** `turns`: how many earlier runs are sent along. */
export type Prepared = { request: ModelRequest; turns: number } | { refused: string }

/**
 * The request to `model` for the run's next step: instructions, history within its limits (or `maxTurns`, where that is
 * less), tools, settings, hooks. Without `mayCall` the tools are offered all the same, none to be called: providers refuse a
 * history with calls where there are none.
 */
export async function prepareRequest(
  context: RunContext,
  input: { model: Model; mayCall: boolean; maxTurns?: number },
): Promise<Prepared> {
  const { model } = input
  const limits = historyLimits(context, model)
  if (input.maxTurns !== undefined) limits.maxTurns = Math.min(input.maxTurns, limits.maxTurns ?? Infinity)
  const earlier = await context.history()
  const { items, turns, trimmed } = buildHistory({
    earlier: earlier.items,
    complete: earlier.complete,
    own: context.items,
    limits,
  })
  if (trimmed) {
    const message = 'The oldest turns of the conversation were left out of the request.'
    warnOnce(context, { code: 'history_trimmed', message })
  }
  const output = outputOf(context)
  const tools = await offeredTools(context)
  const request: ModelRequest = {
    instructions: await instructionsFor(context, model),
    items: acceptable(context, model, items),
    tools,
    settings: settingsOf(context),
  }
  const choice = input.mayCall ? context.options.tool_choice : 'none'
  if (choice !== undefined && mayChoose(choice, tools)) request.toolChoice = choice
  if (output && isGiven(context, { model, output })) request.outputSchema = output.schema
  if (context.agent.hooks.length === 0) return { request: withoutLoneCalls(request), turns }
  const changed = await runBeforeModel(context, request)
  return 'refused' in changed ? changed : { request: withoutLoneCalls(changed.request), turns }
}

/** Calls that others made are told, where no tools are offered: providers refuse them then. */
function withoutLoneCalls(request: ModelRequest): ModelRequest {
  const { items, tools } = request
  if (tools.length > 0 || !items.some(({ type }) => type === 'tool_call')) return request
  return { ...request, items: toldInMessages(items) }
}

/** Whether there is what a request wants called: the agent at work need not be the one it was made for. */
function mayChoose(choice: ToolChoice, tools: readonly ModelTool[]): boolean {
  if (choice === 'required') return tools.length > 0
  return typeof choice === 'string' || tools.some(({ name }) => name === choice.name)
}

/** Where the window of a model is not known: that of the largest ones in use. */
const largestWindow = 1_000_000

/** The agent's limits; where it has none for tokens, three quarters of the window of the model that is asked. */
export function historyLimits(context: RunContext, model = context.models[0]): HistoryLimits {
  const { maxTokens, maxTurns } = context.agent.history
  const { contextWindow = largestWindow } = model ?? {}
  const limits: HistoryLimits = { maxTokens: maxTokens ?? contextWindow * 0.75 }
  if (maxTurns !== undefined) limits.maxTurns = maxTurns
  return limits
}

async function instructionsFor(context: RunContext, model: Model): Promise<string | undefined> {
  const output = outputOf(context)
  if (!output) return (await instructionsOf(context)) || undefined
  const isEnforced = model.enforcesOutputSchema && isGiven(context, { model, output })
  const told = isEnforced ? '' : outputInstructions(output)
  const text = [await instructionsOf(context), told].filter((part) => part !== '').join('\n\n')
  return text === '' ? undefined : text
}

/** Whether the provider is given the schema. */
function isGiven({ directory }: RunContext, { model, output }: { model: Model; output: Output }): boolean {
  return isForProviders(output) && directory.takesOutputSchema(model.id)
}

/** The agent's instructions with what the request adds, or what it gives instead. */
export async function instructionsOf(context: RunContext): Promise<string> {
  const { agent, options } = context
  const { instructions: extra = '' } = options
  if (replacesInstructions(agent, options)) return extra
  const own = await ownInstructions(context)
  if (extra === '' || agent.overrides.instructions !== 'append') return own
  return own === '' ? extra : `${own}\n\n${extra}`
}

/**
 * The items without what the model cannot take. What the caller sends it now must be taken; what was said before is
 * mentioned instead.
 */
function acceptable(context: RunContext, model: Model, items: readonly ModelItem[]): readonly ModelItem[] {
  const shown = withoutForeignParts(model, items)
  if (shown === items) return items
  const now = new Set(context.items.filter(({ step }) => step === null).map(({ item }) => item.id))
  for (const item of items) {
    if (item.type !== 'message' || !now.has(item.id)) continue
    const foreign = item.content.find((part) => isForeign(model, part))
    if (foreign) throw inputNotAccepted(model.id, foreign.type)
  }
  return shown
}

/** Whether a model can take all that the caller sends now. */
export function takesInput(context: RunContext, model: Model): boolean {
  return !context.items.some(
    ({ step, item }) =>
      step === null && item.type === 'message' && item.content.some((part) => isForeign(model, part)),
  )
}

/** The items with a mention instead of what the model cannot take; the same list where it takes all. */
export function withoutForeignParts(model: Model, items: readonly ModelItem[]): readonly ModelItem[] {
  const isAffected = (item: ModelItem) =>
    item.type === 'message' && item.content.some((part) => isForeign(model, part))
  if (!model.accepts || !items.some(isAffected)) return items
  return items.map((item) => {
    if (item.type !== 'message' || !isAffected(item)) return item
    const content = item.content.map((part): Part =>
      isForeign(model, part) ? { type: 'text', text: `[${part.type}: not shown to this model]` } : part,
    )
    return { ...item, content }
  })
}

function isForeign({ accepts }: Model, { type }: Part): boolean {
  return type !== 'text' && accepts !== undefined && !accepts.includes(type)
}

export function inputNotAccepted(modelId: string, kind: string): AppError {
  return new AppError('input_not_accepted', { message: `The model ${modelId} takes no ${kind} input.` })
}

function settingsOf(context: RunContext): ModelSettings {
  const { options } = context
  const settings: ModelSettings = { ...context.agent.settings }
  if (options.temperature !== undefined) settings.temperature = options.temperature
  if (options.top_p !== undefined) settings.topP = options.top_p
  if (options.max_output_tokens !== undefined) settings.maxOutputTokens = options.max_output_tokens
  if (options.stop !== undefined) settings.stop = options.stop
  if (options.seed !== undefined) settings.seed = options.seed
  if (options.reasoning_effort !== undefined) settings.reasoningEffort = options.reasoning_effort
  if (options.parallel_tool_calls !== undefined) settings.parallelToolCalls = options.parallel_tool_calls
  return settings
}
