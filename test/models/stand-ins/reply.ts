/**
 * What a stand-in answers, in words that fit every provider. Each stand-in says it on its own wire: reasoning first, then
 * text, then a file, then tool calls.
 */
export interface StandInReply {
  /** What the model thinks aloud. Signed, where the provider signs. */
  reasoning?: string
  /** The provider hides what was thought and gives it back sealed. Only Anthropic does. */
  sealed?: true
  text?: string
  file?: { mediaType: string; base64: string }
  toolCalls?: readonly StandInCall[]
  /** Tokens as people count them: `cached` is part of `input`, `reasoning` part of `output`. Default 10 in, 5 out. */
  usage?: { input: number; output: number; cached?: number; reasoning?: number }
  /** Default: whatever follows from the content. `filtered`: the answer was stopped by a filter. */
  finish?: 'length' | 'filtered'
  /** The prompt itself is refused by a filter: nothing is generated. */
  blocked?: true
  /** Resolves when the first token may be said, and when all after it may. */
  gates?: { first?: Promise<unknown>; rest?: Promise<unknown> }
  /**
   * The connection breaks: `before` anything was answered, or `after` the content. `end`: after the content the body ends
   * as if all had been said, but without the wire's own end.
   */
  cut?: 'before' | 'after' | 'end'
  /** Says nothing more, with an open connection: from the start, or after the content. */
  hang?: 'before' | 'after'
  error?: StandInError
}

export interface StandInCall {
  name: string
  /** A string goes out as it is, where the wire allows what is no JSON. */
  arguments: Record<string, unknown> | string
}

export type StandInErrorKind =
  'unauthorized' | 'rate_limited' | 'overloaded' | 'server_error' | 'too_long' | 'not_found' | 'invalid'

export interface StandInError {
  kind: StandInErrorKind
  /** `stream`: after the content, within a stream that began well. Default: instead of a stream, with its status. */
  in?: 'stream'
  /** How long the provider asks to wait, in the way it says such things. */
  retryAfterSeconds?: number
  /** What the provider says. Default: its own usual words. */
  message?: string
}

/** The deltas of a text: a word each, with the space before it. */
export function toDeltas(text: string): string[] {
  return text.match(/\s*\S+|\s+$/gu) ?? []
}

/** The deltas of a call's arguments: about three of them. */
export function toArgumentDeltas(call: StandInCall): string[] {
  const text = argumentText(call)
  const size = Math.max(1, Math.ceil(text.length / 3))
  const deltas: string[] = []
  for (let i = 0; i < text.length; i += size) deltas.push(text.slice(i, i + size))
  return deltas
}

export function argumentText({ arguments: given }: StandInCall): string {
  return typeof given === 'string' ? given : JSON.stringify(given)
}

export function usageOf(reply: StandInReply): NonNullable<StandInReply['usage']> {
  return reply.usage ?? { input: 10, output: 5 }
}
