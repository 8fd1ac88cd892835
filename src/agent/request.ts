import type { ModelRequest, ModelSettings, ModelTool } from '../models/model.ts'
import { callAuthor } from './author-code.ts'
import type { RunContext } from './context.ts'
import { buildHistory, type HistoryLimits } from './history.ts'
import { hookContext } from './hook-context.ts'

/** `turns`: how many earlier runs are sent along. */
type Prepared = { request: ModelRequest; turns: number } | { refused: string }

/**
 * The provider request of the run's next step: instructions, history within its limits (or `maxTurns`, where that is less),
 * tools, settings, hooks.
 */
export async function prepareRequest(
  context: RunContext,
  input: { offerTools: boolean; maxTurns?: number },
): Promise<Prepared> {
  const limits = historyLimits(context)
  if (input.maxTurns !== undefined) limits.maxTurns = input.maxTurns
  const earlier = await context.history()
  const { items, turns, trimmed } = buildHistory({ earlier: earlier.items, own: context.items, limits })
  if (trimmed || !earlier.complete) {
    const message = 'The oldest turns of the conversation were left out of the request.'
    context.log.defer({ events: [{ type: 'warning', code: 'history_trimmed', message }] })
  }
  const { options } = context
  const request: ModelRequest = {
    instructions: await instructionsOf(context),
    items,
    tools: input.offerTools ? toolsOf(context) : [],
    settings: settingsOf(context),
  }
  if (options.tool_choice !== undefined && input.offerTools) request.toolChoice = options.tool_choice
  if (options.output_schema !== undefined) request.outputSchema = options.output_schema
  const { hooks } = context.agent
  if (!hooks.beforeModel) return { request, turns }
  const changed = await callAuthor(context.signal, () => hooks.beforeModel?.(request, hookContext(context)))
  if (changed && 'refuse' in changed) return { refused: changed.refuse.message }
  return { request: changed ?? request, turns }
}

function historyLimits(context: RunContext): HistoryLimits {
  const limits: HistoryLimits = { ...context.agent.history }
  const { contextWindow } = context.model
  if (limits.maxTokens === undefined && contextWindow !== undefined) limits.maxTokens = contextWindow * 0.75
  return limits
}

async function instructionsOf(context: RunContext): Promise<string | undefined> {
  const { agent, options } = context
  const extra = options.instructions
  if (extra !== undefined && agent.overrides.instructions === 'replace') return extra
  const own = await ownInstructions(context)
  const text = extra === undefined ? own : own === '' ? extra : `${own}\n\n${extra}`
  return text === '' ? undefined : text
}

function ownInstructions(context: RunContext): string | Promise<string> {
  const { instructions } = context.agent
  if (typeof instructions === 'string') return instructions
  const { options, principal, conversationId } = context
  const { owner, namespace } = principal
  return callAuthor(context.signal, () =>
    instructions({ runContext: options.run_context ?? {}, owner, namespace, conversationId }),
  )
}

function toolsOf(context: RunContext): ModelTool[] {
  const own = context.agent.tools.map(({ name, description, parameters }) => ({
    name,
    description,
    parameters,
  }))
  return context.options.tools ? [...own, ...context.options.tools] : own
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
