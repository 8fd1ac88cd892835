import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { eventsOfType, startEngine, transcript } from './engine-under-test.ts'
import { ask, boss, call, helper, shown, shownTypes } from './team.ts'

const look = tool({ name: 'look', description: 'Looks.', effect: 'read', execute: () => 'seen' })

describe('what an agent that serves as a tool is warned of', () => {
  test('is the run’s, with its name: in the log, on the run, and in its replay', async () => {
    const first = scriptedModel([{ error: { code: 'model_auth_failed' } }], { id: 'scripted/first' })
    const expert = agent({
      name: 'expert',
      model: [first, scriptedModel([{ toolCalls: [call('look')] }, 'ok'], { id: 'scripted/second' })],
      tools: [look],
      hooks: { afterTool: (_result, { warn }) => warn('odd', 'Look twice.') as undefined },
    })
    const middle = helper('middle', [{ toolCalls: [ask('expert')] }, 'ok'], { tools: [expert.asTool()] })
    const engine = await startEngine({ agents: [boss([{ toolCalls: [ask('middle')] }, 'ok'], [middle])] })
    const { run, events } = await engine.finish({ agent: 'boss' })
    const warned = [
      {
        code: 'model_fallback',
        message:
          'middle: expert: scripted/first failed (model_auth_failed); scripted/second is asked instead.',
      },
      { code: 'odd', message: 'middle: expert: Look twice.' },
    ]
    expect(eventsOfType(events, 'warning')).toMatchObject(warned)
    expect(run.warnings).toEqual(warned)
    expect(eventsOfType(await engine.events(run), 'warning')).toMatchObject(warned)
    expect(shownTypes(events)).not.toContain('warning')
  })

  test('costs that a budget of the run cannot count are', async () => {
    const expert = helper('expert', scriptedModel(['ok'], { id: 'scripted/expert' }))
    const model = scriptedModel([{ toolCalls: [ask('expert')] }, 'ok'], { id: 'scripted/boss' })
    const engine = await startEngine({
      agents: [boss(model, [expert], { budget: { cost: 1 } })],
      prices: { 'scripted/boss': { input: 1, output: 1 } },
    })
    const { run } = await engine.finish({ agent: 'boss' })
    const warned = eventsOfType(await engine.events(run), 'warning')
    expect(warned).toMatchObject([{ code: 'cost_unknown' }])
    expect(warned[0]?.message).toContain('scripted/expert')
  })

  test('of its answer is not: the result says what became of that', async () => {
    const expert = helper('expert', [{ text: 'Hm.', toolCalls: [call('look')] }, 'no JSON', '{"n":1}'], {
      tools: [look],
      maxSteps: 1,
      output: z.object({ n: z.number() }),
    })
    const engine = await startEngine({ agents: [boss([{ toolCalls: [ask('expert')] }, 'ok'], [expert])] })
    const { run, events } = await engine.finish({ agent: 'boss' })
    expect(eventsOfType(events, 'tool.end')).toMatchObject([{ output: '{"n":1}' }])
    expect(run.warnings).toEqual([])
    expect(eventsOfType(events, 'warning')).toEqual([])
    const codes = shown(events).flatMap(({ event }) => (event.type === 'warning' ? [event.code] : []))
    expect(codes).toEqual(['max_steps', 'output_invalid'])
  })
})

describe('the answer of an agent that serves as a tool, seen before the process died, and not the call’s result', () => {
  /** What the asking agent reads in the second process, and how often that asked the expert's model. */
  async function readAfterDeath(reply: ScriptedReply, options: Parameters<typeof helper>[2] = {}) {
    let dead = false
    const first = await startEngine({
      agents: [boss([{ toolCalls: [ask('expert')] }], [helper('expert', [reply], options)])],
      onCommit: async (commit, next) => {
        dead ||= commit.events.some(({ type }) => type === 'tool.end')
        return dead ? 'fenced' : next()
      },
    })
    const run = await first.start({ agent: 'boss' })
    await first.drain(10_000)
    await first.stop()
    const model = scriptedModel(['Another one.'])
    const asking = scriptedModel(['ok'])
    const second = await startEngine({
      agents: [boss(asking, [helper('expert', model, options)])],
      dataDir: first.dataDir,
    })
    expect(await second.settled(run)).toMatchObject({ status: 'completed' })
    return { told: transcript(asking.calls[0]).at(-1), asked: model.calls.length }
  }

  test('is the result where it is whole', async () => {
    expect(await readAfterDeath('It is 42.')).toEqual({ told: 'result It is 42.', asked: 0 })
  })

  test.each<[string, ScriptedReply]>([
    ['cut at its limit', { text: 'It is', finishReason: 'length' }],
    ['filtered by its provider', { text: 'It is', finishReason: 'content_filter' }],
  ])('is asked for again where it was %s', async (_how, reply) => {
    expect(await readAfterDeath(reply)).toEqual({ told: 'result Another one.', asked: 1 })
  })

  test('is the result where it satisfies its schema, although it was cut', async () => {
    const reply: ScriptedReply = { text: '{"n":1}', finishReason: 'length' }
    const output = z.object({ n: z.number() })
    expect(await readAfterDeath(reply, { output })).toEqual({ told: 'result {"n":1}', asked: 0 })
  })
})
