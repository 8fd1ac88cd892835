import { attemptGap, type EventOf } from '../../src/events.ts'
import type { Frame } from '../runs/frame-client.ts'
import type { CallLine } from './fixture-link.ts'
import { isRandomTool, writeTools } from './random-tools.ts'

type LoggedEvent = Frame['event']

/** One holder's time with a run, from its `run.start` on. */
interface Attempt {
  /** Milliseconds since 1970. */
  startedAt: number
  events: LoggedEvent[]
}

/** What must hold of the log of any run that has ended. Returns what does not. */
export function checkLog(events: readonly LoggedEvent[]): string[] {
  const faults: string[] = []
  const ends = events.filter(({ type }) => type === 'run.end').length
  if (ends !== 1) faults.push(`${ends} ends`)
  if (events.at(-1)?.type !== 'run.end') faults.push(`the last event is ${events.at(-1)?.type}`)
  if (events[0]?.seq !== 1) faults.push(`the first event is ${events[0]?.seq}`)
  let attempt = 0
  for (const [i, event] of events.entries()) {
    const before = events[i - 1]
    const step = before ? event.seq - before.seq : 1
    // Only another attempt, or a decision or a cancel from outside, begins behind the gap.
    const mayJump = ['run.start', 'approval.resolve', 'run.end'].includes(event.type)
    if (step !== 1 && !(mayJump && step === attemptGap)) {
      faults.push(`event ${event.seq} (${event.type}) follows ${before?.seq}`)
    }
    if (event.type !== 'run.start') continue
    if (event.attempt <= attempt) faults.push(`attempt ${event.attempt} follows ${attempt}`)
    attempt = event.attempt
  }
  return faults
}

/**
 * What must hold of the executions of a run's tools, as the tools themselves wrote them down, beside its log. `served`: calls of
 * agents that served as tools, which the log does not tell of.
 */
export function checkCalls(
  events: readonly LoggedEvent[],
  { lines, served }: { lines: readonly CallLine[]; served: ReadonlyMap<string, string> },
): string[] {
  const attempts = toAttempts(events)
  const calls = events.filter((event): event is EventOf<'tool.call'> => event.type === 'tool.call')
  const known = new Set([...calls.map(({ call_id }) => call_id), ...served.keys()])
  const faults = lines.filter(({ call }) => !known.has(call)).map(({ call }) => `unknown call ${call} ran`)
  for (const [call_id, name] of served) {
    const times = lines.filter((line) => line.call === call_id).length
    const allowed = startsAllowed(events, { call_id, name })
    if (times > allowed) faults.push(`${name} ${call_id}: ran ${times} times, ${allowed} were allowed`)
  }
  for (const call of calls) {
    const own = lines.filter((line) => line.call === call.call_id)
    for (const fault of checkCall({ events, attempts, call, lines: own })) {
      faults.push(`${call.name} ${call.call_id}: ${fault}`)
    }
  }
  const keys = new Map(lines.map(({ key, call }) => [key, call]))
  if (new Set(keys.values()).size !== keys.size) faults.push('a call ran under two keys')
  if (lines.some(({ key, call }) => keys.get(key) !== call)) faults.push('two calls share a key')
  return faults
}

function checkCall(input: {
  events: readonly LoggedEvent[]
  attempts: readonly Attempt[]
  call: EventOf<'tool.call'>
  lines: readonly CallLine[]
}): string[] {
  const { events, attempts, call, lines } = input
  const faults: string[] = []
  const concerns = (event: LoggedEvent) => 'call_id' in event && event.call_id === call.call_id
  const results = events.filter(
    (event): event is EventOf<'tool.end'> => event.type === 'tool.end' && concerns(event),
  )
  if (results.length > 1) faults.push(`${results.length} results`)
  const [result] = results
  const endedIn = result
    ? attempts.findIndex((attempt) => attempt.events.includes(result))
    : attempts.length - 1
  const ranIn = lines.map(({ at }) => attempts.findLastIndex(({ startedAt }) => startedAt <= at))

  if (result && !result.error && lines.length === 0 && isRandomTool(call.name))
    faults.push('has a result and never ran')
  if (ranIn.some((attempt) => attempt > endedIn)) faults.push('ran again after its result was committed')
  if (new Set(ranIn).size !== ranIn.length) faults.push('ran twice in one attempt')
  const allowed = startsAllowed(events, call)
  if (lines.length > allowed) faults.push(`ran ${lines.length} times, ${allowed} were allowed`)
  if (writeTools.has(call.name)) {
    // Started by a holder that died: what comes next about it is the question to a person.
    const lost = ranIn.filter((attempt) => attempt >= 0 && attempt < endedIn)
    for (const attempt of lost)
      if (!isAsked(attempts.slice(attempt + 1), call)) faults.push('was not asked about')
  }
  return faults
}

/** How often a person lets a call start; as often as it must where it may be repeated. */
function startsAllowed(
  events: readonly LoggedEvent[],
  { call_id, name }: Pick<EventOf<'tool.call'>, 'call_id' | 'name'>,
): number {
  if (!writeTools.has(name)) return Infinity
  const approvals = events.filter(
    (event) => event.type === 'approval.resolve' && event.call_id === call_id && event.decision === 'approve',
  ).length
  return (name === 'gated' ? 0 : 1) + approvals
}

/** Whether the attempts ask whether the call may run again before they have a result of it; or end without either. */
function isAsked(attempts: readonly Attempt[], call: EventOf<'tool.call'>): boolean {
  for (const event of attempts.flatMap(({ events }) => events)) {
    if (event.type === 'run.suspend') {
      const asked = event.approvals.find(({ call_id }) => call_id === call.call_id)
      if (asked) return asked.reason === 'outcome_unknown'
    }
    if (event.type === 'tool.end' && event.call_id === call.call_id) return false
    if (event.type === 'run.end') return event.status !== 'completed'
  }
  return false
}

function toAttempts(events: readonly LoggedEvent[]): Attempt[] {
  const attempts: Attempt[] = []
  for (const event of events) {
    if (event.type === 'run.start') attempts.push({ startedAt: Date.parse(event.at), events: [] })
    attempts.at(-1)?.events.push(event)
  }
  return attempts
}

/** When holders took over a run whose holder before them had died. Milliseconds since 1970. */
export function rescuesOf(events: readonly LoggedEvent[]): number[] {
  return events.flatMap((event, i) => {
    if (event.type !== 'run.start' || event.attempt === 1) return []
    const before = events[i - 1]?.type
    return before === 'approval.resolve' ? [] : [Date.parse(event.at)]
  })
}
