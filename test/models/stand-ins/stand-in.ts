import { randomUUID } from 'node:crypto'
import { createUpstreamServer, rawStep } from '../../../src/testing/upstream-server.ts'
import type { UpstreamReply, UpstreamRequest, UpstreamStep } from '../../../src/testing/upstream-server.ts'
import type { StandInError, StandInReply } from './reply.ts'
import { Refusal } from './seen-request.ts'
import type { SeenRequest } from './seen-request.ts'

/** A provider on loopback, or what takes its place, that says what it was told to and keeps what it was asked. */
export interface StandIn {
  /** Where the provider's client is to look. */
  readonly baseURL: string
  /** The only key that is let in. */
  readonly key: string
  /** What was understood, oldest first. Requests that were refused are not among them. */
  readonly seen: readonly SeenRequest[]
  /** What the requests that were refused as malformed or unauthorised were told. Empty in a sound test. */
  readonly refusals: readonly string[]
  /** Everything that was signed or sealed, oldest first. */
  readonly signatures: readonly string[]
  /** Adds replies: each request takes the oldest one that is left. Without one it gets `server_error`. */
  reply(...replies: StandInReply[]): void
  /** The request with this number, from 0, as soon as it is there. */
  request(number: number): Promise<SeenRequest>
  /** Resolves when no connection is open. */
  idle(): Promise<void>
  close(): Promise<void>
}

/** How one provider speaks. */
export interface Wire {
  /** What a client's base URL holds after the origin. */
  basePath: string
  /** Reads a request as strictly as the real service does. Throws a `Refusal`. */
  decode(request: UpstreamRequest, memory: Memory): SeenRequest
  /** The events of a reply, in their order. */
  encode(reply: StandInReply, request: SeenRequest, memory: Memory): EncodedReply
  encodeError(error: StandInError): UpstreamReply
  /** Where a refused prompt is an error. Absent: `encode` says it in a stream that begins well. */
  encodeBlocked?(): UpstreamReply
  /** The same within a stream. */
  encodeStreamError(error: StandInError): string
  /** The key as it was sent. */
  keyOf(request: UpstreamRequest): string | undefined
}

export interface EncodedReply {
  /** Bytes before any content. */
  head: string[]
  /** Bytes that say the content, each with a token. */
  content: string[]
  /** Bytes that say why it ends, and that it does. */
  tail: string[]
}

/** What a stand-in said, so that it knows its own again when it is sent back. */
export interface Memory {
  /** What was signed, by its signature. */
  signed: Map<string, string>
  /** Calls by the id they were given: the signature that has to come back with them. */
  calls: Map<string, { signature: string | undefined }>
  /** A new signature over a text. */
  sign(text: string): string
}

/** Starts a stand-in for a wire. Close it. */
export async function createStandIn(wire: Wire): Promise<StandIn> {
  const upstream = await createUpstreamServer()
  const key = `key-${randomUUID()}`
  const seen: SeenRequest[] = []
  const refusals: string[] = []
  const queue: StandInReply[] = []
  const waiting = new Map<number, (request: SeenRequest) => void>()
  const memory = createMemory()

  upstream.replyAlways((incoming) => {
    if (wire.keyOf(incoming) !== key) {
      refusals.push('the key is not the right one')
      return wire.encodeError({ kind: 'unauthorized' })
    }
    let request: SeenRequest
    try {
      request = wire.decode(incoming, memory)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      refusals.push(error.message)
      return wire.encodeError({ kind: 'invalid', message: error.message })
    }
    const number = seen.push(request) - 1
    waiting.get(number)?.(request)
    waiting.delete(number)
    const reply = queue.shift() ?? { error: { kind: 'server_error', message: 'no reply is left' } }
    return play({ wire, reply, request, memory })
  })

  return {
    baseURL: `${new URL(upstream.baseURL).origin}${wire.basePath}`,
    key,
    seen,
    refusals,
    get signatures() {
      return [...memory.signed.keys()]
    },
    reply: (...replies) => void queue.push(...replies),
    request(number) {
      const there = seen[number]
      return there ? Promise.resolve(there) : new Promise((resolve) => waiting.set(number, resolve))
    },
    idle: () => upstream.idle(),
    close: () => upstream.close(),
  }
}

function play(input: {
  wire: Wire
  reply: StandInReply
  request: SeenRequest
  memory: Memory
}): UpstreamReply {
  const { wire, reply, request, memory } = input
  if (reply.cut === 'before') return { wire: true, steps: [{ type: 'destroy' }] }
  if (reply.hang === 'before') return { steps: [{ type: 'silence' }] }
  if (reply.error && reply.error.in !== 'stream') return wire.encodeError(reply.error)
  if (reply.blocked && wire.encodeBlocked) return wire.encodeBlocked()
  const { head, content, tail } = wire.encode(reply, request, memory)
  const steps: UpstreamStep[] = head.map(rawStep)
  if (reply.gates?.first) steps.push({ type: 'wait', until: reply.gates.first })
  for (const [i, bytes] of content.entries()) {
    if (i === 1 && reply.gates?.rest) steps.push({ type: 'wait', until: reply.gates.rest })
    steps.push(rawStep(bytes))
  }
  return { steps: [...steps, ...endOf(wire, reply, tail)] }
}

function endOf(wire: Wire, reply: StandInReply, tail: readonly string[]): UpstreamStep[] {
  if (reply.error) return [rawStep(wire.encodeStreamError(reply.error))]
  if (reply.cut === 'after') return [{ type: 'destroy' }]
  if (reply.cut === 'end') return []
  if (reply.hang === 'after') return [{ type: 'silence' }]
  return tail.map(rawStep)
}

export function createMemory(): Memory {
  const signed = new Map<string, string>()
  return {
    signed,
    calls: new Map(),
    sign(text) {
      const signature = Buffer.from(`signature ${signed.size} ${randomUUID()}`).toString('base64')
      signed.set(signature, text)
      return signature
    },
  }
}

/** A JSON body, parsed as the service would; what is missing or unknown is a refusal. */
export function parseBody<T>(
  schema: { safeParse(value: unknown): { success: true; data: T } | { success: false; error: Error } },
  body: unknown,
): T {
  const parsed = schema.safeParse(body)
  if (parsed.success) return parsed.data
  throw new Refusal(parsed.error.message)
}
