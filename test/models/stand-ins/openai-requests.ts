import { z } from 'zod'
import type { UpstreamRequest } from '../../../src/testing/upstream-server.ts'
import type { ToolChoice } from '../../../src/models/model.ts'
import { CallNumbers, Refusal } from './seen-request.ts'
import type { SeenMedia, SeenPart, SeenRequest } from './seen-request.ts'
import { parseBody } from './stand-in.ts'

/*
 * Chat completions as OpenAI documents them (https://platform.openai.com/docs/api-reference/chat/create), as far as an
 * agent needs them.
 */

const textPart = z.strictObject({ type: z.literal('text'), text: z.string() })
const imagePart = z.strictObject({
  type: z.literal('image_url'),
  image_url: z.strictObject({
    url: z.union([z.url({ protocol: /^https?$/ }), z.string().startsWith('data:')]),
  }),
})
const filePart = z.strictObject({
  type: z.literal('file'),
  file: z.strictObject({ filename: z.string(), file_data: z.string().startsWith('data:') }),
})
const callSchema = z.strictObject({
  id: z.string().min(1).max(40, 'string too long. Expected a string with maximum length 40'),
  type: z.literal('function'),
  function: z.strictObject({ name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/), arguments: z.string() }),
})
const messageSchema = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal('system'), content: z.string() }),
  z.strictObject({
    role: z.literal('user'),
    content: z.union([z.string(), z.array(z.union([textPart, imagePart, filePart])).min(1)]),
  }),
  z.strictObject({
    role: z.literal('assistant'),
    content: z.string().nullable(),
    tool_calls: z.array(callSchema).min(1).optional(),
  }),
  z.strictObject({ role: z.literal('tool'), tool_call_id: z.string(), content: z.string() }),
])
type Message = z.infer<typeof messageSchema>

const bodySchema = z.strictObject({
  model: z.string().min(1),
  messages: z.array(messageSchema).min(1),
  stream: z.literal(true),
  stream_options: z.strictObject({ include_usage: z.literal(true) }),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  max_tokens: z.int().positive().optional(),
  max_completion_tokens: z.int().positive().optional(),
  stop: z.array(z.string()).max(4).optional(),
  seed: z.int().optional(),
  reasoning_effort: z.string().optional(),
  parallel_tool_calls: z.boolean().optional(),
  response_format: z
    .strictObject({
      type: z.literal('json_schema'),
      json_schema: z.strictObject({
        name: z.string(),
        schema: z.record(z.string(), z.unknown()),
        strict: z.boolean().optional(),
      }),
    })
    .optional(),
  tools: z
    .array(
      z.strictObject({
        type: z.literal('function'),
        function: z.strictObject({
          name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/),
          description: z.string(),
          parameters: z.looseObject({ type: z.literal('object') }),
        }),
      }),
    )
    .min(1)
    .optional(),
  tool_choice: z
    .union([
      z.enum(['auto', 'none', 'required']),
      z.strictObject({ type: z.literal('function'), function: z.strictObject({ name: z.string() }) }),
    ])
    .optional(),
})
type Body = z.infer<typeof bodySchema>

export function decodeOpenAI(request: UpstreamRequest): SeenRequest {
  if (request.method !== 'POST' || request.path !== '/v1/chat/completions') throw new Refusal('Not found')
  const body = parseBody(bodySchema, request.body)
  checkConversation(body.messages)
  checkTools(body)
  const schema = body.response_format?.json_schema.schema
  return {
    key: keyOf(request),
    model: body.model,
    system: body.messages.flatMap((one) => (one.role === 'system' ? [one.content] : [])).join('\n'),
    content: toParts(body.messages),
    tools: (body.tools ?? []).map(({ function: { name, description, parameters } }) => ({
      name,
      description,
      parameters,
    })),
    toolChoice: toToolChoice(body.tool_choice),
    output: schema && { by: 'native', schema },
    settings: {
      maxOutputTokens: body.max_completion_tokens ?? body.max_tokens,
      temperature: body.temperature,
      topP: body.top_p,
      stop: body.stop,
      seed: body.seed,
      reasoning: body.reasoning_effort,
    },
    headers: request.headers,
    body: request.body,
    outcome: request.outcome,
  }
}

export function keyOf({ headers }: UpstreamRequest): string | undefined {
  return headers.authorization?.replace(/^Bearer /, '')
}

function checkConversation(messages: readonly Message[]): void {
  let open = new Set<string>()
  for (const message of messages) {
    if (message.role === 'tool') {
      if (!open.delete(message.tool_call_id))
        throw new Refusal(
          "messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
        )
      continue
    }
    if (open.size > 0)
      throw new Refusal(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'.",
      )
    if (message.role === 'assistant') open = new Set(message.tool_calls?.map(({ id }) => id))
  }
  if (open.size > 0)
    throw new Refusal(
      "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'.",
    )
}

/** OpenAI itself takes them; gateways in front of other services do not. */
function checkTools({ messages, tools }: Body): void {
  const isUsed = messages.some((one) => one.role === 'tool' || (one.role === 'assistant' && one.tool_calls))
  if (isUsed && !tools)
    throw new Refusal(
      'The toolConfig field must be defined when using toolUse and toolResult content blocks.',
    )
}

function toToolChoice(choice: Body['tool_choice']): ToolChoice | undefined {
  return typeof choice === 'object' ? { name: choice.function.name } : choice
}

function toParts(messages: readonly Message[]): SeenPart[] {
  const numbers = new CallNumbers()
  return messages.flatMap((message, i): SeenPart[] => {
    switch (message.role) {
      case 'system':
        // What stands above the conversation is told apart; a later one is part of it.
        return messages.slice(0, i).every(({ role }) => role === 'system')
          ? []
          : [{ from: 'system', type: 'text', text: message.content }]
      case 'user':
        return typeof message.content === 'string'
          ? [{ from: 'user', type: 'text', text: message.content }]
          : message.content.map(toUserPart)
      case 'assistant':
        return toAssistantParts(message, numbers)
      case 'tool':
        return [
          {
            from: 'tool',
            type: 'tool_result',
            call: numbers.find(message.tool_call_id),
            output: message.content,
          },
        ]
    }
  })
}

function toUserPart(part: z.infer<typeof textPart | typeof imagePart | typeof filePart>): SeenPart {
  switch (part.type) {
    case 'text':
      return { from: 'user', type: 'text', text: part.text }
    case 'image_url':
      return { from: 'user', type: 'image', media: toMedia(part.image_url.url) }
    case 'file':
      return { from: 'user', type: 'file', media: toMedia(part.file.file_data) }
  }
}

export function toMedia(url: string): SeenMedia {
  const [, mediaType, base64] = /^data:([^;,]+);base64,(.+)$/.exec(url) ?? []
  return mediaType !== undefined && base64 !== undefined ? { mediaType, base64 } : { url }
}

function toAssistantParts(
  message: Extract<Message, { role: 'assistant' }>,
  numbers: CallNumbers,
): SeenPart[] {
  const text: SeenPart[] = message.content ? [{ from: 'assistant', type: 'text', text: message.content }] : []
  const calls = (message.tool_calls ?? []).map(({ id, function: { name, arguments: given } }): SeenPart => ({
    from: 'assistant',
    type: 'tool_call',
    call: numbers.add(id),
    name,
    arguments: JSON.parse(given) as unknown,
  }))
  return [...text, ...calls]
}
