import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4FunctionTool,
  LanguageModelV4ToolChoice,
} from '@ai-sdk/provider'
import type { ModelRequest, ModelSettings, ModelTool, ToolChoice } from '../model.ts'
import { encodePrompt } from './prompt.ts'

export interface EncodeCallOptions {
  languageModel: LanguageModelV4
  /** Whose `providerData` goes along. */
  provider: string
  signal: AbortSignal
}

type CallOptions = LanguageModelV4CallOptions
type Schema = LanguageModelV4FunctionTool['inputSchema']

/** The options of one `doStream`. Throws `model_refused` where the model cannot take what the request holds. */
export async function encodeCall(request: ModelRequest, options: EncodeCallOptions): Promise<CallOptions> {
  const { languageModel, provider, signal } = options
  const supportedUrls = await languageModel.supportedUrls
  const call: CallOptions = {
    prompt: encodePrompt(request, { provider, supportedUrls }),
    abortSignal: signal,
  }
  if (request.tools.length > 0) {
    call.tools = request.tools.map(encodeTool)
    if (request.toolChoice !== undefined) call.toolChoice = encodeToolChoice(request.toolChoice)
  }
  if (request.outputSchema) {
    call.responseFormat = { type: 'json', name: 'output', schema: toSchema(request.outputSchema) }
  }
  addSettings(call, request.settings)
  const own = providerOptions(languageModel.provider, request)
  if (own) call.providerOptions = own
  return call
}

function encodeTool({ name, description, parameters }: ModelTool): NonNullable<CallOptions['tools']>[number] {
  return { type: 'function', name, description, inputSchema: toSchema(parameters) }
}

/** Both are JSON Schema; theirs is typed key by key. */
function toSchema(schema: Record<string, unknown>): Schema {
  return schema as Schema
}

function encodeToolChoice(choice: ToolChoice): LanguageModelV4ToolChoice {
  return typeof choice === 'string' ? { type: choice } : { type: 'tool', toolName: choice.name }
}

function addSettings(call: CallOptions, settings: ModelSettings): void {
  if (settings.temperature !== undefined) call.temperature = settings.temperature
  if (settings.topP !== undefined) call.topP = settings.topP
  if (settings.maxOutputTokens !== undefined) call.maxOutputTokens = settings.maxOutputTokens
  if (settings.stop !== undefined && settings.stop.length > 0) call.stopSequences = settings.stop
  if (settings.seed !== undefined) call.seed = settings.seed
  if (settings.reasoningEffort !== undefined) call.reasoning = settings.reasoningEffort
}

/** What the interface has no common name for, by the first word of the language model's `provider`: `anthropic.messages`. */
function providerOptions(name: string, request: ModelRequest): CallOptions['providerOptions'] {
  const { parallelToolCalls, reasoningEffort } = request.settings
  const alone = parallelToolCalls === false && request.tools.length > 0
  switch (name.split('.')[0]) {
    case 'anthropic':
      // Pings show that a model which thinks for minutes is not silent.
      return { anthropic: { includePings: true, ...(alone && { disableParallelToolUse: true }) } }
    case 'google':
      return reasoningEffort !== undefined && reasoningEffort !== 'none'
        ? { google: { thinkingConfig: { includeThoughts: true } } }
        : undefined
    case 'openai':
      return alone ? { openai: { parallelToolCalls: false } } : undefined
    default:
      return undefined
  }
}
