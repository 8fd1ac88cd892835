import type { Model, ModelPart, ModelReply, ModelRequest } from '../../src/models/model.ts'
import type { DecodedReply } from './recorded-reply.ts'

export const greeting: ModelRequest = {
  instructions: undefined,
  items: [{ type: 'message', id: 'item_1', role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
  tools: [],
  settings: {},
}

/** Joins parts to what they come to, and checks what the port promises of each. */
export function joinParts(parts: readonly ModelPart[], reply: ModelReply): DecodedReply {
  const decoded: DecodedReply = { text: '', reasoning: '', calls: [], ...reply }
  for (const part of parts) {
    if (part.type === 'text') decoded.text += whole(part.delta)
    else if (part.type === 'reasoning') decoded.reasoning += whole(part.delta)
    else if (part.type === 'tool_call') {
      // Again: what was known only at its end.
      if (part.providerData && part.index < decoded.calls.length) continue
      if (part.index !== decoded.calls.length) throw new Error(`tool call ${part.index} is out of order`)
      decoded.calls.push({ name: part.name, arguments: '' })
    } else if (part.type === 'tool_input') {
      const call = decoded.calls[part.index]
      if (!call) throw new Error(`input of tool call ${part.index} comes before the call`)
      call.arguments += whole(part.delta)
    }
  }
  return decoded
}

function whole(delta: string): string {
  if (delta === '' || !delta.isWellFormed()) throw new Error(`a bad delta: ${JSON.stringify(delta)}`)
  return delta
}

export interface CollectedReply {
  parts: ModelPart[]
  reply: ModelReply
  decoded: DecodedReply
}

/** Asks the model once and reads the reply to its end. */
export async function collectReply(
  model: Model,
  options: { request?: ModelRequest; signal?: AbortSignal; onPart?: (part: ModelPart) => void } = {},
): Promise<CollectedReply> {
  const parts: ModelPart[] = []
  const reply = await model.stream(options.request ?? greeting, {
    signal: options.signal ?? new AbortController().signal,
    emit(part) {
      parts.push(part)
      options.onPart?.(part)
    },
  })
  return { parts, reply, decoded: joinParts(parts, reply) }
}
