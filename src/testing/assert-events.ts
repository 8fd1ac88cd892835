import type { EventOf, EventType, RunEvent } from '../events.ts'
import { showValue } from './differences.ts'
import { faultsOf, showPattern, type FieldPattern } from './match-fields.ts'

/** An event's type, and as many of its fields as matter. */
export type EventMatch = {
  [T in EventType]: { type: T } & { [K in Exclude<keyof EventOf<T>, 'type'>]?: FieldPattern<EventOf<T>[K]> }
}[EventType]

/** What is expected next: an event's type, a type with fields, or `'...'`: any events, or none. */
export type EventPattern = EventType | '...' | EventMatch

/**
 * Throws an `Error` where the events of a run are not what is expected, from the first to the last. Its message shows both
 * from where they part.
 *
 * Deltas of one block that follow each other count as one event, whose `delta` is their text: how a reply is cut says
 * nothing. `tool.progress`, which has no place in the log, is looked at only where a pattern names it.
 *
 * @example
 * assertEvents(events, ['run.start', '...', { type: 'tool.call', arguments: { city: 'Oslo' } }, '...', 'run.end'])
 */
export function assertEvents(events: readonly RunEvent[], expected: readonly EventPattern[]): void {
  const wantsProgress = expected.some((pattern) => typeOf(pattern) === 'tool.progress')
  const seen = collapseDeltas(wantsProgress ? events : events.filter(({ type }) => type !== 'tool.progress'))
  const place = findFault(seen, expected)
  if (place) throw new Error(describeFault({ seen, expected, place }))
}

/** How far both lists agree: the first `patterns` of the one with the first `events` of the other. */
interface Place {
  patterns: number
  events: number
}

/**
 * Undefined: all match. Each `'...'` takes as little as it can; where a later pattern then fails, the last of them takes one
 * more. The one before it never has to: what matched behind it would match again.
 */
function findFault(events: readonly RunEvent[], expected: readonly EventPattern[]): Place | undefined {
  let pattern = 0
  let event = 0
  let gap: Place | undefined
  let furthest: Place = { patterns: 0, events: 0 }
  for (;;) {
    if (pattern > furthest.patterns) furthest = { patterns: pattern, events: event }
    const wanted = expected[pattern]
    const next = events[event]
    if (wanted === undefined && next === undefined) return undefined
    if (wanted === '...') {
      pattern++
      gap = { patterns: pattern, events: event }
    } else if (wanted !== undefined && next !== undefined && faultsIn(next, wanted).length === 0) {
      pattern++
      event++
    } else {
      if (gap === undefined || gap.events >= events.length) return furthest
      gap = { patterns: gap.patterns, events: gap.events + 1 }
      pattern = gap.patterns
      event = gap.events
    }
  }
}

function typeOf(pattern: EventPattern): string {
  return typeof pattern === 'string' ? pattern : pattern.type
}

function faultsIn(event: RunEvent, pattern: EventPattern): string[] {
  if (event.type !== typeOf(pattern)) return [`it is ${event.type}`]
  return typeof pattern === 'string' ? [] : faultsOf(event, pattern)
}

function collapseDeltas(events: readonly RunEvent[]): RunEvent[] {
  const collapsed: RunEvent[] = []
  for (const event of events) {
    const last = collapsed.at(-1)
    if (
      'delta' in event &&
      last &&
      'delta' in last &&
      last.type === event.type &&
      last.item_id === event.item_id
    ) {
      collapsed[collapsed.length - 1] = { ...last, delta: last.delta + event.delta }
    } else collapsed.push(event)
  }
  return collapsed
}

const maxShownBefore = 5
const maxShownAfter = 10

function describeFault(input: {
  seen: readonly RunEvent[]
  expected: readonly EventPattern[]
  place: Place
}): string {
  const { seen, expected, place } = input
  const wanted = expected[place.patterns]
  const afterGap = expected[place.patterns - 1] === '...'
  const before = seen.slice(Math.max(0, place.events - maxShownBefore), place.events)
  const lines = before.map((event) => `    ${showEvent(event)}`)
  const earlier = place.events - before.length
  if (earlier > 0) lines.unshift(`    … ${earlier} before`)
  lines.push(`  - ${describeWanted(wanted, afterGap)}`)
  const behind = seen.slice(place.events)
  const ofType = behind.filter(({ type }) => wanted !== undefined && type === typeOf(wanted))
  // Of all that a gap may hold, only what comes near is of interest.
  const rest = afterGap && ofType.length > 0 ? ofType : behind
  if (rest.length === 0) lines.push('  + no more events')
  rest.slice(0, maxShownAfter).forEach((event) => {
    const faults = wanted !== undefined && event.type === typeOf(wanted) ? faultsIn(event, wanted) : []
    lines.push(`  + ${showEvent(event)}`, ...faults.map((fault) => `      ${fault}`))
  })
  if (rest.length > maxShownAfter) lines.push(`  + … ${rest.length - maxShownAfter} more`)
  return `the events are not as expected, from event ${place.events + 1} on:\n${lines.join('\n')}`
}

function describeWanted(wanted: EventPattern | undefined, afterGap: boolean): string {
  if (wanted === undefined) return 'expected: the end'
  const text = typeof wanted === 'string' ? wanted : showMatch(wanted)
  return afterGap ? `expected somewhere below: ${text}` : `expected: ${text}`
}

function showMatch({ type, ...fields }: EventMatch): string {
  const shown = Object.entries(fields).map(([key, value]) => `${key}: ${showPattern(value)}`)
  return [type, ...shown].join('  ')
}

/** Fields that differ from run to run say nothing to who looks for a fault. */
const noise = new Set([
  'type',
  'seq',
  'item_id',
  'call_id',
  'run_id',
  'at',
  'timings',
  'usage',
  'definition',
  'duration_ms',
])

function showEvent(event: RunEvent): string {
  const fields = Object.entries(event).filter(([key, value]) => !noise.has(key) && value !== null)
  return [event.type, ...fields.map(([key, value]) => `${key}: ${showValue(value)}`)].join('  ')
}
