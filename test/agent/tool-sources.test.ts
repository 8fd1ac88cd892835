import { describe, expect, test } from 'vitest'
import { agent } from '../../src/agent/agent.ts'
import type { AnyTool, ToolSource } from '../../src/agent/definitions.ts'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { deferred } from './deferred.ts'
import { eventsOfType, startEngine } from './engine-under-test.ts'

const named = (name: string, output: string) =>
  tool({ name, description: output, effect: 'read', execute: () => output })

/** Tools that are found as `look` says, which is given how often it was asked before. */
function source(name: string, look: (asked: number) => readonly AnyTool[] | Promise<readonly AnyTool[]>) {
  let asked = 0
  const tools = async () => look(asked++)
  const open: ToolSource['open'] = () => ({ tools, close: () => Promise.resolve() })
  return { kind: 'tool-source' as const, name, open, asked: () => asked }
}

const gone = () => Promise.reject(new Error('away'))
const search: ScriptedReply = { toolCalls: [{ name: 'search', arguments: {} }] }
const outputs = (events: Parameters<typeof eventsOfType>[0]) =>
  eventsOfType(events, 'tool.end').map(({ output }) => output)

describe('of two sources with a tool of the same name', () => {
  test('the first of the agent’s list has it, whoever answers first', async () => {
    const late = deferred()
    const first = source('first', async () => {
      await late.promise
      return [named('search', 'from the first')]
    })
    const second = source('second', () => {
      // The first answers after whatever comes of this answer.
      setImmediate(late.resolve)
      return [named('search', 'from the second')]
    })
    const model = scriptedModel([search, 'Done.'])
    const engine = await startEngine({ model, agent: { tools: [first, second] } })
    const { events } = await engine.finish()
    expect(model.calls[0]?.tools).toMatchObject([{ name: 'search', description: 'from the first' }])
    expect(outputs(events)).toEqual(['from the first'])
  })

  test('a call goes to the tool that was offered, also where its source is away by then', async () => {
    const first = source('first', (asked) => (asked === 0 ? [named('search', 'from the first')] : gone()))
    const second = source('second', () => [named('search', 'from the second')])
    const model = scriptedModel([search, search, 'Done.'])
    const engine = await startEngine({ model, agent: { tools: [first, second] } })
    const { events } = await engine.finish()
    expect(outputs(events)).toEqual(['from the first', 'from the second'])
    expect(model.calls.map(({ tools }) => tools[0]?.description)).toEqual([
      'from the first',
      'from the second',
      'from the second',
    ])
  })
})

test('a run is warned of each source that is away, once, whichever of its agents misses it', async () => {
  const [one, two] = [source('one', gone), source('two', gone)]
  const look: ScriptedReply = { toolCalls: [{ name: 'look', arguments: {} }] }
  const tools = [named('look', 'seen'), one, two]
  const helper = agent({ name: 'helper', model: scriptedModel([look, 'Helped.']), tools })
  const ask = { toolCalls: [{ name: 'helper', arguments: { task: 'Help.' } }] }
  const model = scriptedModel([ask, look, 'Done.'])
  const engine = await startEngine({ model, agent: { tools: [named('look', 'seen'), one, helper.asTool()] } })
  const { run, events } = await engine.finish()
  expect(eventsOfType(events, 'warning').map(({ message }) => message)).toEqual([
    'The tools of one cannot be reached now.',
    'The tools of two cannot be reached now.',
  ])
  expect(run.warnings).toHaveLength(2)
})

test('a run is warned of a source that is away before the step that lacks its tools', async () => {
  const engine = await startEngine({
    model: scriptedModel(['Hello.']),
    agent: { tools: [source('one', gone)] },
  })
  const { events } = await engine.finish()
  expect(events.map(({ type }) => type).slice(0, 3)).toEqual(['run.start', 'warning', 'step.start'])
})

describe('sources are asked once a step', () => {
  test('for the offer, the plan and however many calls', async () => {
    const found = source('found', () => [named('search', 'found')])
    const calls = { toolCalls: Array.from({ length: 3 }, () => ({ name: 'search', arguments: {} })) }
    const model = scriptedModel(['1. Search.', calls, '1. Answer.', 'Done.'])
    const engine = await startEngine({ model, agent: { tools: [found], planning: { every: 1 } } })
    const { events, text } = await engine.finish()
    expect(text).toBe('Done.')
    expect(outputs(events)).toEqual(['found', 'found', 'found'])
    expect(found.asked()).toBe(2)
  })

  test('also for the calls that a suspension left', async () => {
    const pay = tool({ name: 'pay', description: 'Pays.', approval: 'required', execute: () => 'paid' })
    const found = source('found', () => [pay])
    const calls = { toolCalls: Array.from({ length: 2 }, () => ({ name: 'pay', arguments: {} })) }
    const engine = await startEngine({ model: scriptedModel([calls, 'Done.']), agent: { tools: [found] } })
    const { run } = await engine.finish()
    const before = found.asked()
    for (const { id } of await engine.runs.pendingApprovals(run)) {
      await engine.approvals.decide(anonymous, id, { decision: 'approve' })
    }
    const events = await engine.events(run, run.last_seq)
    expect(outputs(events)).toEqual(['paid', 'paid'])
    expect(found.asked() - before).toBe(1)
  })
})
