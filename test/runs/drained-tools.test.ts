import { describe, expect, test } from 'vitest'
import type { AgentOptions } from '../../src/agent/agent-options.ts'
import { agent } from '../../src/agent/agent.ts'
import type { AnyTool, ToolContext } from '../../src/agent/definitions.ts'
import type { Hooks } from '../../src/agent/hooks.ts'
import { tool } from '../../src/agent/tool.ts'
import { scriptedModel, type ScriptedToolCall } from '../../src/models/scripted.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { deferred } from '../agent/deferred.ts'
import { eventsOfType, startEngine, type EngineUnderTest } from '../agent/engine-under-test.ts'
import { shortly } from './asking-tools.ts'
import { decide, goesOn } from './suspended-run.ts'

/** A tool that does its work in the second process only; `began` resolves when the first starts it. */
function hanging(name: string, effect: 'read' | 'write' = 'read') {
  const began = deferred()
  let calls = 0
  const it = tool({
    name,
    description: 'Hangs.',
    effect,
    execute: () => {
      began.resolve()
      return ++calls === 1 ? new Promise(() => {}) : `${name} done`
    },
  })
  return { it, began: began.promise, calls: () => calls }
}

function writing(execute: (context: ToolContext) => unknown, approval: 'never' | 'required' = 'never') {
  let calls = 0
  const it = tool({
    name: 'write',
    description: 'Writes.',
    approval,
    execute: (_input, context) => {
      calls++
      return execute(context)
    },
  })
  return { it, calls: () => calls }
}

const call = (name: string): ScriptedToolCall => ({ name, arguments: {} })
const results = (events: Parameters<typeof eventsOfType>[0]) =>
  eventsOfType(events, 'tool.end').map(({ output, error }) => error?.code ?? output)

/** Two processes, one after the other, on the same data. Both drain as in a shutdown whose grace is over. */
async function startPair(tools: readonly AnyTool[], options: Partial<AgentOptions> = {}) {
  const clock = createFakeClock()
  const made = { tools, ...options }
  const toolCalls = tools.map(({ name }) => call(name))
  const first = await startEngine({ model: scriptedModel([{ toolCalls }]), clock, agent: made })
  const model = scriptedModel(['Done.'])
  const second = () => startEngine({ model, clock, agent: made, dataDir: first.dataDir })
  return { first, second, clock, model }
}

/** What a reader sees of the run from its first event to where it settles again. */
async function settle(engine: EngineUnderTest, id: string) {
  const run = await engine.load({ id })
  const events = await engine.events(run)
  const after = await engine.load(run)
  return { run: after, events, pending: await engine.runs.pendingApprovals(after) }
}

describe('a write that a drained node had not started', () => {
  test('because another tool ran: the next node runs it, and asks nobody', async () => {
    const { it: look, began } = hanging('look')
    const { it: write, calls } = writing(() => 'written')
    const { first, second } = await startPair([look, write], { toolConcurrency: 1 })
    const { id } = await first.start()
    await began
    await first.stop()
    expect(calls()).toBe(0)
    const { run, events } = await settle(await second(), id)
    expect(run.status).toBe('completed')
    expect(results(events).toSorted()).toEqual(['look done', 'written'])
    expect(calls()).toBe(1)
  })

  test('because a hook still looked at it: the next node runs it, and asks nobody', async () => {
    const looking = deferred()
    let looks = 0
    const hooks: Hooks = {
      beforeTool: () => {
        looking.resolve()
        return ++looks === 1 ? new Promise<undefined>(() => {}) : undefined
      },
    }
    const { it: write, calls } = writing(() => 'written')
    const { first, second } = await startPair([write], { hooks })
    const { id } = await first.start()
    await looking.promise
    await first.stop()
    const { run, events } = await settle(await second(), id)
    expect(run.status).toBe('completed')
    expect(results(events)).toEqual(['written'])
    expect(calls()).toBe(1)
  })

  test('and that had been approved: the approval is good for the start that it never had', async () => {
    const clock = createFakeClock()
    const gated = (name: string, execute: () => unknown) =>
      tool({ name, description: 'Asks.', approval: 'required', execute })
    const began = deferred()
    let sent = 0
    const tools = [
      gated('hang', () => {
        began.resolve()
        return new Promise(() => {})
      }),
      gated('send', () => `sent ${++sent}`),
    ]
    const toolCalls = tools.map(({ name }) => call(name))
    const options = { tools, toolConcurrency: 1 }
    const first = await startEngine({ model: scriptedModel([{ toolCalls }]), clock, agent: options })
    const asked = (await first.finish()).run
    for (const { id } of await first.runs.pendingApprovals(asked))
      await decide(first, id, { decision: 'approve' })
    await began.promise
    await first.stop()
    const model = scriptedModel(['Done.'])
    const second = await startEngine({ model, clock, agent: options, dataDir: first.dataDir })
    const { run, pending } = await settle(second, asked.id)
    expect(pending).toMatchObject([{ tool: 'hang', reason: 'outcome_unknown' }])
    expect(sent).toBe(1)
    await decide(second, pending[0]?.id, { decision: 'reject' })
    expect((await goesOn(second, run)).run.status).toBe('completed')
    expect(sent).toBe(1)
  })

  test('again, that a person let repeat: if its tool is gone then, the model reads that the first start may have happened', async () => {
    const clock = createFakeClock()
    const begins: string[] = []
    const started = [deferred(), deferred(), deferred()]
    const hangs = (name: string) =>
      tool({
        name,
        description: 'Hangs.',
        execute: () => {
          started[begins.push(name) - 1]?.resolve()
          return new Promise(() => {})
        },
      })
    const [one, two] = [hangs('one'), hangs('two')]
    const toolCalls = [call('one'), call('two')]
    const first = await startEngine({
      model: scriptedModel([{ toolCalls }]),
      clock,
      agent: { tools: [one, two] },
    })
    const { dataDir } = first
    const { id } = await first.start()
    await started[1]?.promise
    await first.stop()
    const options = { tools: [one, two], toolConcurrency: 1 }
    const second = await startEngine({ model: scriptedModel([]), clock, agent: options, dataDir })
    const { pending } = await settle(second, id)
    for (const approval of pending) await decide(second, approval.id, { decision: 'approve' })
    await started[2]?.promise
    await second.stop()
    expect(begins).toEqual(['one', 'two', 'one'])
    const third = await startEngine({
      model: scriptedModel(['Done.']),
      clock,
      agent: { tools: [one] },
      dataDir,
    })
    const { events } = await settle(third, id)
    expect(eventsOfType(events, 'tool.end')).toMatchObject([{ error: { code: 'outcome_unknown' } }])
  })
})

describe('a write that only asked before its node drained', () => {
  const asks = async (context: ToolContext) => shortly(await context.ask({ message: 'Which?' }))

  test('while another tool ran: the next node asks the same, and is not asked whether it may run again', async () => {
    const { it: look, began } = hanging('look')
    const { it: write, calls } = writing(asks)
    const { first, second } = await startPair([look, write])
    const { id } = await first.start()
    await began
    await first.stop()
    expect(calls()).toBe(1)
    const engine = await second()
    const { run, pending } = await settle(engine, id)
    expect(pending).toMatchObject([{ tool: 'write', reason: 'question', question: { message: 'Which?' } }])
    await decide(engine, pending[0]?.id, { decision: 'answer', answer: 'blue' })
    const after = await goesOn(engine, run)
    expect(after.run.status).toBe('completed')
    expect(results(after.events)).toEqual(['"blue"'])
  })

  /** Several processes, one after the other: `assistant` looks and has `helper` write, side by side. */
  function team(look: AnyTool, write: AnyTool) {
    const clock = createFakeClock()
    const looksAndHelps = [call('look'), { name: 'helper', arguments: { task: 'Write.' } }]
    let dataDir: string | undefined
    return async (replies: 'from the start' | 'goes on') => {
      const begins = replies === 'from the start'
      const helping = scriptedModel(begins ? [{ toolCalls: [call('write')] }] : ['Helped.'])
      const model = scriptedModel(begins ? [{ toolCalls: looksAndHelps }] : ['Done.'])
      const helper = agent({ name: 'helper', model: helping, tools: [write] })
      const assistant = agent({ name: 'assistant', model, tools: [look, helper.asTool()] })
      const engine = await startEngine({ agents: [assistant], clock, ...(dataDir && { dataDir }) })
      ;({ dataDir } = engine)
      return engine
    }
  }

  test('in an agent that serves as a tool', async () => {
    const { it: look, began } = hanging('look')
    const asked = deferred()
    const { it: write } = writing((context) => {
      asked.resolve()
      return asks(context)
    })
    const start = team(look, write)
    const first = await start('from the start')
    const { id } = await first.start()
    await Promise.all([began, asked.promise])
    await first.stop()
    const second = await start('goes on')
    const { run, pending } = await settle(second, id)
    expect(pending).toMatchObject([{ tool: 'write', reason: 'question' }])
    await decide(second, pending[0]?.id, { decision: 'answer', answer: 'blue' })
    expect((await goesOn(second, run)).run.status).toBe('completed')
  })

  test('is another thing than one that waits to be let run again: that is asked for as often as it takes', async () => {
    const looking = [deferred(), deferred()]
    let looks = 0
    const look = tool({
      name: 'look',
      description: 'Hangs twice.',
      effect: 'read',
      execute: () => {
        looking[looks]?.resolve()
        return looks++ < 2 ? new Promise(() => {}) : 'seen'
      },
    })
    const { it: write, calls } = writing(() => new Promise(() => {}))
    const start = team(look, write)
    const first = await start('from the start')
    const { id } = await first.start()
    await looking[0]?.promise
    while (calls() === 0) await new Promise((resolve) => setImmediate(resolve))
    await first.stop()
    const second = await start('goes on')
    await looking[1]?.promise
    await second.stop()
    const third = await start('goes on')
    const { run, pending } = await settle(third, id)
    expect(pending).toMatchObject([{ tool: 'write', reason: 'outcome_unknown' }])
    await decide(third, pending[0]?.id, { decision: 'reject' })
    expect((await goesOn(third, run)).run.status).toBe('completed')
    expect(calls()).toBe(1)
  })
})

describe('a write that ends within its second, in an agent with a hook that looks at its result', () => {
  /** A write that ends when its signal fires, and what then looks at its result. */
  async function drained(afterTool: Hooks['afterTool']) {
    const began = deferred()
    const { it: write, calls } = writing(({ signal }) => {
      began.resolve()
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve('written')))
    })
    const { first, second } = await startPair([write], { hooks: { afterTool } })
    const { id } = await first.start()
    await began.promise
    await first.stop()
    return { ...(await settle(await second(), id)), calls }
  }

  test('keeps its result, as the hook would have it', async () => {
    const fired: boolean[] = []
    const { run, events, calls } = await drained(async ({ result }, { signal }) => {
      await Promise.resolve()
      fired.push(signal.aborted)
      return { output: result.output.toUpperCase() }
    })
    expect(run.status).toBe('completed')
    expect(results(events)).toEqual(['WRITTEN'])
    expect(calls()).toBe(1)
    expect(fired).toEqual([false])
  })

  test('loses it where the hook takes longer: a person is asked', async () => {
    const { pending, calls } = await drained(() => new Promise<undefined>(() => {}))
    expect(pending).toMatchObject([{ tool: 'write', reason: 'outcome_unknown' }])
    expect(calls()).toBe(1)
  })
})
