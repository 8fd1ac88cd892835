import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { attemptGap, type EventOf, type EventType } from '../../src/events.ts'
import type { Item } from '../../src/items.ts'
import type { PuppetPlan, PuppetTool } from '../chaos/puppet-agent.ts'
import {
  readCalls,
  startServerProcess,
  type ServerProcess,
  type ServerProcessOptions,
} from '../chaos/server-process.ts'
import { readFrames, type Frame } from './frame-client.ts'
import { readWhole } from './run-readers.ts'

let dataDir: string
const processes: ServerProcess[] = []

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'parley-recovery-'))
})
afterEach(async () => {
  await Promise.all(processes.splice(0).map((process) => process.kill()))
  await rm(dataDir, { recursive: true, force: true })
})

describe('a server killed while it streams a reply', () => {
  test('asks the model again, and its reader sees what was committed unchanged, a jump, and why', async () => {
    const first = await start('cli')
    const runId = await create(first, {
      steps: [
        { text: ['I ', 'look.'], calls: [{ tool: 'read', id: 'a' }] },
        { text: ['one ', 'two ', 'three ', 'four'], holdAt: { delta: 3, name: 'mid-reply' } },
      ],
    })
    const seen = await readUntilCut(first, runId, async (frames) => {
      await first.process.held('mid-reply')
      await until(() => typesOf(frames).filter((type) => type === 'text.delta').length === 5)
      await first.process.kill()
    })
    const committed = seen.slice(0, seen.findLastIndex(({ event }) => event.type === 'tool.end') + 1)
    expect(typesOf(seen.slice(committed.length))).toEqual([
      'step.start',
      'text.start',
      ...Array<string>(3).fill('text.delta'),
    ])

    const second = await start('cli', { released: ['mid-reply'] })
    const resumed = await readAfter(second, runId, seen.at(-1)!.seq)
    const [begin, retry] = resumed
    expect(begin?.event).toMatchObject({ type: 'run.start', attempt: 2 })
    expect(begin?.seq).toBe(committed.at(-1)!.seq + attemptGap)
    expect(retry?.event).toMatchObject({ type: 'step.retry', step: 1, reason: 'node_lost' })
    expect(textOf(resumed)).toBe('one two three four')
    expect(resumed.at(-1)?.event).toMatchObject({ type: 'run.end', status: 'completed' })
    expectGaplessAttempts(resumed)
    expect(bytesOf(await readWhole({ url: second.url, runId }))).toEqual(bytesOf([...committed, ...resumed]))
    expect(callsOf('a')).toHaveLength(1)
    const recoveryMs = Date.parse((begin!.event as EventOf<'run.start'>).at) - second.process.startedAt
    // The claim is that it takes less than a second from the start on; a busy machine gets more.
    expect(recoveryMs).toBeLessThan(10_000)
  })

  test('brings back a run of one step that had committed nothing but its start', async () => {
    const first = await start('cli')
    const runId = await create(first, {
      steps: [{ text: ['a', 'b'], holdAt: { delta: 1, name: 'early' } }],
    })
    await first.process.held('early')
    await first.process.kill()
    const second = await start('cli', { released: ['early'] })
    const frames = await readWhole({ url: second.url, runId })
    expect(typesOf(frames)).toEqual([
      'run.start',
      'run.start',
      'step.retry',
      'step.start',
      'text.start',
      'text.delta',
      'text.delta',
      'text.end',
      'step.end',
      'run.end',
    ])
    expect(frames.map(({ seq }) => seq).slice(0, 3)).toEqual([1, 1 + attemptGap, 2 + attemptGap])
  })
})

describe('a server killed between the commit of a reply and the start of its tool', () => {
  test.each(['read', 'idempotent'] as const)('runs a %s tool, once', async (tool) => {
    const first = await start('cli')
    const runId = await create(first, { steps: [{ calls: [{ tool, id: 'a', holdBefore: 'claimed' }] }] })
    await first.process.held('claimed')
    await first.process.kill()
    expect(callsOf('a')).toHaveLength(0)

    const second = await start('cli', { released: ['claimed'] })
    const frames = await readWhole({ url: second.url, runId })
    expect(frames.at(-1)?.event).toMatchObject({ type: 'run.end', status: 'completed' })
    expect(typesOf(frames)).not.toContain('step.retry')
    expect(callsOf('a')).toHaveLength(1)
  })

  test('asks a person about a write, because it cannot know that it did not start', async () => {
    const first = await start('embedded')
    const runId = await create(first, {
      steps: [{ calls: [{ tool: 'write', id: 'a', holdBefore: 'claimed' }] }],
    })
    await first.process.held('claimed')
    await first.process.kill()

    const second = await start('embedded', { released: ['claimed'] })
    const suspension = await readToSuspension(second, runId)
    expect(suspension.approvals).toMatchObject([{ tool: 'write', reason: 'outcome_unknown' }])
    expect(callsOf('a')).toHaveLength(0)
    expect(await second.process.decide(suspension.approvals[0]!.id, 'approve')).toBeNull()
    const frames = await readAfter(second, runId, suspension.seq)
    expect(frames.at(-1)?.event).toMatchObject({ type: 'run.end', status: 'completed' })
    expect(callsOf('a')).toHaveLength(1)
  })
})

describe('a server killed while one of two parallel calls has its result and the other does not', () => {
  const plan = (tool: PuppetTool): PuppetPlan => ({
    steps: [
      {
        calls: [
          { tool: 'write', id: 'done' },
          { tool, id: 'open', holdAfter: 'started' },
        ],
      },
    ],
  })
  /** Kills a server when the result of `done` is committed, seen by a reader, and `open` has started. */
  const killBetween = async (tool: PuppetTool, program: ServerProcessOptions['program']) => {
    const first = await start(program)
    const runId = await create(first, plan(tool))
    const seen = await readUntilCut(first, runId, async (frames) => {
      await first.process.held('started')
      await until(() => typesOf(frames).includes('tool.end'))
      await first.process.kill()
    })
    expect(typesOf(seen).filter((type) => type === 'tool.end')).toHaveLength(1)
    return { runId, seen }
  }

  test.each(['read', 'idempotent'] as const)(
    'runs a %s again under the same key, and never the one that was committed',
    async (tool) => {
      const { runId, seen } = await killBetween(tool, 'cli')
      const second = await start('cli', { released: ['started'] })
      const frames = await readAfter(second, runId, seen.at(-1)!.seq)
      expect(typesOf(frames).slice(0, 2)).toEqual(['run.start', 'tool.end'])
      expect(frames.at(-1)?.event).toMatchObject({ type: 'run.end', status: 'completed' })
      expect(callsOf('done')).toHaveLength(1)
      const [before, after, ...more] = callsOf('open')
      expect(more).toEqual([])
      expect(after).toMatchObject({ key: before!.key, run: runId })
      expect(before!.key).not.toBe(callsOf('done')[0]!.key)
      expectPaired(await second.process.lastRequest())
    },
  )

  test('makes a write an approval, and runs it again only when that is given', async () => {
    const { runId } = await killBetween('write', 'embedded')
    const second = await start('embedded', { released: ['started'] })
    const suspension = await readToSuspension(second, runId)
    expect(suspension.approvals).toMatchObject([{ arguments: { id: 'open' }, reason: 'outcome_unknown' }])
    expect(callsOf('open')).toHaveLength(1)
    expect(await second.process.decide(suspension.approvals[0]!.id, 'approve')).toBeNull()
    const frames = await readAfter(second, runId, suspension.seq)
    expect(frames.at(-1)?.event).toMatchObject({ type: 'run.end', status: 'completed' })
    expect(callsOf('done')).toHaveLength(1)
    const [before, after, ...more] = callsOf('open')
    expect(more).toEqual([])
    expect(after!.key).toBe(before!.key)
  })

  test('tells the model that a rejected write may have taken effect, and does not run it', async () => {
    const { runId } = await killBetween('write', 'embedded')
    const second = await start('embedded', { released: ['started'] })
    const suspension = await readToSuspension(second, runId)
    expect(await second.process.decide(suspension.approvals[0]!.id, 'reject')).toBeNull()
    const frames = await readAfter(second, runId, suspension.seq)
    const result = frames.find(({ event }) => event.type === 'tool.end')?.event as EventOf<'tool.end'>
    expect(result).toMatchObject({ error: { code: 'outcome_unknown' } })
    expect(result.output).toContain('may have taken effect')
    expect(callsOf('open')).toHaveLength(1)
    expect(callsOf('done')).toHaveLength(1)
    expectPaired(await second.process.lastRequest())
  })

  test('asks again when the approved second try is killed as well: an approval is good for one start', async () => {
    const { runId } = await killBetween('write', 'embedded')
    const second = await start('embedded')
    const asked = await readToSuspension(second, runId)
    expect(await second.process.decide(asked.approvals[0]!.id, 'approve')).toBeNull()
    await second.process.held('started')
    await second.process.kill()

    const third = await start('embedded', { released: ['started'] })
    const askedAgain = await readToSuspension(third, runId, asked.seq)
    expect(askedAgain.approvals).toMatchObject([{ reason: 'outcome_unknown' }])
    expect(askedAgain.approvals[0]!.id).not.toBe(asked.approvals[0]!.id)
    expect(callsOf('open')).toHaveLength(2)
    expect(await third.process.decide(askedAgain.approvals[0]!.id, 'reject')).toBeNull()
    expect((await readAfter(third, runId, askedAgain.seq)).at(-1)?.event).toMatchObject({
      type: 'run.end',
      status: 'completed',
    })
    expect(callsOf('open')).toHaveLength(2)
  })
})

describe('a server killed while a run does not run', () => {
  test('keeps a suspended run and its approval, to be decided afterwards', async () => {
    const first = await start('embedded')
    const runId = await create(first, { steps: [{ calls: [{ tool: 'gated', id: 'a' }] }] })
    const asked = await readToSuspension(first, runId)
    await first.process.kill()

    const second = await start('embedded')
    const run = await getJson(second, `/v1/runs/${runId}`)
    expect(run).toMatchObject({ status: 'suspended', approvals: asked.approvals })
    expect(callsOf('a')).toHaveLength(0)
    expect(await second.process.decide(asked.approvals[0]!.id, 'approve')).toBeNull()
    const frames = await readAfter(second, runId, asked.seq)
    expect(typesOf(frames).slice(0, 3)).toEqual(['approval.resolve', 'run.start', 'tool.end'])
    expect(frames.at(-1)?.event).toMatchObject({ type: 'run.end', status: 'completed' })
    expect(callsOf('a')).toHaveLength(1)
    expect(await second.process.decide(asked.approvals[0]!.id, 'approve')).toBe('approval_decided')
  })

  test('keeps a decision that was answered before the kill', async () => {
    const first = await start('embedded')
    const runId = await create(first, {
      steps: [{ calls: [{ tool: 'gated', id: 'a', holdBefore: 'approved' }] }],
    })
    const asked = await readToSuspension(first, runId)
    expect(await first.process.decide(asked.approvals[0]!.id, 'reject')).toBeNull()
    await first.process.kill()

    const second = await start('embedded')
    const frames = await readAfter(second, runId, asked.seq)
    expect(frames[0]?.event).toMatchObject({ type: 'approval.resolve', decision: 'reject' })
    expect(frames.find(({ event }) => event.type === 'tool.end')?.event).toMatchObject({
      error: { code: 'tool_rejected' },
    })
    expect(callsOf('a')).toHaveLength(0)
  })

  test('runs what was queued behind the run it rescues, in order', async () => {
    const first = await start('cli')
    const holder = await create(
      first,
      { steps: [{ text: ['first', ' answer'], holdAt: { delta: 1, name: 'busy' } }] },
      'shared',
    )
    await first.process.held('busy')
    const queued = await create(first, { steps: [{ text: ['second'] }] }, 'shared')
    expect(await getJson(first, `/v1/runs/${queued}`)).toMatchObject({ status: 'queued' })
    await first.process.kill()

    const second = await start('cli', { released: ['busy'] })
    const frames = await readWhole({ url: second.url, runId: queued })
    expect(frames.at(-1)?.event).toMatchObject({ type: 'run.end', status: 'completed' })
    // It waited for the one before it, and knows what that said.
    const request = await second.process.lastRequest()
    expect(request.flatMap((item) => (item.type === 'message' ? [item.role] : []))).toEqual([
      'user',
      'assistant',
      'user',
    ])
    const { conversation_id } = await getJson(second, `/v1/runs/${queued}`)
    const { data } = await getJson(second, `/v1/conversations/${String(conversation_id)}/items?order=asc`)
    expect((data as { run_id: string }[]).map(({ run_id }) => run_id)).toEqual([
      holder,
      holder,
      queued,
      queued,
    ])
  })
})

describe('a run that ends its process again and again', () => {
  test('is given up after five crashes without a commit, and its conversation goes on', async () => {
    let server = await start('cli')
    const runId = await create(
      server,
      { steps: [{ text: ['I try.'], calls: [{ tool: 'read', id: 'a', holdAfter: 'crash' }] }] },
      'unlucky',
    )
    for (let crash = 1; crash <= 5; crash++) {
      await server.process.held('crash')
      await server.process.kill()
      server = await start('cli')
    }
    const frames = await readWhole({ url: server.url, runId })
    expect(frames.at(-1)?.event).toMatchObject({
      type: 'run.end',
      status: 'failed',
      stop_reason: 'error',
      error: { code: 'crash_loop' },
    })
    expect(typesOf(frames).filter((type) => type === 'run.start')).toHaveLength(6)
    expect(new Set(callsOf('a').map(({ key }) => key)).size).toBe(1)
    expect(callsOf('a')).toHaveLength(5)

    const next = await create(server, { steps: [{ text: ['I go on.'] }] }, 'unlucky')
    const after = await readWhole({ url: server.url, runId: next })
    expect(after.at(-1)?.event).toMatchObject({ type: 'run.end', status: 'completed' })
    const request = await server.process.lastRequest()
    expectPaired(request)
    expect(request.find((item) => item.type === 'tool_result')).toMatchObject({
      error: { code: 'outcome_unknown' },
    })
  }, 60_000)

  test('is not given up while it gets further each time', async () => {
    const steps = Array.from({ length: 6 }, (_, i) => ({
      text: [`step ${i}`],
      calls: [{ tool: 'read' as const, id: `call ${i}`, holdAfter: `crash ${i}` }],
    }))
    const released: string[] = []
    let server = await start('cli')
    const runId = await create(server, { steps })
    for (const { calls } of steps) {
      await server.process.held(calls[0]!.holdAfter)
      await server.process.kill()
      released.push(calls[0]!.holdAfter)
      server = await start('cli', { released })
    }
    const frames = await readWhole({ url: server.url, runId })
    expect(frames.at(-1)?.event).toMatchObject({ type: 'run.end', status: 'completed', steps: 7 })
    for (const { calls } of steps) expect(callsOf(calls[0]!.id)).toHaveLength(2)
  }, 60_000)
})

describe('a server told to stop', () => {
  test('gives a run back whose time is up; the next process finishes it, and its reader sees why', async () => {
    const first = await start('cli', { environment: { SHUTDOWN_GRACE: '100ms' } })
    const runId = await create(first, {
      steps: [{ text: ['slow ', 'reply'], holdAt: { delta: 1, name: 'slow' } }],
    })
    const seen = await readUntilCut(first, runId, async () => {
      await first.process.held('slow')
      await first.process.kill('SIGTERM')
    })
    expect(await first.process.exited).toEqual({ code: 0, signal: null })
    expect(seen.at(-1)?.event).toMatchObject({ type: 'step.retry', step: 0, reason: 'node_drain' })
    expectGaplessAttempts(seen)

    const second = await start('cli', { released: ['slow'] })
    const resumed = await readAfter(second, runId, seen.at(-1)!.seq)
    expect(resumed[0]?.event).toMatchObject({ type: 'run.start', attempt: 2 })
    expect(typesOf(resumed)).not.toContain('step.retry')
    expect(textOf(resumed)).toBe('slow reply')
    expect(resumed.at(-1)?.event).toMatchObject({ type: 'run.end', status: 'completed' })
    // Nothing is lost by a shutdown: the replay has even what is void.
    expect(bytesOf(await readWhole({ url: second.url, runId }))).toEqual(bytesOf([...seen, ...resumed]))
  })
})

interface Server {
  process: ServerProcess
  url: string
}

async function start(
  program: ServerProcessOptions['program'],
  options: Pick<ServerProcessOptions, 'released' | 'environment'> = {},
): Promise<Server> {
  const process = startServerProcess({ dataDir, program, ...options })
  processes.push(process)
  return { process, url: await process.listening }
}

async function create(server: Server, plan: PuppetPlan, session?: string): Promise<string> {
  const response = await fetch(`${server.url}/v1/agents/puppet/runs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: JSON.stringify(plan), background: true, session_id: session }),
  })
  expect(response.status).toBe(202)
  return ((await response.json()) as { id: string }).id
}

async function getJson(server: Server, path: string): Promise<Record<string, unknown>> {
  const response = await fetch(`${server.url}${path}`)
  expect(response.status).toBe(200)
  return (await response.json()) as Record<string, unknown>
}

/** What a reader has in hand when the server, killed meanwhile, has cut it. */
async function readUntilCut(
  server: Server,
  runId: string,
  kill: (frames: readonly Frame[]) => Promise<void>,
): Promise<Frame[]> {
  const frames: Frame[] = []
  const reading = readFrames({
    url: server.url,
    path: `/v1/runs/${runId}/events`,
    onFrame: (frame) => {
      frames.push(frame)
      for (const check of checks) check()
    },
  })
  await kill(frames)
  await reading
  return frames
}

const checks = new Set<() => void>()

/** Resolves when a frame has come that makes the test true. */
function until(isTrue: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const check = () => {
      if (!isTrue()) return
      checks.delete(check)
      resolve()
    }
    checks.add(check)
    check()
  })
}

async function readAfter(server: Server, runId: string, after: number): Promise<Frame[]> {
  const headers = { 'last-event-id': String(after) }
  return (await readFrames({ url: server.url, path: `/v1/runs/${runId}/events`, headers })).frames
}

async function readToSuspension(server: Server, runId: string, after = 0): Promise<EventOf<'run.suspend'>> {
  const event = (await readAfter(server, runId, after)).at(-1)?.event
  if (event?.type !== 'run.suspend') throw new Error(`not suspended: ${JSON.stringify(event)}`)
  return event
}

function callsOf(id: string) {
  return readCalls(dataDir).filter(({ call }) => call === id)
}

function typesOf(frames: readonly Frame[]): EventType[] {
  return frames.map(({ event }) => event.type)
}

function bytesOf(frames: readonly Frame[]): string[] {
  return frames.map(({ bytes }) => bytes)
}

function textOf(frames: readonly Frame[]): string {
  return frames.map(({ event }) => (event.type === 'text.delta' ? event.delta : '')).join('')
}

function expectGaplessAttempts(frames: readonly Frame[]): void {
  for (const [i, { seq, event }] of frames.entries()) {
    if (i > 0 && event.type !== 'run.start') expect(seq).toBe(frames[i - 1]!.seq + 1)
  }
}

/** Every call is followed, before the next message, by exactly one result. */
function expectPaired(items: readonly Item[]): void {
  const open = new Set<string>()
  for (const item of items) {
    if (item.type === 'tool_call') open.add(item.call_id)
    else if (item.type === 'tool_result') expect(open.delete(item.call_id)).toBe(true)
    else expect([...open]).toEqual([])
  }
  expect([...open]).toEqual([])
  expect(items.some(({ type }) => type === 'tool_call')).toBe(true)
}
