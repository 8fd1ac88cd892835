import { isDeepStrictEqual } from 'node:util'
import type { EventType } from '../../src/events.ts'
import type { Item } from '../../src/items.ts'
import type { Frame } from '../runs/frame-client.ts'

export type SeenItem = Item & { run_id: string }

/** What clients were told. Whatever was told as committed must be so for ever. */
export interface Observations {
  /** Runs whose acceptance was answered. */
  readonly accepted: ReadonlySet<string>
  /** Runs whose end was seen: their logs, frame by frame. */
  readonly ended: ReadonlyMap<string, readonly string[]>
  /** Committed events that were seen, by run and number. */
  readonly committed: ReadonlyMap<string, ReadonlyMap<number, string>>
  readonly conversations: ReadonlyMap<string, readonly SeenItem[]>
  readonly violations: readonly string[]
  accept(runId: string): void
  /** Frames as a reader got them, one after the other. `whole`: from the first on. */
  see(runId: string, frames: readonly Frame[], options: { whole: boolean }): void
  seeItems(conversationId: string, items: readonly SeenItem[]): void
  readonly violate: (what: string) => void
}

/** Visible only once they are durable; with them everything before them in their attempt. */
const committedTypes: ReadonlySet<EventType> = new Set<EventType>([
  'run.start',
  'step.retry',
  'step.end',
  'tool.end',
  'plan.update',
  'agent.switch',
  'warning',
  'run.suspend',
  'approval.resolve',
  'run.end',
])

export function createObservations(): Observations {
  const accepted = new Set<string>()
  const ended = new Map<string, readonly string[]>()
  const committed = new Map<string, Map<number, string>>()
  const conversations = new Map<string, readonly SeenItem[]>()
  const violations: string[] = []
  const violate = (what: string) => void violations.push(what)

  return {
    accepted,
    ended,
    committed,
    conversations,
    violations,
    violate,
    accept: (runId) => void accepted.add(runId),
    see(runId, frames, { whole }) {
      const known = committed.get(runId) ?? new Map<number, string>()
      committed.set(runId, known)
      const last = frames.findLastIndex(({ event }) => committedTypes.has(event.type))
      for (const { seq, bytes } of frames.slice(0, last + 1)) {
        const before = known.get(seq)
        if (before !== undefined && before !== bytes) violate(`${runId}: event ${seq} changed`)
        known.set(seq, bytes)
      }
      if (!whole || frames.at(-1)?.event.type !== 'run.end') return
      const log = frames.map(({ bytes }) => bytes)
      const before = ended.get(runId)
      if (before && !isDeepStrictEqual(before, log)) violate(`${runId}: the log of the ended run changed`)
      ended.set(runId, before ?? log)
    },
    seeItems(conversationId, items) {
      const before = conversations.get(conversationId) ?? []
      if (!isDeepStrictEqual(items.slice(0, before.length), before)) {
        violate(`${conversationId}: items that were seen are gone or changed`)
      }
      conversations.set(conversationId, items)
    },
  }
}
