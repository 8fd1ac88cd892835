import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import type { Model } from '../../src/models/model.ts'
import { createModelRegistry } from '../../src/models/registry.ts'
import { tool } from '../../src/agent/tool.ts'
import { z } from 'zod'
import {
  assertEvents,
  createTestServer,
  createUpstreamServer,
  errorReply,
  recordModel,
  replayModel,
  streamReply,
} from '../../src/testing/index.ts'

async function newFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-fixture-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return join(folder, 'calls.json')
}

const lookUp = (answer: string) =>
  tool({
    name: 'look_up',
    description: 'Looks up.',
    input: z.object({ word: z.string() }),
    effect: 'read',
    // An id of the run, which is another one each time.
    execute: ({ word }, { runId }) => `${answer} ${word} ${runId}`,
  })

/** Two turns of one session, the first with two calls of a tool. */
async function talk(model: Model, answer = 'known') {
  const server = await createTestServer({
    agents: [agent({ name: 'assistant', model, tools: [lookUp(answer)], instructions: 'Look up.' })],
  })
  try {
    const session = { conversation: { session: 's' } }
    return [await server.run('What is a parley?', session), await server.run('Thanks.', session)]
  } finally {
    await server.close()
  }
}

const key = 'sk-live-0123456789abcdef0123456789'
const word = (text: string, id: string) => ({ name: 'look_up', arguments: [`{"word":`, `"${text}"}`], id })

/** A provider on a real socket, recorded with all that it gives. */
async function recordLive(path: string) {
  const upstream = await createUpstreamServer({ keys: [key] })
  upstream.reply(
    streamReply({
      reasoning: ['Hm.'],
      toolCalls: [word('parley', 'id_of_theirs_1'), word('truce', 'id_of_theirs_2')],
    }),
    errorReply(503, 'overloaded', { headers: { 'retry-after': '0' } }),
    streamReply({ text: ['A ', 'talk.'] }),
    'Welcome.',
  )
  const registry = createModelRegistry({ llm: { baseURL: upstream.baseURL, apiKey: key } })
  const recording = recordModel(registry.resolve('llm/any'), { path })
  const runs = await talk(recording)
  await recording.close()
  await registry.close()
  await upstream.close()
  return { runs, upstream }
}

const shape = (runs: Awaited<ReturnType<typeof talk>>) =>
  runs.map(({ text, toolCalls, run }) => ({
    text,
    calls: toolCalls.map(({ arguments: given }) => given),
    usage: run.usage,
    steps: run.steps,
  }))

test('a conversation with a provider plays back without it, the failure it had included', async () => {
  const path = await newFile()
  const { runs, upstream } = await recordLive(path)
  expect(runs.map(({ text }) => text)).toEqual(['A talk.', 'Welcome.'])
  expect(upstream.requests).toHaveLength(4)

  const replay = replayModel({ path })
  const again = await talk(replay)
  await replay.close()
  expect(shape(again)).toEqual(shape(runs))
  expect(JSON.parse(await readFile(path, 'utf8')).calls[1].end).toMatchObject({
    type: 'error',
    code: 'model_unavailable',
  })
})

test('the file holds no key, though each request to the provider did', async () => {
  const path = await newFile()
  const { upstream } = await recordLive(path)
  expect(upstream.requests.map((request) => request.key)).toEqual([key, key, key, key])
  expect(await readFile(path, 'utf8')).not.toContain(key.slice(3, 20))
})

test('two recordings of the same conversation are the same file', async () => {
  const paths = [await newFile(), await newFile()]
  for (const path of paths) await recordLive(path)
  const [one, other] = await Promise.all(paths.map((path) => readFile(path, 'utf8')))
  expect(one).toBe(other)
})

test('a run whose requests drifted fails, and says where', async () => {
  const path = await newFile()
  await recordLive(path)
  const replay = replayModel({ path })
  const [first] = await talk(replay, 'unknown')
  expect(first!.run.error).toMatchObject({
    code: 'internal',
    message: expect.stringContaining('recorded: "known parley run_1"\n    asked:    "unknown parley run_1"'),
  })
  assertEvents(first!.events, ['...', { type: 'run.end', status: 'failed' }])
  await expect(replay.close()).rejects.toThrow('call 2 is not as it was recorded')
})
