import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { EventOf, EventType } from '../../src/events.ts'
import type { Item } from '../../src/items.ts'
import {
  addWarnings,
  type RunStatus,
  type RunWarning,
  type StopReason,
  type Usage,
} from '../../src/run-state.ts'
import type { Frame } from '../runs/frame-client.ts'
import { pairingFault } from './pairing.ts'
import { formedAgents } from './random-agents.ts'
import { countCalls } from './random-model.ts'

type LoggedEvent = Frame['event']

/** A run as it stands in the file, with what no client is told. */
export interface StoredState {
  id: string
  agent: string
  activeAgent: string | null
  status: RunStatus
  stopReason: StopReason | null
  plan: string | null
  parsed: unknown
  usage: Usage
  warnings: RunWarning[]
  items: StoredItem[]
  ledger: { call_id: string; state: string }[]
  approvals: { id: string; status: string }[]
}

interface StoredItem {
  step: number | null
  isVoid: boolean
  parent: string | null
  item: Item
}

/** What agents did in all runs: that a load covers it is to be seen. */
export interface WorkCounts {
  switches: number
  plans: number
  corrections: number
  summaries: number
  fallbacks: number
  questions: number
  /** Replies of agents that serve as tools, and calls of their own. */
  servedReplies: number
  servedCalls: number
}

/** Every run of a data folder that nobody works in. */
export function readStates(dataDir: string): Map<string, StoredState> {
  const db = new Database(join(dataDir, 'parley.db'), { readonly: true })
  try {
    const all = <T extends { run_id: string }>(sql: string) => {
      return Map.groupBy(db.prepare<[], T>(sql).all(), ({ run_id }) => run_id)
    }
    const items = all<{
      run_id: string
      step: number | null
      void: number
      parent: string | null
      item: string
    }>('SELECT run_id, step, void, parent_call_id AS parent, item FROM items ORDER BY run_id, position')
    const ledger = all<{ run_id: string; call_id: string; state: string }>(
      'SELECT run_id, call_id, state FROM tool_ledger',
    )
    const approvals = all<{ run_id: string; id: string; status: string }>(
      'SELECT run_id, id, status FROM approvals',
    )
    const runs = db.prepare<[], Record<string, string>>('SELECT * FROM runs').all()
    return new Map(
      runs.map((row): [string, StoredState] => {
        const { id = '', agent = '', active_agent = null, usage = '' } = row
        const json = (text: string | null | undefined): unknown => (text ? JSON.parse(text) : null)
        return [
          id,
          {
            id,
            agent,
            activeAgent: active_agent,
            // Written by the store from these types.
            status: row.status as RunStatus,
            stopReason: (row.stop_reason ?? null) as StopReason | null,
            plan: json(row.plan) as string | null,
            parsed: json(row.output_parsed),
            usage: JSON.parse(usage) as Usage,
            warnings: (json(row.warnings) ?? []) as RunWarning[],
            items: (items.get(id) ?? []).map((one) => ({
              step: one.step,
              isVoid: one.void === 1,
              parent: one.parent,
              item: JSON.parse(one.item) as Item,
            })),
            ledger: ledger.get(id) ?? [],
            approvals: approvals.get(id) ?? [],
          },
        ]
      }),
    )
  } finally {
    db.close()
  }
}

/** Calls of agents that served as tools: no event tells of them. Their names by id. */
export function servedCalls({ items }: StoredState): Map<string, string> {
  return new Map(
    items.flatMap(({ parent, item }) =>
      parent !== null && item.type === 'tool_call' ? [[item.call_id, item.name] as const] : [],
    ),
  )
}

/** What must hold of a run that has ended, between its log and its rows. Returns what does not. */
export function checkState(state: StoredState, events: readonly LoggedEvent[]): string[] {
  return [
    ...checkStanding(state, events),
    ...checkReplies(state),
    ...checkUsage(state, events),
    ...checkApprovals(state, events),
    ...(state.status === 'completed' ? checkCompleted(state) : []),
  ]
}

/** The agent at work, the plan, the answer. */
function checkStanding(state: StoredState, events: readonly LoggedEvent[]): string[] {
  const faults: string[] = []
  const switches = eventsOf(events, 'agent.switch')
  const at = switches.at(-1)?.to ?? state.agent
  if ((state.activeAgent ?? state.agent) !== at)
    faults.push(`${state.activeAgent} is at work, the log says ${at}`)
  for (const [i, { from }] of switches.entries()) {
    const before = switches[i - 1]?.to ?? state.agent
    if (from !== before) faults.push(`switched from ${from}, which was ${before}`)
  }
  const warnings = JSON.stringify(addWarnings([], eventsOf(events, 'warning')))
  if (JSON.stringify(state.warnings) !== warnings)
    faults.push(`was warned of ${JSON.stringify(state.warnings)}, the log says ${warnings}`)
  const plan = eventsOf(events, 'plan.update').at(-1)?.plan ?? null
  if (state.plan !== plan) faults.push(`the plan is ${state.plan}, the log says ${plan}`)
  const answered = state.status === 'completed' && state.stopReason === 'final'
  const isFormed = formedAgents.has(state.agent)
  if (answered && isFormed && state.parsed === null) faults.push('has an answer that was not parsed')
  if (state.parsed !== null && !(isFormed && state.status === 'completed')) faults.push('has a parsed answer')
  return faults
}

/** Each stream of replies, the run's own and one for each served call, is one conversation without repetition. */
function checkReplies({ items }: StoredState): string[] {
  const faults: string[] = []
  const streams = Map.groupBy(
    items.filter(({ isVoid, step }) => !isVoid && step !== null),
    ({ parent }) => parent ?? 'the run',
  )
  for (const [whose, own] of streams) {
    const steps = Map.groupBy(own, ({ step }) => step ?? 0)
    const said = [...steps].filter(([, group]) => group.some(({ item }) => isSaid(item)))
    const numbers = said.map(([step]) => step)
    if (numbers.some((step, i) => step !== i)) faults.push(`${whose}: replies at ${numbers.join(', ')}`)
    for (const [step, group] of said.slice(0, -1)) {
      const goesOn = group.some(
        ({ item }) => item.type === 'tool_call' || (item.type === 'note' && item.kind === 'correction'),
      )
      if (!goesOn) faults.push(`${whose}: the model was asked again behind its answer in step ${step}`)
    }
  }
  return faults
}

function isSaid(item: Item): boolean {
  return item.type === 'tool_call' || item.type === 'reasoning' || item.type === 'message'
}

function checkUsage(state: StoredState, events: readonly LoggedEvent[]): string[] {
  const used = countCalls(state.usage)
  const notes = (kind: string, isServed: boolean) =>
    state.items.filter(
      ({ item, parent }) => item.type === 'note' && item.kind === kind && (parent !== null) === isServed,
    ).length
  const replies = eventsOf(events, 'step.end').filter(({ usage }) => usage !== null)
  const expected = {
    reply: replies.length,
    plan: eventsOf(events, 'plan.update').length,
    summary: notes('summary', false),
  }
  // Estimates of tries that broke off are too small to reach beyond what counts replies and choices.
  const isEstimated = state.warnings.some(({ code }) => code === 'usage_estimated')
  const faults = Object.entries(expected).flatMap(([kind, count]) => {
    const counted = used[kind as keyof typeof expected]
    const fits = isEstimated && kind === 'reply' ? counted > count : counted === count
    return fits ? [] : [`${count} of ${kind}, counted ${JSON.stringify(used)}`]
  })
  const ends = replies.map(({ step }) => step)
  if (ends.some((step, i) => step !== i)) faults.push(`steps ended: ${ends.join(', ')}`)
  if (!isEstimated && used.choice > (state.agent === 'switchboard' ? 1 : 0))
    faults.push(`${used.choice} choices`)
  // Beside others a reply may be counted with their commit, and be lost itself.
  const servedReplies = countServedReplies(state)
  const unbroken = state.status === 'completed' && eventsOf(events, 'run.start').length === 1
  const servedPlans = notes('plan', true)
  const tooFew = used.served < servedReplies || used.servedPlan < servedPlans
  const tooMany = unbroken && (used.served > servedReplies || used.servedPlan > servedPlans)
  if (tooFew || tooMany) {
    faults.push(`${servedReplies} served replies and ${servedPlans} plans, counted ${JSON.stringify(used)}`)
  }
  return faults
}

function countServedReplies({ items }: StoredState): number {
  const steps = items.flatMap(({ parent, step, isVoid, item }) =>
    parent !== null && !isVoid && isSaid(item) && !('partial' in item) ? [`${parent} ${step}`] : [],
  )
  return new Set(steps).size
}

const statusAfter = {
  approve: 'approved',
  reject: 'rejected',
  answer: 'answered',
  expire: 'expired',
} as const

function checkApprovals(state: StoredState, events: readonly LoggedEvent[]): string[] {
  const resolved = new Map(eventsOf(events, 'approval.resolve').map((event) => [event.approval_id, event]))
  const asked = eventsOf(events, 'run.suspend').flatMap(({ approvals }) => approvals.map(({ id }) => id))
  const faults = state.approvals.flatMap(({ id, status }) => {
    const decision = resolved.get(id)?.decision
    const expected = decision === undefined ? 'cancelled' : statusAfter[decision]
    return status === expected ? [] : [`approval ${id} is ${status}, the log says ${expected}`]
  })
  if (asked.length !== state.approvals.length) {
    faults.push(`${asked.length} approvals were asked for, ${state.approvals.length} are there`)
  }
  return faults
}

/** Every call has its one result, everything that was claimed is settled. */
function checkCompleted({ items, ledger }: StoredState): string[] {
  const faults: string[] = []
  for (const [parent, own] of Map.groupBy(items, ({ parent }) => parent)) {
    if (parent === null) continue
    const fault = pairingFault(own.filter(({ isVoid }) => !isVoid).map(({ item }) => item))
    if (fault !== undefined) faults.push(`${parent}: ${fault}`)
  }
  // A person may have said no to what had been started.
  const errors = new Set(
    items.flatMap(({ item }) => (item.type === 'tool_result' && item.error ? [item.call_id] : [])),
  )
  for (const { call_id, state } of ledger) {
    if (state === 'claimed' && !errors.has(call_id)) faults.push(`the claim of ${call_id} is open`)
  }
  return faults
}

/** What the load has come to. */
export function countWork(states: Iterable<StoredState>, events: readonly LoggedEvent[]): WorkCounts {
  const all = [...states]
  const notes = (kind: string) =>
    all.flatMap(({ items }) => items).filter(({ item }) => item.type === 'note' && item.kind === kind).length
  return {
    switches: eventsOf(events, 'agent.switch').length,
    plans: eventsOf(events, 'plan.update').length,
    corrections: notes('correction'),
    summaries: notes('summary'),
    fallbacks: eventsOf(events, 'warning').filter(({ code }) => code === 'model_fallback').length,
    questions: eventsOf(events, 'approval.resolve').filter(({ decision }) => decision === 'answer').length,
    servedReplies: all.reduce((sum, state) => sum + countServedReplies(state), 0),
    servedCalls: all.reduce((sum, state) => sum + servedCalls(state).size, 0),
  }
}

function eventsOf<T extends EventType>(events: readonly LoggedEvent[], type: T): EventOf<T>[] {
  // Its type was just compared.
  return events.filter((event) => event.type === type) as EventOf<T>[]
}
