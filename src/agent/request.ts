import { AppError } from '../errors.ts'
import type { ModelItem } from '../items.ts'
import type { Model, ModelRequest, ModelSettings } from '../models/model.ts'
import type { RunContext } from './context.ts'
import { buildHistory, type HistoryLimits } from './history.ts'
import { ownInstructions } from './instructions.ts'
import { outputInstructions, outputOf } from './output.ts'
import { runBeforeModel } from './run-hooks.ts'
import { offeredTools } from './toolbox.ts'

/** `turns`: how many earlier runs are sent along. */
export type Prepared = { request: ModelRequest; turns: number } | { refused: string }

/**
 * The request to `model` for the run's next step: instructions, history within its limits (or `maxTurns`, where that is
 * less), tools, settings, hooks.
 */
export async function prepareRequest(
  context: RunContext,
  input: { model: Model; offerTools: boolean; maxTurns?: number },
): Promise<Prepared> {
  const { model } = input
  const limits = historyLimits(context)
  if (input.maxTurns !== undefined) limits.maxTurns = Math.min(input.maxTurns, limits.maxTurns ?? Infinity)
  const earlier = await context.history()
  const { items, turns, trimmed, summary } = buildHistory({
    earlier: earlier.items,
    own: context.items,
    limits,
  })
  if (trimmed || (!earlier.complete && !summary)) {
    const message = 'The oldest turns of the conversation were left out of the request.'
    context.log.defer({ events: [{ type: 'warning', code: 'history_trimmed', message }] })
  }
  const { options } = context
  const output = outputOf(context)
  const request: ModelRequest = {
    instructions: await instructionsFor(context, model),
    items: acceptable(context, model, items),
    tools: input.offerTools ? await offeredTools(context) : [],
    settings: settingsOf(context),
  }
  if (options.tool_choice !== undefined && input.offerTools) request.toolChoice = options.tool_choice
  if (output) request.outputSchema = output.schema
  if (context.agent.hooks.length === 0) return { request, turns }
  const changed = await runBeforeModel(context, request)
  return 'refused' in changed ? changed : { request: changed.request, turns }
}

export function historyLimits(context: RunContext): HistoryLimits {
  const { maxTokens, maxTurns } = context.agent.history
  const limits: HistoryLimits = {}
  if (maxTurns !== undefined) limits.maxTurns = maxTurns
  const contextWindow = context.models[0]?.contextWindow
  if (maxTokens !== undefined) limits.maxTokens = maxTokens
  else if (contextWindow !== undefined) limits.maxTokens = contextWindow * 0.75
  return limits
}

async function instructionsFor(context: RunContext, model: Model): Promise<string | undefined> {
  const { agent, options } = context
  const extra = options.instructions
  const replaced = extra !== undefined && agent.overrides.instructions === 'replace'
  const parts: (string | undefined)[] = replaced ? [extra] : [await ownInstructions(context)]
  if (!replaced && agent.overrides.instructions === 'append') parts.push(extra)
  const output = outputOf(context)
  if (output && !model.enforcesOutputSchema) parts.push(outputInstructions(output))
  const text = parts.filter((part) => part !== undefined && part !== '').join('\n\n')
  return text === '' ? undefined : text
}

/**
 * The items without what the model cannot take. What the caller sends it now must be taken; what was said before is
 * mentioned instead.
 */
function acceptable(context: RunContext, model: Model, items: readonly ModelItem[]): readonly ModelItem[] {
  const { accepts } = model
  if (!accepts) return items
  const isForeign = (part: { type: string }) =>
    part.type !== 'text' && !accepts.some((kind) => kind === part.type)
  if (!items.some((item) => item.type === 'message' && item.content.some(isForeign))) return items
  const now = new Set(context.items.filter(({ step }) => step === null).map(({ item }) => item.id))
  return items.map((item) => {
    if (item.type !== 'message' || !item.content.some(isForeign)) return item
    const kind = item.content.find(isForeign)?.type ?? ''
    if (now.has(item.id)) throw inputNotAccepted(model.id, kind)
    const content = item.content.map((part) =>
      isForeign(part) ? { type: 'text' as const, text: `[${part.type}: not shown to this model]` } : part,
    )
    return { ...item, content }
  })
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
