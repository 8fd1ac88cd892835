import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { tool } from '../../src/agent/tool.ts'
import { scriptedModel, type ScriptedToolCall } from '../../src/models/scripted.ts'
import { eventsOfType, startEngine, transcript } from './engine-under-test.ts'

/** A tool that does the most where it is told the least. */
function createDeletion() {
  const deleted: string[] = []
  const deletion = tool({
    name: 'delete_files',
    description: 'Deletes files.',
    effect: 'idempotent',
    input: z.object({ filter: z.string().optional() }),
    execute: ({ filter = 'everything' }) => {
      deleted.push(filter)
      return 'Gone.'
    },
  })
  return { deleted, deletion }
}

const call = (args: ScriptedToolCall['arguments']) => ({ name: 'delete_files', arguments: args })
const cut = (...toolCalls: ScriptedToolCall[]) => ({ toolCalls, finishReason: 'length' as const })

describe('a reply that the output limit cut', () => {
  test.each(['', '  ', '{}', '{"filter":"*.tm', '[', '{"filter":"*.tmp"'])(
    'carries out no call whose arguments may not be whole: %j',
    async (args) => {
      const { deleted, deletion } = createDeletion()
      const model = scriptedModel([cut(call(args)), 'I was cut off.'])
      const engine = await startEngine({ model, agent: { tools: [deletion] } })
      const { run, events } = await engine.finish()
      expect(deleted).toEqual([])
      expect(run).toMatchObject({ status: 'completed', stop_reason: 'final', steps: 2 })
      expect(eventsOfType(events, 'tool.end')).toMatchObject([{ error: { code: 'tool_bad_arguments' } }])
      expect(await engine.store.ledger.ofRun(run.id)).toEqual([])
      expect(transcript(model.calls[1]).slice(-2)).toEqual([
        `call delete_files ${args}`,
        expect.stringMatching(/^result Error: .*output limit.*not carried out/),
      ])
    },
  )

  test('carries out the calls before the cut', async () => {
    const { deleted, deletion } = createDeletion()
    const model = scriptedModel([cut(call({ filter: '*.tmp' }), call('')), 'Done.'])
    const engine = await startEngine({ model, agent: { tools: [deletion] } })
    const { events } = await engine.finish()
    expect(deleted).toEqual(['*.tmp'])
    const ends = new Map(eventsOfType(events, 'tool.end').map((end) => [end.call_id, end.error?.code]))
    const calls = eventsOfType(events, 'tool.call').map(({ call_id }) => ends.get(call_id))
    expect(calls).toEqual([undefined, 'tool_bad_arguments'])
  })

  test('asks nobody about a cut call: no person, and not the caller whose tool it is', async () => {
    const { deletion } = createDeletion()
    const model = scriptedModel([cut(call(''), { name: 'theirs', arguments: '{"a":' }), 'Done.'])
    const engine = await startEngine({
      model,
      agent: { tools: [{ ...deletion, needsApproval: () => Promise.resolve(true) }] },
    })
    const theirs = { name: 'theirs', description: 'Theirs.', parameters: { type: 'object' } }
    const { run } = await engine.finish({ options: { tools: [theirs] } })
    expect(run).toMatchObject({ status: 'completed', steps: 2 })
  })

  test('carries out nothing of a cut call after a crash either', async () => {
    const { deleted, deletion } = createDeletion()
    const agent = { tools: [deletion] }
    let commits = 0
    const first = await startEngine({
      model: scriptedModel([cut(call({ filter: '*.tmp' }), call(''))]),
      agent,
      // Dies with the reply committed, before the result of the call that is whole.
      onCommit: async (_, next) => (commits++ === 0 ? next() : 'fenced'),
    })
    const run = await first.start()
    await first.drain(10_000)
    await first.stop()
    const model = scriptedModel(['Went on.'])
    const second = await startEngine({ model, agent, dataDir: first.dataDir })
    expect(await second.settled(run)).toMatchObject({ status: 'completed' })
    expect(deleted).toEqual(['*.tmp', '*.tmp'])
    expect(transcript(model.calls[0]).slice(-2)).toEqual([
      'result Gone.',
      expect.stringMatching(/^result Error: .*not carried out/),
    ])
  })
})

test('a reply that a filter of the provider ended carries out no call, and ends the run', async () => {
  const { deleted, deletion } = createDeletion()
  const model = scriptedModel([
    { text: 'I delete', toolCalls: [call({ filter: '*.tmp' })], finishReason: 'content_filter' },
    'And now?',
  ])
  const engine = await startEngine({ model, agent: { tools: [deletion] } })
  const { run, events } = await engine.finish('clean up')
  expect(deleted).toEqual([])
  expect(run).toMatchObject({ status: 'completed', stop_reason: 'content_filter', steps: 1 })
  expect(eventsOfType(events, 'warning')).toMatchObject([{ code: 'content_filter' }])
  expect(eventsOfType(events, 'tool.end')).toMatchObject([{ error: { code: 'tool_refused' } }])
  expect(await engine.store.ledger.ofRun(run.id)).toEqual([])
  await engine.finish({ input: 'go on', parentRunId: run.id })
  expect(transcript(model.calls[1]).at(-2)).toMatch(/^result Error: .*not carried out/)
})
