import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import type { Agent } from '../../src/agent/definitions.ts'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import type { Item } from '../../src/items.ts'
import { scriptedModel, type ScriptedTurn } from '../../src/models/scripted.ts'
import { migrationNames } from '../../src/store/migrations/migration-names.ts'
import { openWritable } from '../../src/store/sqlite/database.ts'
import { migrate, migrationStatus } from '../../src/store/sqlite/migrate.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { eventsOfType, startEngine, transcript, type EngineUnderTest } from '../agent/engine-under-test.ts'
import { dataFile } from './data-folder.ts'

/*
 * `data-of-001.sql` is what a program of the first schema left that was killed: a conversation of two runs with a third that waits
 * for an approval and a fourth that waits for the third; a run whose `read` was at work, and one whose `write` was.
 */

const long = 10 ** 12

function readOldData(): string {
  return readFileSync(new URL('data-of-001.sql', import.meta.url), 'utf8')
}

/** A data file as that program left it. */
function oldFile(): string {
  const path = dataFile()
  const db = new Database(path)
  db.exec(readOldData())
  db.close()
  return path
}

/** Back to the first schema: later migrations only add to what this one made. */
async function downToFirst(path: string): Promise<void> {
  for (const name of migrationNames.slice(1).toReversed()) expect(await migrate(path, 'down')).toEqual([name])
}

/** The agent that made it, as far as it is asked for. */
function oldAgent(executed: string[]): Agent {
  const named = (name: string, effect: 'read' | 'write', approval?: 'required') =>
    tool({
      name,
      description: name,
      effect,
      ...(approval ? { approval } : {}),
      input: z.object({ at: z.string().optional(), to: z.string().optional() }),
      execute: ({ at, to }) => {
        executed.push(`${name} ${at ?? to}`)
        return `${name} ${at ?? to} now`
      },
    })
  return agent({
    name: 'assistant',
    model: scriptedModel((request) => transcript(request).slice(-3).join(' | ')),
    tools: [named('look', 'read'), named('send', 'write', 'required'), named('write', 'write')],
  })
}

/** Runs by the text of their input. */
async function runIds(path: string): Promise<Record<string, string>> {
  const db = new Database(path, { readonly: true })
  const rows = db.prepare('SELECT run_id, item FROM items WHERE step IS NULL').all() as {
    run_id: string
    item: string
  }[]
  db.close()
  return Object.fromEntries(rows.map(({ run_id, item }) => [textOf(JSON.parse(item) as Item), run_id]))
}

function textOf(item: Item): string {
  return transcript({ items: [item] })[0]?.replace(/^\w+: /, '') ?? ''
}

test('a file of the first schema opens: what was queued, suspended and running in it goes on', async () => {
  const path = oldFile()
  const executed: string[] = []
  const ids = await runIds(path)
  const engine = await startEngine({
    agents: [oldAgent(executed)],
    dataDir: dirname(path),
    runLogRetentionMs: long,
  })
  expect(migrationStatus(path).every(({ applied }) => applied)).toBe(true)
  const run = (input: string) => engine.load({ id: ids[input]! })

  const read = await engine.settled(await run('look slowly'))
  expect(read).toMatchObject({ status: 'completed', attempt: 2, active_agent: null, spent: null })
  expect(await engine.text(read)).toBe('call look {"at":"slow"} | result saw quick | result look slow now')

  const write = await engine.settled(await run('write slowly'))
  expect(write.status).toBe('suspended')
  const [again] = await engine.runs.pendingApprovals(write)
  expect(again).toMatchObject({ tool: 'write', reason: 'outcome_unknown', question: null })
  await engine.approvals.decide(anonymous, again!.id, { decision: 'reject' })
  expect(await engine.settled(write)).toMatchObject({ status: 'completed' })

  const sent = await run('send it')
  const [asked] = await engine.runs.pendingApprovals(sent)
  expect(asked).toMatchObject({ tool: 'send', reason: 'policy', question: null, status: 'pending' })
  await engine.approvals.decide(anonymous, asked!.id, { decision: 'approve' })
  expect(await engine.settled(sent)).toMatchObject({ status: 'completed' })
  const waited = await engine.settled(await run('what was sent?'))
  expect(waited).toMatchObject({ status: 'completed', parent_run_id: sent.id })
  expect(await engine.text(waited)).toContain('result send bob now')
  // What had its result was not done again, what a person refused not at all.
  expect(executed.toSorted()).toEqual(['look slow', 'send bob'])

  const history = await engine.store.items.history({ run_id: waited.id, max_runs: 10, max_bytes: 10_000 })
  expect(transcript({ items: history.items.map(({ item }) => item) }).slice(0, 4)).toEqual([
    'user: hello',
    'assistant: I begin.',
    'user: look around',
    'assistant: I begin.',
  ])
  expect(history.items.every(({ parent_call_id }) => parent_call_id === null)).toBe(true)
})

test('up keeps every row, and gives the new columns nothing', async () => {
  const path = oldFile()
  const before = readTables(path)
  // Nothing reads it: it goes up, and comes back empty.
  for (const row of before.tool_ledger ?? []) delete row.input_hash
  expect(await migrate(path, 'up')).toEqual(migrationNames.slice(1))
  const after = readTables(path)
  for (const [table, rows] of Object.entries(before)) {
    if (table.startsWith('schema_migration')) continue
    expect(after[table], table).toEqual(rows.map((row) => expect.objectContaining(row) as unknown))
  }
  expect(after.runs?.every((row) => row.active_agent === null && row.spent === null)).toBe(true)
  await downToFirst(path)
  for (const row of before.tool_ledger ?? []) row.input_hash = ''
  expect(readTables(path)).toEqual(before)
  expect(schemaOf(path)).toEqual(schemaOf(oldFile()))
})

/** Agents of every new kind on one run that waits: for an approval of a served agent, and for an answer. */
function team(executed: string[]): Agent[] {
  const note = (name: string, approval?: 'required', question?: string) =>
    tool({
      name,
      description: name,
      effect: 'idempotent',
      ...(approval ? { approval } : {}),
      async execute(_input, context) {
        const answer = question === undefined ? undefined : await context.ask({ message: question })
        executed.push(name)
        return answer?.action === 'accept' ? String(answer.content) : name
      },
    })
  const once =
    (calls: string[], answer: string) =>
    (request: { items: readonly Item[] }): ScriptedTurn =>
      request.items.some((item) => item.type === 'tool_result')
        ? { text: answer }
        : { toolCalls: calls.map((name) => ({ name, arguments: name === 'helper' ? { task: 'help' } : {} })) }
  const helper = agent({
    name: 'helper',
    model: scriptedModel(once(['free', 'gated'], 'Helped.')),
    tools: [note('free'), note('gated', 'required')],
  })
  const worker = agent({
    name: 'worker',
    model: scriptedModel(once(['helper', 'asking'], 'All done.')),
    planning: { every: 5, model: scriptedModel(() => 'First ask.') },
    tools: [helper.asTool(), note('asking', undefined, 'Which day?')],
  })
  return [
    agent({
      name: 'assistant',
      model: scriptedModel(once(['asking'], 'Front is done.')),
      specialists: [{ agent: worker, keywords: ['work'] }],
      tools: [note('asking', undefined, 'Which day?')],
    }),
    agent({
      name: 'former',
      model: scriptedModel((request) => (request.items.length > 1 ? '{"count":1}' : 'one')),
      output: z.object({ count: z.number() }),
    }),
  ]
}

async function decideAll(engine: EngineUnderTest, run: { id: string }): Promise<string[]> {
  const reasons: string[] = []
  for (const { id, reason, question } of await engine.runs.pendingApprovals(await engine.load(run))) {
    reasons.push(reason)
    await engine.approvals.decide(
      anonymous,
      id,
      question ? { decision: 'answer', answer: 'Monday' } : { decision: 'approve' },
    )
  }
  return reasons.toSorted()
}

test('down loses what it says and no more; what waited can be decided and goes on', async () => {
  const path = dataFile()
  const dataDir = dirname(path)
  const executed: string[] = []
  // Made first, so that it is of this folder.
  await (await openSqliteStore({ path })).close()
  const first = await startEngine({ agents: team(executed), dataDir })
  const formed = (await first.finish({ agent: 'former', conversation: { session: 's' } })).run
  expect(formed.output_parsed).toEqual({ count: 1 })
  const front = (await first.finish({ input: 'hello', conversation: { session: 't' } })).run
  await decideAll(first, front)
  await first.settled(front)
  const waiting = (await first.finish({ input: 'work', conversation: { session: 's' } })).run
  expect(waiting).toMatchObject({ status: 'suspended', active_agent: 'worker', plan: 'First ask.' })
  await first.stop()
  const before = readTables(path)
  expect(executed).toEqual(['asking', 'free'])

  await downToFirst(path)
  expect(schemaOf(path)).toEqual(schemaOf(oldFile()))
  const after = readTables(path)
  expect(after.runs?.length).toBe(before.runs?.length)
  expect(after.items?.length).toBe(before.items?.length)
  expect(after.run_log).toEqual(before.run_log)
  const served = before.items!.filter(({ parent_call_id }) => parent_call_id !== null)
  expect(served).toHaveLength(3)
  for (const item of after.items!) {
    const { type } = JSON.parse(String(item.item)) as Item
    const isServed = served.some(({ item_id }) => item_id === item.item_id)
    expect(item.void, String(item.item)).toBe(isServed || type === 'note' ? 1 : 0)
  }
  // The calls of the run's own stay in the ledger.
  expect(before.tool_ledger).toHaveLength(4)
  expect(after.tool_ledger).toHaveLength(3)
  expect(after.approvals?.map(({ tool: name, reason, status }) => [name, reason, status]).toSorted()).toEqual(
    [
      ['asking', 'outcome_unknown', 'approved'],
      ['asking', 'outcome_unknown', 'pending'],
      ['gated', 'policy', 'pending'],
    ],
  )

  await migrate(path, 'up')
  const second = await startEngine({ agents: team(executed), dataDir })
  expect((await second.load(formed)).output_parsed).toBeNull()
  expect(await decideAll(second, waiting)).toEqual(['outcome_unknown', 'policy'])
  // It starts anew with the agent that was called and is routed again.
  let run = await second.settled(waiting)
  for (let rounds = 0; run.status === 'suspended' && rounds < 3; rounds++) {
    await decideAll(second, run)
    run = await second.settled(run)
  }
  expect(run).toMatchObject({ status: 'completed', active_agent: 'worker' })
  expect(await second.text(run)).toBe('All done.')
  expect(eventsOfType(await second.events(run), 'run.end')).toHaveLength(1)
})

type Row = Record<string, unknown>

function readTables(path: string): Record<string, Row[]> {
  const db = openWritable(path)
  const tables = db
    .prepare<[], string>("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    .pluck()
    .all()
  const rows = Object.fromEntries(
    tables.map((table) => [table, db.prepare<[], Row>(`SELECT * FROM "${table}" ORDER BY 1, 2`).all()]),
  )
  db.close()
  delete rows.schema_migration
  return rows
}

/** Every table and index by name, however they came to be: `ALTER TABLE` writes other spaces. */
function schemaOf(path: string): Record<string, string> {
  const db = openWritable(path)
  const rows = db
    .prepare<[], { name: string; sql: string }>(
      'SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name',
    )
    .all()
  db.close()
  return Object.fromEntries(rows.map(({ name, sql }) => [name, sql.replaceAll(/\s+/g, ' ').toLowerCase()]))
}
