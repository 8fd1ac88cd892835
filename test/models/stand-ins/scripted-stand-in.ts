import type { ErrorCode } from '../../../src/errors.ts'
import type { ModelItem, Part } from '../../../src/items.ts'
import type { Model, ModelPart, ModelRequest } from '../../../src/models/model.ts'
import { scriptedModel } from '../../../src/models/scripted.ts'
import type { ScriptedTurn } from '../../../src/models/scripted.ts'
import { toMedia } from './openai-requests.ts'
import { argumentText, toArgumentDeltas, toDeltas, usageOf } from './reply.ts'
import type { StandInError, StandInErrorKind, StandInReply } from './reply.ts'
import { CallNumbers } from './seen-request.ts'
import type { SeenPart, SeenRequest } from './seen-request.ts'
import { createMemory, type Memory, type StandIn } from './stand-in.ts'

/** The scripted model, told what to say in the words of the stand-ins. It has no wire, and so no address and no key. */
export function createScriptedStandIn(): StandIn & { model: Model } {
  const seen: SeenRequest[] = []
  const queue: StandInReply[] = []
  const waiting = new Map<number, (request: SeenRequest) => void>()
  const memory = createMemory()
  const scripted = scriptedModel(() => toTurn(queue.shift() ?? { error: { kind: 'server_error' } }, memory))
  const idlers = new Set<() => void>()
  let open = 0

  const model: Model = {
    ...scripted,
    async stream(request, options) {
      const { promise: outcome, resolve } = Promise.withResolvers<'ended' | 'closed'>()
      const number = seen.push(toSeen(request, { model: scripted.id, outcome })) - 1
      waiting.get(number)?.(seen[number]!)
      waiting.delete(number)
      open++
      try {
        return await scripted.stream(request, options)
      } finally {
        resolve(options.signal.aborted ? 'closed' : 'ended')
        if (--open === 0) for (const idle of idlers) idle()
      }
    },
  }
  return {
    model,
    baseURL: '',
    key: '',
    seen,
    refusals: [],
    get signatures() {
      return [...memory.signed.keys()]
    },
    reply: (...replies) => void queue.push(...replies),
    request(number) {
      const there = seen[number]
      return there ? Promise.resolve(there) : new Promise((resolve) => waiting.set(number, resolve))
    },
    idle: () => (open === 0 ? Promise.resolve() : new Promise((resolve) => idlers.add(resolve))),
    close: () => Promise.resolve(),
  }
}

function toTurn(reply: StandInReply, memory: Memory): ScriptedTurn {
  if (reply.cut === 'before') return { parts: [], error: { code: cutCodes.before } }
  if (reply.blocked) return { parts: [], error: { code: 'content_filter' } }
  if (reply.hang === 'before') return { parts: [], hang: true }
  if (reply.error && reply.error.in !== 'stream') return { parts: [], error: toError(reply.error) }
  const { input, output, cached, reasoning } = usageOf(reply)
  const { gates } = reply
  return {
    parts: toModelParts(reply, memory),
    usage: {
      input_tokens: input,
      output_tokens: output,
      total_tokens: input + output,
      ...(cached === undefined ? {} : { cached_input_tokens: cached }),
      ...(reasoning === undefined ? {} : { reasoning_tokens: reasoning }),
    },
    ...(gates ? { gate: (index: number) => (index === 0 ? gates.first : gates.rest) } : {}),
    ...(reply.finish
      ? { finishReason: reply.finish === 'filtered' ? ('content_filter' as const) : reply.finish }
      : {}),
    ...(reply.error ? { error: toError(reply.error) } : {}),
    ...(reply.cut ? { error: { code: cutCodes[reply.cut] } } : {}),
    ...(reply.hang ? { hang: true as const } : {}),
  }
}

function toModelParts(reply: StandInReply, memory: Memory): ModelPart[] {
  const parts: ModelPart[] = []
  if (reply.reasoning !== undefined) {
    for (const delta of toDeltas(reply.reasoning)) parts.push({ type: 'reasoning', delta })
    parts.push({ type: 'reasoning_end', providerData: { signature: memory.sign(reply.reasoning) } })
  }
  for (const delta of toDeltas(reply.text ?? '')) parts.push({ type: 'text', delta })
  if (reply.file) {
    const { mediaType, base64 } = reply.file
    parts.push({ type: 'file', url: `data:${mediaType};base64,${base64}`, mediaType })
  }
  reply.toolCalls?.forEach((call, index) => {
    parts.push({ type: 'tool_call', index, name: call.name })
    const deltas = argumentText(call) === '{}' ? [] : toArgumentDeltas(call)
    for (const delta of deltas) parts.push({ type: 'tool_input', index, delta })
  })
  return parts
}

const cutCodes = {
  before: 'model_unavailable',
  after: 'model_unavailable',
  end: 'model_bad_response',
} as const

const codes: Record<StandInErrorKind, ErrorCode> = {
  unauthorized: 'model_auth_failed',
  rate_limited: 'model_rate_limited',
  overloaded: 'model_unavailable',
  server_error: 'model_unavailable',
  too_long: 'context_length_exceeded',
  not_found: 'model_refused',
  invalid: 'model_refused',
}

function toError(error: StandInError): NonNullable<ScriptedTurn['error']> {
  const { kind, retryAfterSeconds } = error
  return {
    code: codes[kind],
    ...(retryAfterSeconds === undefined ? {} : { retryAfterMs: retryAfterSeconds * 1000 }),
  }
}

function toSeen(request: ModelRequest, more: Pick<SeenRequest, 'model' | 'outcome'>): SeenRequest {
  const { settings, outputSchema } = request
  const numbers = new CallNumbers()
  return {
    ...more,
    key: undefined,
    system: request.instructions ?? '',
    content: request.items.flatMap((item) => toSeenParts(item, numbers)),
    tools: request.tools.map(({ name, description, parameters }) => ({ name, description, parameters })),
    toolChoice: request.toolChoice,
    output: outputSchema && { by: 'native', schema: outputSchema },
    settings: {
      maxOutputTokens: settings.maxOutputTokens,
      temperature: settings.temperature,
      topP: settings.topP,
      stop: settings.stop,
      seed: settings.seed,
      reasoning: settings.reasoningEffort,
    },
    headers: {},
    body: request,
  }
}

function toSeenParts(item: ModelItem, numbers: CallNumbers): SeenPart[] {
  switch (item.type) {
    case 'message':
      return item.content.map((part) => toSeenPart(item.role, part))
    case 'reasoning': {
      const signature = item.provider?.data.signature
      return [
        {
          from: 'assistant',
          type: 'reasoning',
          text: item.text,
          ...(typeof signature === 'string' ? { signature } : {}),
        },
      ]
    }
    case 'tool_call':
      return [
        {
          from: 'assistant',
          type: 'tool_call',
          call: numbers.add(item.call_id),
          name: item.name,
          arguments: item.arguments === '' ? {} : (JSON.parse(item.arguments) as unknown),
        },
      ]
    case 'tool_result':
      return [
        {
          from: 'tool',
          type: 'tool_result',
          call: numbers.find(item.call_id),
          output: item.output,
          ...(item.error ? { error: true as const } : {}),
        },
      ]
  }
}

function toSeenPart(role: 'user' | 'assistant' | 'system', part: Part): SeenPart {
  if (part.type === 'text') return { from: role, type: 'text', text: part.text }
  const media = toMedia(part.url)
  return part.type === 'image' && role === 'user'
    ? { from: 'user', type: 'image', media }
    : { from: role === 'user' ? 'user' : 'assistant', type: 'file', media }
}
