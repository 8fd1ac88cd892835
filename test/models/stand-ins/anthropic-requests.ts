import { z } from 'zod'
import type { UpstreamRequest } from '../../../src/testing/upstream-server.ts'
import type { ToolChoice } from '../../../src/models/model.ts'
import { CallNumbers, Refusal } from './seen-request.ts'
import type { SeenMedia, SeenOutput, SeenPart, SeenRequest } from './seen-request.ts'
import { parseBody, type Memory } from './stand-in.ts'

/*
 * The Messages API as it is documented (https://docs.anthropic.com/en/api/messages), as far as an agent needs it. What is
 * not known here is refused, as the service refuses what it does not know.
 */

const cache = { cache_control: z.strictObject({ type: z.literal('ephemeral') }).optional() }
const visible = z.string().regex(/\S/, 'text content blocks must contain non-whitespace text')
const id = z.string().regex(/^[a-zA-Z0-9_-]+$/)
const toolName = z.string().regex(/^[a-zA-Z0-9_-]{1,128}$/)

const textBlock = z.strictObject({ type: z.literal('text'), text: visible, ...cache })
const urlSource = z.strictObject({ type: z.literal('url'), url: z.url({ protocol: /^https$/ }) })
const imageBlock = z.strictObject({
  type: z.literal('image'),
  source: z.discriminatedUnion('type', [
    urlSource,
    z.strictObject({
      type: z.literal('base64'),
      media_type: z.enum(['image/jpeg', 'image/png', 'image/gif', 'image/webp']),
      data: z.base64().min(1),
    }),
  ]),
  ...cache,
})
const documentBlock = z.strictObject({
  type: z.literal('document'),
  title: z.string().optional(),
  source: z.discriminatedUnion('type', [
    urlSource,
    z.strictObject({
      type: z.literal('base64'),
      media_type: z.literal('application/pdf'),
      data: z.base64().min(1),
    }),
    z.strictObject({ type: z.literal('text'), media_type: z.literal('text/plain'), data: z.string() }),
  ]),
  ...cache,
})
const resultBlock = z.strictObject({
  type: z.literal('tool_result'),
  tool_use_id: id,
  content: z.union([z.string(), z.array(z.union([textBlock, imageBlock]))]).optional(),
  is_error: z.boolean().optional(),
  ...cache,
})
const userBlock = z.discriminatedUnion('type', [textBlock, imageBlock, documentBlock, resultBlock])
const assistantBlock = z.discriminatedUnion('type', [
  textBlock,
  z.strictObject({ type: z.literal('thinking'), thinking: z.string(), signature: z.string().min(1) }),
  z.strictObject({ type: z.literal('redacted_thinking'), data: z.string().min(1) }),
  z.strictObject({
    type: z.literal('tool_use'),
    id,
    name: toolName,
    input: z.record(z.string(), z.unknown()),
    ...cache,
  }),
])
type UserBlock = z.infer<typeof userBlock>
type AssistantBlock = z.infer<typeof assistantBlock>

const messageSchema = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal('user'), content: z.array(userBlock).min(1) }),
  z.strictObject({ role: z.literal('assistant'), content: z.array(assistantBlock).min(1) }),
])
type Message = z.infer<typeof messageSchema>

const parallel = { disable_parallel_tool_use: z.boolean().optional() }
const bodySchema = z.strictObject({
  model: z.string().min(1),
  max_tokens: z.int().positive(),
  messages: z.array(messageSchema).min(1),
  system: z.array(textBlock).optional(),
  stream: z.literal(true),
  temperature: z.number().min(0).max(1).optional(),
  top_p: z.number().min(0).max(1).optional(),
  stop_sequences: z.array(visible).optional(),
  thinking: z
    .discriminatedUnion('type', [
      z.strictObject({ type: z.literal('enabled'), budget_tokens: z.int().min(1024) }),
      z.strictObject({ type: z.literal('adaptive'), display: z.string().optional() }),
      z.strictObject({ type: z.literal('disabled') }),
    ])
    .optional(),
  output_config: z
    .strictObject({
      effort: z.enum(['low', 'medium', 'high', 'xhigh', 'max']).optional(),
      format: z
        .strictObject({ type: z.literal('json_schema'), schema: z.record(z.string(), z.unknown()) })
        .optional(),
    })
    .optional(),
  tools: z
    .array(
      z.strictObject({
        name: toolName,
        description: z.string().optional(),
        input_schema: z.looseObject({ type: z.literal('object') }),
        eager_input_streaming: z.boolean().optional(),
        strict: z.boolean().optional(),
        ...cache,
      }),
    )
    .optional(),
  tool_choice: z
    .discriminatedUnion('type', [
      z.strictObject({ type: z.literal('auto'), ...parallel }),
      z.strictObject({ type: z.literal('any'), ...parallel }),
      z.strictObject({ type: z.literal('tool'), name: toolName, ...parallel }),
      z.strictObject({ type: z.literal('none') }),
    ])
    .optional(),
})
type Body = z.infer<typeof bodySchema>

/** The tool that the AI SDK makes where a model has no structured output of its own. */
const answerTool = 'json'

export function decodeAnthropic(request: UpstreamRequest, memory: Memory): SeenRequest {
  if (request.method !== 'POST' || request.path !== '/v1/messages') throw new Refusal('Not found')
  if (request.headers['anthropic-version'] !== '2023-06-01')
    throw new Refusal('anthropic-version: header is required')
  const body = parseBody(bodySchema, request.body)
  checkSettings(body)
  checkConversation(body, memory)
  const output = outputOf(body)
  return {
    key: request.headers['x-api-key'] as string | undefined,
    model: body.model,
    system: (body.system ?? []).map(({ text }) => text).join('\n'),
    content: toParts(body.messages),
    tools: (body.tools ?? [])
      .filter(({ name }) => name !== output?.tool)
      .map(({ name, description = '', input_schema }) => ({ name, description, parameters: input_schema })),
    toolChoice: toToolChoice(body.tool_choice),
    output,
    settings: {
      maxOutputTokens: body.max_tokens,
      temperature: body.temperature,
      topP: body.top_p,
      stop: body.stop_sequences,
      reasoning: body.thinking,
    },
    headers: request.headers,
    body: request.body,
    outcome: request.outcome,
  }
}

function checkSettings(body: Body): void {
  const { thinking, tool_choice: choice, output_config: config } = body
  if (thinking?.type === 'enabled' && thinking.budget_tokens >= body.max_tokens)
    throw new Refusal('`max_tokens` must be greater than `thinking.budget_tokens`')
  if (thinking?.type === 'enabled' && (choice?.type === 'any' || choice?.type === 'tool'))
    throw new Refusal('Thinking may not be enabled when tool_choice forces tool use.')
  if (thinking?.type === 'enabled' && body.temperature !== undefined && body.temperature !== 1)
    throw new Refusal('`temperature` may only be set to 1 when thinking is enabled')
  if (choice && !body.tools) throw new Refusal('tool_choice may only be specified while providing tools')
  if (config?.format) checkClosed(config.format.schema)
}

/** Structured output takes only objects that are closed. */
function checkClosed(schema: unknown): void {
  if (typeof schema !== 'object' || schema === null) return
  if ('type' in schema && schema.type === 'object') {
    if (!('additionalProperties' in schema) || schema.additionalProperties !== false)
      throw new Refusal("For 'object' type, 'additionalProperties' must be explicitly set to false")
  }
  for (const value of Object.values(schema)) checkClosed(value)
}

function checkConversation(body: Body, memory: Memory): void {
  const { messages, tools } = body
  if (!tools && messages.some(({ content }) => content.some(({ type }) => type.startsWith('tool_'))))
    throw new Refusal('Requests which include `tool_use` or `tool_result` blocks must define tools')
  if (messages[0]?.role !== 'user') throw new Refusal('messages: first message must use the "user" role')
  if (messages.at(-1)?.role !== 'user')
    throw new Refusal('the conversation must end with a user message: prefill is not supported')
  const ids = new Set<string>()
  for (const [i, message] of messages.entries()) {
    if (message.role === 'user') checkResults(message.content, messages[i - 1])
    else {
      checkThinking(message.content, memory)
      const calls = message.content.filter((block) => block.type === 'tool_use')
      for (const call of calls) {
        if (ids.has(call.id)) throw new Refusal('messages: `tool_use` ids must be unique')
        ids.add(call.id)
      }
      if (calls.length > 0) checkAnswered(calls, messages[i + 1])
    }
  }
  checkOpenStep(messages, memory)
}

function checkResults(content: readonly UserBlock[], previous: Message | undefined): void {
  const known = new Set(
    previous?.role === 'assistant'
      ? previous.content.flatMap((block) => (block.type === 'tool_use' ? [block.id] : []))
      : [],
  )
  let other = false
  for (const block of content) {
    if (block.type !== 'tool_result') other = true
    else if (!known.delete(block.tool_use_id))
      throw new Refusal(
        `unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${block.tool_use_id}. Each \`tool_result\` block must have a corresponding \`tool_use\` block in the previous message.`,
      )
    else if (other) throw new Refusal('tool_result blocks must come first in a message')
  }
}

function checkAnswered(calls: readonly { id: string }[], next: Message | undefined): void {
  const answered = new Set(
    next?.role === 'user'
      ? next.content.flatMap((block) => (block.type === 'tool_result' ? [block.tool_use_id] : []))
      : [],
  )
  for (const call of calls) {
    if (!answered.has(call.id))
      throw new Refusal(
        `\`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${call.id}`,
      )
  }
}

function checkThinking(content: readonly AssistantBlock[], memory: Memory): void {
  for (const block of content) {
    if (block.type === 'thinking' && memory.signed.get(block.signature) !== block.thinking)
      throw new Refusal('Invalid `signature` in `thinking` block')
    if (block.type === 'redacted_thinking' && !memory.signed.has(block.data))
      throw new Refusal('Invalid `data` in `redacted_thinking` block')
  }
}

/** The step whose results are just brought must begin with what was thought in it. */
function checkOpenStep(messages: readonly Message[], memory: Memory): void {
  const last = messages.at(-1)
  const asked = messages.at(-2)
  if (last?.role !== 'user' || asked?.role !== 'assistant') return
  const first = asked.content.find((block) => block.type === 'tool_use')
  const signature = first && memory.calls.get(first.id)?.signature
  if (signature === undefined) return
  const [opening] = asked.content
  const sent =
    opening?.type === 'thinking'
      ? opening.signature
      : opening?.type === 'redacted_thinking'
        ? opening.data
        : undefined
  if (sent !== signature)
    throw new Refusal(
      `Expected \`thinking\` or \`redacted_thinking\`, but found \`${opening?.type}\`: the thinking of a step must be given back with its tool results`,
    )
}

function outputOf(body: Body): SeenOutput | undefined {
  const native = body.output_config?.format?.schema
  if (native) return { by: 'native', schema: native }
  const tool = body.tools?.find(
    ({ name, description }) => name === answerTool && description === 'Respond with a JSON object.',
  )
  return tool && { by: 'tool', schema: tool.input_schema, tool: answerTool }
}

function toToolChoice(choice: Body['tool_choice']): ToolChoice | undefined {
  if (choice?.type === 'any') return 'required'
  return choice?.type === 'tool' ? { name: choice.name } : choice?.type
}

function toParts(messages: readonly Message[]): SeenPart[] {
  const numbers = new CallNumbers()
  return messages.flatMap((message) =>
    message.role === 'user'
      ? message.content.map((block) => toUserPart(block, numbers))
      : message.content.map((block) => toAssistantPart(block, numbers)),
  )
}

function toUserPart(block: UserBlock, numbers: CallNumbers): SeenPart {
  switch (block.type) {
    case 'text':
      return { from: 'user', type: 'text', text: block.text }
    case 'image':
    case 'document':
      return { from: 'user', type: block.type === 'image' ? 'image' : 'file', media: toMedia(block.source) }
    case 'tool_result':
      return {
        from: 'tool',
        type: 'tool_result',
        call: numbers.find(block.tool_use_id),
        output: resultText(block.content),
        ...(block.is_error ? { error: true as const } : {}),
      }
  }
}

function toAssistantPart(block: AssistantBlock, numbers: CallNumbers): SeenPart {
  switch (block.type) {
    case 'text':
      return { from: 'assistant', type: 'text', text: block.text }
    case 'thinking':
      return { from: 'assistant', type: 'reasoning', text: block.thinking, signature: block.signature }
    case 'redacted_thinking':
      return { from: 'assistant', type: 'reasoning', text: '', signature: block.data }
    case 'tool_use':
      return {
        from: 'assistant',
        type: 'tool_call',
        call: numbers.add(block.id),
        name: block.name,
        arguments: block.input,
      }
  }
}

function toMedia(source: z.infer<typeof imageBlock | typeof documentBlock>['source']): SeenMedia {
  if (source.type === 'url') return { url: source.url }
  const base64 = source.type === 'text' ? Buffer.from(source.data).toString('base64') : source.data
  return { mediaType: source.media_type, base64 }
}

function resultText(content: z.infer<typeof resultBlock>['content']): string {
  if (typeof content === 'string') return content
  return (content ?? []).map((block) => (block.type === 'text' ? block.text : '[image]')).join('\n')
}
