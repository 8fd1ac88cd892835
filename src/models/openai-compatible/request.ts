import { textOf } from '../../items.ts'
import type { MessageItem, ModelItem, Part, ToolCallItem } from '../../items.ts'
import { argumentsOf } from '../call-arguments.ts'
import type { ModelRequest, ModelSettings, ModelTool, ToolChoice } from '../model.ts'
import { isStrict } from './strict-schema.ts'

export interface EncodeOptions {
  /** Whose dialect: `openai` names the output limit `max_completion_tokens`, everybody else `max_tokens`. */
  provider: string
  /** As the provider knows it. */
  model: string
}

type Wire = Record<string, unknown>

/** The JSON body of `POST /chat/completions`. What the request leaves open is absent. */
export function encodeRequest(request: ModelRequest, options: EncodeOptions): string {
  const body: Wire = {
    model: options.model,
    messages: encodeMessages(request),
    stream: true,
    stream_options: { include_usage: true },
  }
  if (request.tools.length > 0) addTools(body, request)
  if (request.outputSchema) body.response_format = encodeOutputSchema(request.outputSchema)
  addSettings(body, request.settings, options.provider)
  return JSON.stringify(body)
}

function addTools(body: Wire, request: ModelRequest): void {
  body.tools = request.tools.map(encodeTool)
  if (request.toolChoice !== undefined) body.tool_choice = encodeToolChoice(request.toolChoice)
  const { parallelToolCalls } = request.settings
  if (parallelToolCalls !== undefined) body.parallel_tool_calls = parallelToolCalls
}

function encodeTool({ name, description, parameters }: ModelTool): Wire {
  return { type: 'function', function: { name, description, parameters } }
}

function encodeToolChoice(choice: ToolChoice): unknown {
  return typeof choice === 'string' ? choice : { type: 'function', function: { name: choice.name } }
}

function encodeOutputSchema(schema: Record<string, unknown>): Wire {
  const format: Wire = { name: 'output', schema }
  // Without it OpenAI only tries its best.
  if (isStrict(schema)) format.strict = true
  return { type: 'json_schema', json_schema: format }
}

function addSettings(body: Wire, settings: ModelSettings, provider: string): void {
  const limit = provider === 'openai' ? 'max_completion_tokens' : 'max_tokens'
  if (settings.temperature !== undefined) body.temperature = settings.temperature
  if (settings.topP !== undefined) body.top_p = settings.topP
  if (settings.maxOutputTokens !== undefined) body[limit] = settings.maxOutputTokens
  if (settings.stop !== undefined && settings.stop.length > 0) body.stop = settings.stop
  if (settings.seed !== undefined) body.seed = settings.seed
  if (settings.reasoningEffort !== undefined) body.reasoning_effort = settings.reasoningEffort
}

function encodeMessages(request: ModelRequest): Wire[] {
  const messages: Wire[] = []
  if (request.instructions) messages.push({ role: 'system', content: request.instructions })
  for (const item of request.items) encodeItem(messages, item)
  return messages
}

function encodeItem(messages: Wire[], item: ModelItem): void {
  switch (item.type) {
    case 'message':
      return item.role === 'assistant' ? addAssistantText(messages, item) : addMessage(messages, item)
    case 'tool_call':
      return addToolCall(messages, item)
    case 'tool_result':
      messages.push({ role: 'tool', tool_call_id: item.call_id, content: item.output })
      return
    case 'reasoning':
      return
  }
}

function addMessage(messages: Wire[], item: MessageItem): void {
  const textOnly = item.content.every((part) => part.type === 'text')
  const content = textOnly ? textOf(item) : item.content.map(encodePart)
  messages.push({ role: item.role, content })
}

function encodePart(part: Part): Wire {
  switch (part.type) {
    case 'text':
      return { type: 'text', text: part.text }
    case 'image':
      return { type: 'image_url', image_url: { url: part.url } }
    case 'file':
      return { type: 'file', file: { filename: part.filename ?? 'file', file_data: part.url } }
  }
}

/** Text that follows the calls of its own reply joins them: between a call and its result no message may stand. */
function addAssistantText(messages: Wire[], item: MessageItem): void {
  const text = textOf(item)
  if (text === '') return
  const last = messages.at(-1)
  if (last?.role === 'assistant' && last.tool_calls !== undefined) {
    last.content = typeof last.content === 'string' ? last.content + text : text
  } else messages.push({ role: 'assistant', content: text })
}

function addToolCall(messages: Wire[], item: ToolCallItem): void {
  const call = {
    id: item.call_id,
    type: 'function',
    function: { name: item.name, arguments: argumentsOf(item.arguments) ? item.arguments : '{}' },
  }
  const last = messages.at(-1)
  if (last?.role !== 'assistant') messages.push({ role: 'assistant', content: null, tool_calls: [call] })
  else if (Array.isArray(last.tool_calls)) last.tool_calls.push(call)
  else last.tool_calls = [call]
}
