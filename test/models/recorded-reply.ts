import type { FinishReason } from '../../src/models/model.ts'
import type { Usage } from '../../src/run-state.ts'

/** What a reply comes to, its deltas joined. */
export interface DecodedReply {
  text: string
  reasoning: string
  calls: { name: string; arguments: string }[]
  finishReason: FinishReason
  usage: Usage | null
}

export interface RecordedReply {
  server: string
  what: string
  /** The body, as it is on the wire. */
  stream: string
  decoded: DecodedReply
}

/** The body of these events. */
export const sse = (...events: (string | object)[]): string =>
  events.map((event) => `data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`).join('')

export const nothing = { text: '', reasoning: '', calls: [], usage: null }
