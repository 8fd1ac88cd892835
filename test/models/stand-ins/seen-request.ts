import type { IncomingHttpHeaders } from 'node:http'
import type { ToolChoice } from '../../../src/models/model.ts'

/** A request as a provider understood it, in one shape for all of them. */
export interface SeenRequest {
  /** The API key, taken from where the provider expects it. */
  key: string | undefined
  model: string
  /** All text that stands above the conversation. */
  system: string
  /** The conversation, flat: all parts of all messages. */
  content: SeenPart[]
  tools: { name: string; description: string; parameters: Record<string, unknown> }[]
  toolChoice: ToolChoice | undefined
  output: SeenOutput | undefined
  settings: SeenSettings
  headers: IncomingHttpHeaders
  body: unknown
  /** Resolves when the reply is over: the stand-in ended it, or the client closed its socket first. */
  outcome: Promise<'ended' | 'closed'>
}

/** `native`: by the provider's own field for it. `tool`: as the input of a tool made for the answer. */
export interface SeenOutput {
  by: 'native' | 'tool'
  schema: Record<string, unknown>
  /** The name of the tool. */
  tool?: string
}

export interface SeenSettings {
  maxOutputTokens?: number | undefined
  temperature?: number | undefined
  topP?: number | undefined
  stop?: string[] | undefined
  seed?: number | undefined
  /** How much is to be thought, in the provider's own words. */
  reasoning?: unknown
}

/** `call` counts the tool calls of a request from 0: providers' own ids differ, and must only fit together. */
export type SeenPart =
  | { from: 'user' | 'assistant' | 'system'; type: 'text'; text: string; signature?: string }
  | { from: 'user'; type: 'image'; media: SeenMedia }
  | { from: 'user' | 'assistant'; type: 'file'; media: SeenMedia }
  | { from: 'assistant'; type: 'reasoning'; text: string; signature?: string }
  | {
      from: 'assistant'
      type: 'tool_call'
      call: number
      name: string
      arguments: unknown
      signature?: string
    }
  | { from: 'tool'; type: 'tool_result'; call: number; output: string; error?: true }

export type SeenMedia = { mediaType: string; base64: string } | { url: string }

/** The signatures of a request, in order, wherever the provider keeps them. */
export function signaturesOf(request: SeenRequest): string[] {
  return request.content.flatMap((part) => ('signature' in part && part.signature ? [part.signature] : []))
}

/** The conversation without what only its provider understands. */
export function plainContentOf(request: SeenRequest): SeenPart[] {
  return request.content
    .filter((part) => part.type !== 'reasoning')
    .filter((part) => part.type !== 'text' || part.text !== '')
    .map((part) => {
      const { signature: _, ...rest } = part as SeenPart & { signature?: string }
      return rest as SeenPart
    })
}

/** Numbers the calls of one request, and finds them again by the provider's id. */
export class CallNumbers {
  readonly #ids: string[] = []

  add(id: string): number {
    return this.#ids.push(id) - 1
  }

  /** Throws where no call before has this id. */
  find(id: string): number {
    const call = this.#ids.lastIndexOf(id)
    if (call === -1) throw new Refusal(`no call has the id ${id}`)
    return call
  }
}

/** What the real service would answer with a 400, and the words it would use. */
export class Refusal extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Refusal'
  }
}
