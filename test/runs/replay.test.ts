import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { attemptGap } from '../../src/events.ts'
import type { PlacedItem } from '../../src/items.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createTestServer, type TestServer } from '../../src/testing/test-server.ts'
import { startEngine } from '../agent/engine-under-test.ts'
import { readFrames, type Frame } from './frame-client.ts'
import { anyRunPlan, plannedAgent, type RunPlan } from './random-run.ts'
import { answerSuspension, readThroughCuts, readWhole, type CutPlan } from './run-readers.ts'

/** A longer hunt: `REPLAY_RUNS=500 REPLAY_SEED=$RANDOM npm test -- test/runs/replay.test.ts`. */
const numRuns = Number(process.env.REPLAY_RUNS ?? 25)
const seed = Number(process.env.REPLAY_SEED ?? 20260)

interface Scene {
  plan: RunPlan
  /** Readers that are cut while the run lives; a run has two of them at once at most. */
  live: CutPlan[]
  /** Readers that are cut after its end. */
  finished: CutPlan[]
  /** Readers that are cut after the server was started again. */
  restarted: CutPlan[]
}

const cutPlan = fc.record<CutPlan>({
  cuts: fc.array(fc.oneof(fc.nat(300), fc.nat(1200), fc.nat(8000)), { maxLength: 6 }),
  resume: fc.constantFrom('header', 'query', 'run-and-seq'),
  sip: fc.option(fc.constant(1), { nil: undefined, freq: 2 }),
})
const scene = fc.record<Scene>({
  plan: anyRunPlan,
  live: fc.array(cutPlan, { minLength: 1, maxLength: 2 }),
  finished: fc.array(cutPlan, { minLength: 1, maxLength: 2 }),
  restarted: fc.array(cutPlan, { maxLength: 1 }),
})
const scenes = fc.array(scene, { minLength: 1, maxLength: 4 })

const callerTool = { name: 'callers_own', description: 'The caller runs it.', parameters: { type: 'object' } }

interface Played {
  runId: string
  scene: Scene
  /** What the reader saw that was attached from the start and never cut. */
  uncut: Frame[]
  liveCuts: number
}

describe('a stream that is cut at any byte and resumed', () => {
  test('gives, joined, exactly the events of an uncut reader: live, finished and from the store after a restart', async () => {
    const seen = { types: new Set<string>(), liveCuts: 0, retries: 0, resumed: 0, cancelled: 0 }
    const property = fc.asyncProperty(scenes, async (list) => {
      const dataDir = await mkdtemp(join(tmpdir(), 'parley-replay-'))
      try {
        const plans = new Map(list.map(({ plan }, index) => [`run ${index}`, plan]))
        const played = await withServer({ dataDir, plans }, (server) =>
          Promise.all(list.map((one, index) => playScene(server, `run ${index}`, one))),
        )
        await withServer({ dataDir, plans }, (server) =>
          Promise.all(played.map((one) => checkReplay(server, one, one.scene.restarted))),
        )
        for (const { uncut, liveCuts } of played) {
          seen.liveCuts += liveCuts
          for (const { event } of uncut) seen.types.add(event.type)
          const end = uncut.at(-1)?.event
          if (end?.type === 'run.end' && end.status === 'cancelled') seen.cancelled++
          if (uncut.some(({ event }) => event.type === 'step.retry')) seen.retries++
          if (uncut.some(({ event }) => event.type === 'run.suspend')) seen.resumed++
        }
      } finally {
        await rm(dataDir, { recursive: true, force: true })
      }
    })
    await fc.assert(property, { numRuns, seed })
    // What was drawn must have met what this test is about.
    const types = ['step.retry', 'reasoning.delta', 'tool.input', 'tool.end', 'approval.resolve', 'warning']
    expect([...seen.types]).toEqual(expect.arrayContaining(types))
    expect(seen.liveCuts).toBeGreaterThan(numRuns)
    expect(Math.min(seen.retries, seen.resumed, seen.cancelled)).toBeGreaterThan(2)
  }, 240_000)

  test('loses nothing at any single byte of the response of a finished run', async () => {
    const plan: RunPlan = {
      steps: [
        {
          prose: [
            { type: 'reasoning', delta: 'so 🤔' },
            { type: 'text', delta: 'é\r\n\n😀' },
          ],
          calls: [{ name: 'look', text: '{"value":"\ud83d\u0000"}', pieces: [3] }],
          order: [0, 1],
          failures: [2],
          finish: 'stop',
        },
      ],
      maxSteps: 2,
      forceAnswer: false,
      cancelAfter: undefined,
      decisions: ['approve'],
      yields: [1],
    }
    await withServer({ plans: new Map([['run', plan]]) }, async (server) => {
      const { runId, uncut } = await playScene(server, 'run', { plan, live: [], finished: [], restarted: [] })
      const at = { url: server.url, path: `/v1/runs/${runId}/events` }
      const { received } = await readFrames(at)
      let next = 0
      const worker = async () => {
        for (let cut = next++; cut <= received; cut = next++) {
          const joined = await readThroughCuts(
            { url: server.url, runId },
            { cuts: [cut], resume: 'header', sip: undefined },
          )
          expect(bytesOf(joined.frames), `cut after ${cut} bytes`).toEqual(bytesOf(uncut))
        }
      }
      await Promise.all(Array.from({ length: 8 }, worker))
      expect(next).toBeGreaterThan(2_000)
    })
  }, 120_000)
})

describe('a replay from the store', () => {
  test('reads each item of a long run once', async () => {
    let read = 0
    const count = (items: PlacedItem[]) => {
      read += items.length
      return items
    }
    const steps = 60
    const look = { toolCalls: [{ name: 'look', arguments: {} }] }
    const engine = await startEngine({
      model: scriptedModel([...Array.from({ length: steps }, () => look), 'Done.']),
      agent: {
        tools: [tool({ name: 'look', description: 'Looks.', effect: 'read', execute: () => 'seen' })],
        maxSteps: steps + 1,
      },
      wrapStore: ({ items, ...store }) => ({
        ...store,
        items: {
          ...items,
          ofRun: async (runId) => count(await items.ofRun(runId)),
          withIds: async (runId, ids) => count(await items.withIds(runId, ids)),
        },
      }),
    })
    const { run } = await engine.finish()
    read = 0
    const events = await engine.events(run)
    expect(events.filter(({ type }) => type === 'tool.end')).toHaveLength(steps)
    // Calls, results and the answer; the question is in no event.
    expect(read).toBe(2 * steps + 1)
  })
})

describe('a reader slower than the model', () => {
  test('gets everything, though the run ends while its socket is full', async () => {
    // More than the socket buffers of both sides hold, and more entries than a tail keeps.
    const deltas = Array.from({ length: 3_000 }, (_, i) => `${i} ${'é'.repeat(4_000)}`)
    const model = scriptedModel([{ parts: deltas.map((delta) => ({ type: 'text', delta })) }])
    const server = await createTestServer({ agents: [agent({ name: 'planned', model })] })
    try {
      let runId = ''
      let resume = () => {}
      const resumed = new Promise<void>((resolve) => {
        resume = resolve
      })
      const reading = readFrames({
        ...startRequest(server, 'long'),
        onHead: (headers) => (runId = runIdOf(headers)),
        pause: async () => {
          const end = await server.request(`/v1/runs/${runId}/wait`)
          expect(await end.json()).toMatchObject({ status: 'completed' })
          resume()
        },
      })
      await resumed
      const { frames } = await reading
      expect(frames.at(-1)?.event.type).toBe('run.end')
      expect(frames.flatMap(({ event }) => (event.type === 'text.delta' ? [event.delta] : []))).toEqual(
        deltas,
      )
      checkSequence(frames)
      expect(bytesOf(await readWhole({ url: server.url, runId }))).toEqual(bytesOf(frames))
    } finally {
      await server.close()
    }
  }, 60_000)
})

async function withServer<T>(
  options: { plans: ReadonlyMap<string, RunPlan>; dataDir?: string },
  use: (server: TestServer) => Promise<T>,
): Promise<T> {
  const { plans, dataDir } = options
  const server = await createTestServer({
    agents: [plannedAgent(plans)],
    ...(dataDir === undefined ? {} : { dataDir }),
  })
  try {
    return await use(server)
  } finally {
    await server.close()
  }
}

/** Runs a plan with one uncut reader on it and those of the scene, then reads it again from the store in every way. */
async function playScene(server: TestServer, key: string, one: Scene): Promise<Played> {
  const { plan } = one
  let cutting: Promise<{ cuts: number; frames: Frame[] }[]> | undefined
  const { runId, uncut } = await readUncut(server, { key, plan }, (id) => {
    cutting = Promise.all(one.live.map((cuts) => readThroughCuts({ url: server.url, runId: id }, cuts)))
    // It is awaited below, when the uncut reader is done.
    cutting.catch(() => undefined)
  })
  const readings = (await cutting) ?? []
  checkSequence(uncut)
  for (const { frames } of readings) checkSame(frames, uncut)
  const played = {
    runId,
    scene: one,
    uncut,
    liveCuts: readings.reduce((sum, { cuts }) => sum + cuts, 0),
  }
  await checkReplay(server, played, one.finished)
  return played
}

/** The reader that starts the run stays on it, decides what it asks for, and cancels it where that is the plan. */
async function readUncut(
  server: TestServer,
  run: { key: string; plan: RunPlan },
  onStart: (runId: string) => void,
): Promise<{ runId: string; uncut: Frame[] }> {
  const { plan } = run
  let runId = ''
  let seen = 0
  let decided = 0
  let cancelling: Promise<unknown> | undefined
  const onFrame = () => {
    if (seen++ === plan.cancelAfter) {
      cancelling = server.request(`/v1/runs/${runId}/cancel`, { method: 'POST' })
    }
  }
  const onHead = (headers: Map<string, string>) => {
    runId = runIdOf(headers)
    onStart(runId)
  }
  const first = await readFrames({ ...startRequest(server, run.key, plan), onHead, onFrame })
  const uncut = [...first.frames]
  for (let last = uncut.at(-1)?.event; last?.type !== 'run.end'; last = uncut.at(-1)?.event) {
    if (last?.type !== 'run.suspend') throw new Error(`the stream ended after ${JSON.stringify(last)}`)
    await cancelling
    await answerSuspension(
      { server, runId },
      last,
      () => plan.decisions[decided++ % plan.decisions.length] ?? 'approve',
    )
    const path = `/v1/runs/${runId}/events?after=${last.seq}`
    const more = await readFrames({ url: server.url, path, onFrame })
    uncut.push(...more.frames)
  }
  await cancelling
  return { runId, uncut }
}

function startRequest(server: TestServer, key: string, plan?: RunPlan) {
  const body = {
    input: key,
    stream: true,
    on_disconnect: 'continue',
    ...(plan ? { max_steps: plan.maxSteps, force_answer: plan.forceAnswer, tools: [callerTool] } : {}),
  }
  return { url: server.url, method: 'POST' as const, path: '/v1/agents/planned/runs', body }
}

function runIdOf(headers: Map<string, string>): string {
  return headers.get('content-location')?.split('/').at(-1) ?? ''
}

async function checkReplay(server: TestServer, { runId, uncut }: Played, cutPlans: CutPlan[]): Promise<void> {
  const at = { url: server.url, runId }
  checkSame(await readWhole(at), uncut)
  for (const plan of cutPlans) checkSame((await readThroughCuts(at, plan)).frames, uncut)
}

function checkSame(frames: Frame[], uncut: Frame[]): void {
  expect(frames.map(({ event }) => event)).toEqual(uncut.map(({ event }) => event))
  expect(bytesOf(frames)).toEqual(bytesOf(uncut))
}

function bytesOf(frames: Frame[]): string[] {
  return frames.map(({ bytes }) => bytes)
}

/** Gapless, but for the jump to the floor where another attempt begins: nothing was lost, so it is exactly the gap. */
function checkSequence(frames: Frame[]): void {
  expect(frames[0]?.seq).toBe(1)
  for (const [index, { seq, event }] of frames.entries()) {
    const before = frames[index - 1]
    if (!before) continue
    const begins = ['run.start', 'approval.resolve', 'tool.end', 'run.end'].includes(event.type)
    const steps = begins ? [1, attemptGap] : [1]
    expect(steps, `${before.seq} → ${seq} at ${event.type}`).toContain(seq - before.seq)
  }
}
