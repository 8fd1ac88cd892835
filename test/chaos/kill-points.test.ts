import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, test, type TestContext } from 'vitest'
import type { EventOf, EventType } from '../../src/events.ts'
import type { Frame } from '../runs/frame-client.ts'
import { readFrames } from '../runs/frame-client.ts'
import { readWhole } from '../runs/run-readers.ts'
import type { ModelLine } from './kill-point-agents.ts'
import { readCalls, readLines, startServerProcess, type ServerProcess } from './server-process.ts'

/*
 * A real process dies by SIGKILL at a place where a model or a tool stands still, another goes on with its data. What each of
 * them did the models and tools wrote down themselves.
 */

interface Ended {
  run: Record<string, unknown>
  frames: Frame[]
}

/** A data folder and the processes that work on it, one after the other. */
interface Lives {
  /** Ends the process there is at once, and starts the next. */
  next(standsAt?: string): Promise<void>
  /** Starts a run of that agent in the background. */
  create(agent: string, body?: object): Promise<string>
  /** Resolves when the process stands at this place. */
  held(place: string): Promise<void>
  process(): ServerProcess
  /** What is asked of people, once the run waits. */
  suspension(runId: string, after?: number): Promise<EventOf<'run.suspend'>>
  /** The run and its whole log, once it has ended. */
  ended(runId: string): Promise<Ended>
  /** How often a model was asked, by the names of its calls. */
  asked(): Record<string, number>
  executions(tool: string): ReturnType<typeof readCalls>
  query<T>(sql: string, ...values: unknown[]): T[]
}

describe.concurrent('a server killed', { timeout: 60_000 }, () => {
  test('while a model routes asks it again, and never once its choice is committed', async (context) => {
    const { expect } = context
    const lives = await begin(context, 'router chooses')
    const runId = await lives.create('router')
    await lives.held('router chooses')
    await lives.next('billing answers')
    await lives.held('billing answers')
    await lives.next()
    const { run, frames } = await lives.ended(runId)
    expect(run).toMatchObject({ status: 'completed', output: 'It is paid.', active_agent: 'billing' })
    expect(eventsOf(frames, 'agent.switch')).toMatchObject([{ from: 'router', to: 'billing', why: 'model' }])
    expect(lives.asked()).toEqual({ 'router chooses': 2, 'billing answers': 2 })
    // What the choice used up and what the answer did: each once.
    const [answer] = eventsOf(frames, 'step.end')
    expect(run.usage).toMatchObject({ total_tokens: answer!.usage!.total_tokens + 1000 })
    expectOneEnd(expect, frames)
  })

  test('while it plans plans again, and keeps a plan that was committed', async (context) => {
    const { expect } = context
    const lives = await begin(context, 'planner plans')
    const runId = await lives.create('planner')
    await lives.held('planner plans')
    await lives.next('planner answers')
    await lives.held('planner answers')
    await lives.next()
    const { run, frames } = await lives.ended(runId)
    expect(run).toMatchObject({ status: 'completed', plan: 'First this, then that.' })
    expect(eventsOf(frames, 'plan.update')).toMatchObject([{ plan: run.plan, updated: false }])
    expect(lives.asked()).toEqual({ 'planner plans': 2, 'planner answers': 2 })
    expectOneEnd(expect, frames)
  })

  test('before and after it committed a transfer makes that once, and goes on as the other agent', async (context) => {
    const { expect } = context
    const lives = await begin(context, 'note')
    const runId = await lives.create('first')
    await lives.held('note')
    await lives.next('second answers')
    await lives.held('second answers')
    await lives.next()
    const { run, frames } = await lives.ended(runId)
    expect(run).toMatchObject({ status: 'completed', output: 'I am second.', active_agent: 'second' })
    expect(eventsOf(frames, 'agent.switch')).toMatchObject([{ from: 'first', to: 'second' }])
    expect(eventsOf(frames, 'tool.end')).toHaveLength(2)
    expect(lives.asked()).toEqual({ 'first calls': 1, 'second answers': 2 })
    expect(keysOf(lives.executions('note'))).toHaveLength(1)
    expect(lives.executions('note')).toHaveLength(2)
    expectOneEnd(expect, frames)
  })

  test('at any place in the work of an agent that serves as a tool goes on there', async (context) => {
    const { expect } = context
    const lives = await begin(context, 'researcher calls')
    const runId = await lives.create('writer')
    const stops = ['researcher calls', 'search', 'researcher answers', 'researcher is done']
    for (const [i, place] of stops.entries()) {
      await lives.held(place)
      await lives.next(stops[i + 1])
    }
    const { run, frames } = await lives.ended(runId)
    expect(run).toMatchObject({ status: 'completed', output: 'writer is done.', steps: 2 })
    expect(lives.asked()).toEqual({
      'writer calls': 1,
      'researcher calls': 2,
      'researcher answers': 2,
      'writer answers': 1,
    })
    expect(lives.executions('search')).toHaveLength(2)
    expect(keysOf(lives.executions('search'))).toHaveLength(1)
    expect(eventsOf(frames, 'tool.end')).toMatchObject([{ output: 'researcher is done.' }])
    const states = lives.query<{ state: string }>('SELECT state FROM tool_ledger WHERE run_id = ?', runId)
    expect(states).toEqual([{ state: 'committed' }, { state: 'committed' }])
    expectOneEnd(expect, frames)
  })

  test('while a model corrects its answer does not ask for the first one again', async (context) => {
    const { expect } = context
    const lives = await begin(context, 'counter corrects')
    const runId = await lives.create('counter')
    await lives.held('counter corrects')
    await lives.next()
    const { run, frames } = await lives.ended(runId)
    expect(run).toMatchObject({ status: 'completed', output: '{"count":3}', output_parsed: { count: 3 } })
    expect(lives.asked()).toEqual({ 'counter answers': 1, 'counter corrects': 2 })
    const notes = lives.query(
      `SELECT 1 FROM items WHERE run_id = ? AND item LIKE '%"kind":"correction"%'`,
      runId,
    )
    expect(notes).toHaveLength(1)
    expectOneEnd(expect, frames)
  })

  test('while a question waits keeps it; while the tool runs again keeps the answer', async (context) => {
    const { expect } = context
    const lives = await begin(context)
    const runId = await lives.create('booker')
    const asked = await lives.suspension(runId)
    expect(asked.approvals).toMatchObject([{ reason: 'question', question: { message: 'Which day?' } }])
    await lives.next('book')
    const { id } = asked.approvals[0]!
    expect(await lives.process().decide(id, 'approve')).toBe('invalid_request')
    expect(await lives.process().decide(id, { decision: 'answer', answer: 'Monday' })).toBeNull()
    await lives.held('book')
    await lives.next()
    const { run, frames } = await lives.ended(runId)
    expect(run).toMatchObject({ status: 'completed', output: 'booker is done.' })
    expect(eventsOf(frames, 'run.suspend')).toHaveLength(1)
    expect(eventsOf(frames, 'approval.resolve')).toMatchObject([{ decision: 'answer', answer: 'Monday' }])
    expect(eventsOf(frames, 'tool.end')).toMatchObject([{ output: 'book: Monday' }])
    expect(lives.asked()).toEqual({ 'booker calls': 1, 'booker answers': 1 })
    expect(keysOf(lives.executions('book'))).toHaveLength(1)
    expect(await lives.process().decide(id, { decision: 'answer', answer: 'Friday' })).toBe(
      'approval_decided',
    )
    expectOneEnd(expect, frames)
  })

  test('while a write runs behind its answer asks whether it may run again, and gives it the same answer', async (context) => {
    const { expect } = context
    const lives = await begin(context, 'pay')
    const runId = await lives.create('payer')
    const asked = await lives.suspension(runId)
    const answer = { decision: 'answer', answer: '5' } as const
    expect(await lives.process().decide(asked.approvals[0]!.id, answer)).toBeNull()
    await lives.held('pay')
    await lives.next()
    const again = await lives.suspension(runId, asked.seq)
    expect(again.approvals).toMatchObject([{ tool: 'pay', reason: 'outcome_unknown' }])
    expect(lives.executions('pay')).toHaveLength(1)
    expect(await lives.process().decide(again.approvals[0]!.id, 'approve')).toBeNull()
    const { run, frames } = await lives.ended(runId)
    expect(run).toMatchObject({ status: 'completed' })
    expect(eventsOf(frames, 'tool.end')).toMatchObject([{ output: 'pay: 5' }])
    expect(lives.executions('pay')).toHaveLength(2)
    expect(keysOf(lives.executions('pay'))).toHaveLength(1)
    expectOneEnd(expect, frames)
  })

  test('while it summarises does that again, and once only where the summary is committed', async (context) => {
    const { expect } = context
    const lives = await begin(context, 'chatter summarises')
    for (const _turn of [1, 2]) await lives.ended(await lives.create('chatter', { session_id: 'long' }))
    const runId = await lives.create('chatter', { session_id: 'long' })
    await lives.held('chatter summarises')
    await lives.next('chatter answers behind a summary')
    await lives.held('chatter answers behind a summary')
    await lives.next()
    const { run, frames } = await lives.ended(runId)
    expect(run).toMatchObject({ status: 'completed', output: 'Hello again.' })
    expect(lives.asked()).toEqual({
      'chatter answers': 2,
      'chatter summarises': 2,
      'chatter answers behind a summary': 2,
    })
    const notes = lives.query(
      `SELECT 1 FROM items WHERE run_id = ? AND item LIKE '%"kind":"summary"%'`,
      runId,
    )
    expect(notes).toHaveLength(1)
    expectOneEnd(expect, frames)
  })

  test('while the second model answers begins the step anew, and shows what is void', async (context) => {
    const { expect } = context
    const lives = await begin(context, 'good answers')
    const runId = await lives.create('faller')
    await lives.held('good answers')
    await lives.next()
    const { run, frames } = await lives.ended(runId)
    expect(run).toMatchObject({ status: 'completed', output: 'I answer.', steps: 1 })
    expect(eventsOf(frames, 'step.retry').map(({ reason }) => reason)).toEqual([
      'model_refused',
      'node_lost',
      'model_refused',
    ])
    expect(lives.asked()).toEqual({ 'poor answers': 2, 'good answers': 2 })
    expect(eventsOf(frames, 'step.end')).toHaveLength(1)
    expectOneEnd(expect, frames)
  })
})

/** Starts on a folder of its own; the process stands still at one place only. */
async function begin(context: TestContext, standsAt?: string): Promise<Lives> {
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-kill-points-'))
  let process: ServerProcess | undefined
  let url = ''
  context.onTestFinished(async () => {
    await process?.kill()
    await rm(dataDir, { recursive: true, force: true })
  })
  const current = () => {
    if (!process) throw new Error('no process was started')
    return process
  }
  const next = async (place?: string) => {
    await process?.kill()
    const released = places.filter((one) => one !== place)
    process = startServerProcess({ dataDir, program: 'embedded', released })
    url = await process.listening
  }
  await next(standsAt)
  return {
    next,
    process: current,
    held: (place) => current().held(place),
    async create(agent, body = {}) {
      const run = await fetchJson(`${url}/v1/agents/${agent}/runs`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ input: 'hello', background: true, ...body }),
      })
      return String(run.id)
    },
    async suspension(runId, after = 0) {
      const path = `/v1/runs/${runId}/events?after=${after}`
      const event = (await readFrames({ url, path })).frames.at(-1)?.event
      if (event?.type !== 'run.suspend') throw new Error(`not suspended: ${JSON.stringify(event)}`)
      return event
    },
    async ended(runId) {
      const frames = await readWhole({ url, runId })
      return { run: await fetchJson(`${url}/v1/runs/${runId}`), frames }
    },
    asked() {
      const times: Record<string, number> = {}
      for (const { call } of readLines<ModelLine>(dataDir, 'models.jsonl'))
        times[call] = (times[call] ?? 0) + 1
      return times
    },
    executions: (tool) => readCalls(dataDir).filter((line) => line.tool === tool),
    query<T>(sql: string, ...values: unknown[]) {
      const db = new Database(join(dataDir, 'parley.db'), { readonly: true })
      try {
        return db.prepare(sql).all(...values) as T[]
      } finally {
        db.close()
      }
    },
  }
}

const places = [
  'router chooses',
  'billing answers',
  'planner plans',
  'planner answers',
  'first calls',
  'note',
  'second answers',
  'writer calls',
  'writer answers',
  'researcher calls',
  'researcher answers',
  'researcher is done',
  'search',
  'counter answers',
  'counter corrects',
  'booker calls',
  'booker answers',
  'book',
  'payer calls',
  'payer answers',
  'pay',
  'chatter answers',
  'chatter summarises',
  'chatter answers behind a summary',
  'poor answers',
  'good answers',
]

async function fetchJson(url: string, init?: RequestInit): Promise<Record<string, unknown>> {
  const response = await fetch(url, init)
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  return (await response.json()) as Record<string, unknown>
}

function eventsOf<T extends EventType>(frames: readonly Frame[], type: T): EventOf<T>[] {
  return frames.map(({ event }) => event).filter((event) => event.type === type) as EventOf<T>[]
}

function keysOf(calls: ReturnType<typeof readCalls>): string[] {
  return [...new Set(calls.map(({ key }) => key))]
}

function expectOneEnd(expect: TestContext['expect'], frames: readonly Frame[]): void {
  expect(eventsOf(frames, 'run.end')).toHaveLength(1)
  expect(frames.at(-1)?.event.type).toBe('run.end')
}
