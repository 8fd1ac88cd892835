import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { RunStatus } from '../../src/run-state.ts'
import { readFrames, type Frame } from '../runs/frame-client.ts'
import type { CallLine } from './fixture-link.ts'
import { decide, pendingRequests, readItems, send, startLoad, type Asked } from './load.ts'
import { checkCalls, checkLog, rescuesOf } from './log-checks.ts'
import { createObservations, type Observations } from './observations.ts'
import { pairingFault } from './pairing.ts'
import { createRandom } from './seeded-random.ts'
import { readLines } from './server-process.ts'
import {
  checkState,
  countWork,
  readStates,
  servedCalls,
  type StoredState,
  type WorkCounts,
} from './state-checks.ts'
import { createSupervisor, type Generation, type LiveServer } from './supervisor.ts'

export interface ChaosOptions {
  seed: number
  kills: number
  /** No kill after so long. */
  seconds: number
  clients: number
}

export interface ChaosReport {
  seed: number
  kills: number
  /** Of them, before the server listened. */
  killsDuringStart: number
  seconds: number
  runs: { stored: number; accepted: number; completed: number; failed: number; cancelled: number }
  /** Failed runs by code. */
  failures: Record<string, number>
  toolExecutions: number
  rescues: number
  approvals: { policy: number; outcomeUnknown: number; question: number }
  work: WorkCounts
  /** Milliseconds to the `run.start` of a rescued run; what was rescued before `/ready` counts as 0 there. */
  recoveryMs: { fromReady: Percentiles; fromProcessStart: Percentiles }
  violations: string[]
}

export interface Percentiles {
  p50: number
  p99: number
  max: number
}

interface StoredRun {
  id: string
  status: RunStatus
  approvals: Asked[]
}

/** How long everything may take to come to rest once nothing is killed any more: a guard, not a figure. */
const settleMs = 30_000

/** Kills servers under load, lets the last one come to rest, and holds everything that was ever promised against what is there. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-chaos-'))
  const random = createRandom(options.seed)
  const observations = createObservations()
  const supervisor = createSupervisor({ dataDir, random: createRandom(random.between(0, 2 ** 31)) })
  const startedAt = Date.now()
  try {
    const load = startLoad({ supervisor, observations, random, clients: options.clients })
    const server = await supervisor.run({
      kills: options.kills,
      deadline: startedAt + options.seconds * 1000,
    })
    await comeToRest(server, { load, observations })
    const logs = await readLogs(server, observations)
    const seconds = (Date.now() - startedAt) / 1000
    await checkConversations(server, observations)
    await supervisor.stop()
    const states = readStates(dataDir)
    checkLogs(logs, { observations, dataDir, states })
    checkDatabase(dataDir, observations)
    const { generations } = supervisor
    return toReport({ options, observations, logs, states, generations, dataDir, seconds })
  } finally {
    await supervisor.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}

/** Clients may wait for runs that wait for decisions: those are made while the clients leave. */
async function comeToRest(
  server: LiveServer,
  input: { load: ReturnType<typeof startLoad>; observations: Observations },
): Promise<void> {
  let left = false
  const leaving = input.load.stop().finally(() => {
    left = true
  })
  // Whether it resolves or rejects, `leaving` is awaited below.
  leaving.catch(() => undefined)
  const until = Date.now() + settleMs
  do await settle(server, input.observations)
  while (!left && Date.now() < until)
  if (left) await leaving
  else
    for (const what of pendingRequests())
      input.observations.violate(`no end of: ${what} (${server.url} lives)`)
  await settle(server, input.observations)
}

/** Decides whatever is asked for until every run has ended. */
async function settle(server: LiveServer, observations: Observations): Promise<void> {
  const random = createRandom(1)
  const until = Date.now() + settleMs
  for (;;) {
    const open: StoredRun[] = []
    for (const status of ['queued', 'running', 'suspended']) {
      open.push(...(await listRuns(server, `&status=${status}`)))
    }
    const [first] = open
    if (!first) return
    for (const { approvals } of open) for (const asked of approvals) await decide(server, { asked, random })
    if (Date.now() > until) {
      for (const { id, status } of open) observations.violate(`${id} is still ${status}`)
      return
    }
    await send(server, { path: `/v1/runs/${first.id}/wait?timeout_ms=500` })
  }
}

async function listRuns(server: LiveServer, query = ''): Promise<StoredRun[]> {
  return listAll<StoredRun>(server, `/v1/runs?limit=100${query}`)
}

/** Every page of a list. */
async function listAll<T extends { id: string }>(server: LiveServer, path: string): Promise<T[]> {
  const rows: T[] = []
  for (let after = ''; ; after = `&after=${rows.at(-1)?.id}`) {
    const { json } = await send(server, { path: `${path}${after}` })
    rows.push(...(json.data as T[]))
    if (json.has_more !== true) return rows
  }
}

type Logs = Map<string, Frame[]>

/** The whole logs of all runs there are. */
async function readLogs(server: LiveServer, observations: Observations): Promise<Logs> {
  const logs: Logs = new Map()
  for (const { id, status } of await listRuns(server)) {
    if (status === 'queued' || status === 'running' || status === 'suspended') continue
    const frames: Frame[] = []
    for (;;) {
      const after = frames.at(-1)?.seq ?? 0
      const reading = await readFrames({ url: server.url, path: `/v1/runs/${id}/events?after=${after}` })
      frames.push(...reading.frames)
      if (reading.frames.length === 0 || frames.at(-1)?.event.type === 'run.end') break
    }
    logs.set(id, frames)
    observations.see(id, frames, { whole: true })
  }
  return logs
}

function checkLogs(
  logs: Logs,
  input: { observations: Observations; dataDir: string; states: ReadonlyMap<string, StoredState> },
): void {
  const { observations, dataDir, states } = input
  const { violate } = observations
  for (const id of observations.accepted) if (!logs.has(id)) violate(`${id} was accepted and has not ended`)
  const lines = Map.groupBy(readLines<CallLine>(dataDir, 'calls.jsonl'), ({ run }) => run)
  for (const id of lines.keys()) if (!logs.has(id)) violate(`${id} ran tools and has not ended`)
  for (const [id, frames] of logs) {
    const events = frames.map(({ event }) => event)
    for (const fault of checkLog(events)) violate(`${id}: ${fault}`)
    const state = states.get(id)
    if (!state) violate(`${id} is not in the file`)
    const served = state ? servedCalls(state) : new Map<string, string>()
    for (const fault of checkCalls(events, { lines: lines.get(id) ?? [], served })) violate(`${id}: ${fault}`)
    for (const fault of state ? checkState(state, events) : []) violate(`${id} (${state?.agent}): ${fault}`)
    const bytes = new Map(frames.map((frame) => [frame.seq, frame.bytes]))
    for (const [seq, seen] of observations.committed.get(id) ?? []) {
      if (bytes.get(seq) !== seen) violate(`${id}: event ${seq} was seen and is gone or changed`)
    }
  }
  for (const { fault } of readLines<{ fault: string }>(dataDir, 'faults.jsonl')) violate(fault)
}

/** Nothing seen is lost, runs stand one after the other, every call has its result where the run went well; and all go on. */
async function checkConversations(server: LiveServer, observations: Observations): Promise<void> {
  const { violate } = observations
  const conversations = await listAll<{ id: string }>(server, '/v1/conversations?limit=100')
  const statuses = new Map((await listRuns(server)).map(({ id, status }) => [id, status]))
  for (const { id } of conversations) {
    const items = await readItems(server, id)
    observations.seeItems(id, items)
    const runs = items.map(({ run_id }) => run_id).filter((run, i, all) => run !== all[i - 1])
    if (new Set(runs).size !== runs.length) violate(`${id}: runs stand among each other`)
    for (const run of runs) {
      const own = items.filter(({ run_id }) => run_id === run)
      const ids = own.map((item) => item.id)
      if (new Set(ids).size !== ids.length) violate(`${id}: ${run} has an item twice`)
      if (statuses.get(run) !== 'completed') continue
      const fault = pairingFault(own)
      if (fault !== undefined) violate(`${id}: ${run}: ${fault}`)
    }
    // To this number the model never fails.
    const body = { input: '0', conversation_id: id }
    const next = await send(server, { path: '/v1/agents/talker/runs', body })
    if (next.json.status !== 'completed') {
      violate(`${id} cannot be continued: ${next.status} ${JSON.stringify(next.json)}`)
    }
  }
  for (const id of observations.conversations.keys()) {
    if (!conversations.some((one) => one.id === id)) violate(`${id} is gone`)
  }
}

/** What no client can see: the file is whole, nothing is held by runs that have ended, nothing waits for a person. */
function checkDatabase(dataDir: string, { violate }: Observations): void {
  const db = new Database(join(dataDir, 'parley.db'))
  try {
    const integrity: unknown = db.pragma('integrity_check', { simple: true })
    if (integrity !== 'ok') violate(`integrity_check: ${String(integrity)}`)
    const count = (sql: string) => db.prepare<[], number>(sql).pluck().get() ?? 0
    const held = count('SELECT count(*) FROM conversations WHERE holder_run_id IS NOT NULL')
    if (held > 0) violate(`${held} conversations are held though every run has ended`)
    const pending = count(`SELECT count(*) FROM approvals WHERE status = 'pending'`)
    if (pending > 0) violate(`${pending} approvals are pending though every run has ended`)
  } finally {
    db.close()
  }
}

function toReport(input: {
  options: ChaosOptions
  observations: Observations
  logs: Logs
  states: ReadonlyMap<string, StoredState>
  generations: readonly Generation[]
  dataDir: string
  seconds: number
}): ChaosReport {
  const { observations, logs, generations } = input
  const events = [...logs.values()].map((frames) => frames.map(({ event }) => event))
  const ends = events.map((log) => log.at(-1)).filter((event) => event?.type === 'run.end')
  const withStatus = (status: string) => ends.filter((end) => end.status === status).length
  const failures: Record<string, number> = {}
  for (const { status, error } of ends) {
    if (status === 'failed' && error) failures[error.code] = (failures[error.code] ?? 0) + 1
  }
  const asked = events.flat().flatMap((event) => (event.type === 'run.suspend' ? event.approvals : []))
  const rescues = events.flatMap(rescuesOf)
  const killed = generations.filter(({ killedAt }) => killedAt !== undefined)
  return {
    seed: input.options.seed,
    kills: killed.length,
    killsDuringStart: killed.filter(({ readyAt }) => readyAt === undefined).length,
    seconds: Math.round(input.seconds),
    runs: {
      stored: logs.size,
      accepted: observations.accepted.size,
      completed: withStatus('completed'),
      failed: withStatus('failed'),
      cancelled: withStatus('cancelled'),
    },
    failures,
    toolExecutions: readLines(input.dataDir, 'calls.jsonl').length,
    rescues: rescues.length,
    approvals: {
      policy: asked.filter(({ reason }) => reason === 'policy').length,
      outcomeUnknown: asked.filter(({ reason }) => reason === 'outcome_unknown').length,
      question: asked.filter(({ reason }) => reason === 'question').length,
    },
    work: countWork(input.states.values(), events.flat()),
    recoveryMs: recoveryOf(rescues, generations),
    violations: [...observations.violations],
  }
}

function recoveryOf(
  rescues: readonly number[],
  generations: readonly Generation[],
): ChaosReport['recoveryMs'] {
  const fromReady: number[] = []
  const fromProcessStart: number[] = []
  for (const at of rescues) {
    const generation = generations.findLast(({ startedAt }) => startedAt <= at)
    if (!generation) continue
    fromProcessStart.push(at - generation.startedAt)
    if (generation.readyAt !== undefined) fromReady.push(Math.max(0, at - generation.readyAt))
  }
  return { fromReady: percentiles(fromReady), fromProcessStart: percentiles(fromProcessStart) }
}

function percentiles(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}
