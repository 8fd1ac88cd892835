import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { advanceUntil, eventsOfType, startEngine, transcript } from './engine-under-test.ts'
import { createLogCapture } from './log-capture.ts'
import { ask, boss, call, helper, shown, shownTypes } from './team.ts'

const look = tool({ name: 'look', description: 'Looks.', effect: 'read', execute: () => 'seen' })
const tokens = (count: number) => ({ input_tokens: count, output_tokens: 0, total_tokens: count })

describe('an agent as a tool', () => {
  test('does a task with its own model, instructions and tools, and answers the agent that asked', async () => {
    const model = scriptedModel([{ text: 'Hm.', toolCalls: [call('look')] }, 'It is 42.'])
    const asking = scriptedModel([{ toolCalls: [ask('expert', 'What is it?')] }, 'They say 42.'])
    const expert = helper('expert', model, {
      description: 'Knows it.',
      instructions: 'You know.',
      tools: [look],
    })
    const engine = await startEngine({ agents: [boss(asking, [expert])] })
    const { run, text } = await engine.finish({ agent: 'boss', input: 'Ask around.' })
    expect(text).toBe('They say 42.')
    expect(run).toMatchObject({ steps: 2, active_agent: null })
    expect(asking.calls[0]?.tools).toMatchObject([
      { name: 'expert', description: 'Knows it.', parameters: { required: ['task'] } },
    ])
    // It sees its task alone, and its work is not what the other reads.
    expect(model.calls[0]).toMatchObject({ instructions: 'You know.', tools: [{ name: 'look' }] })
    expect(transcript(model.calls[0])).toEqual(['user: What is it?'])
    expect(transcript(model.calls[1])).toEqual([
      'user: What is it?',
      'assistant: Hm.',
      'call look {}',
      'result seen',
    ])
    expect(transcript(asking.calls[1])).toEqual([
      'user: Ask around.',
      'call expert {"task":"What is it?"}',
      'result It is 42.',
    ])
  })

  test('may be called otherwise than it is named', async () => {
    const asking = scriptedModel([{ toolCalls: [ask('second_opinion')] }, 'ok'])
    const renamed = helper('expert', ['mine']).asTool({
      name: 'second_opinion',
      description: 'Asks again.',
    })
    const engine = await startEngine({ agents: [boss(asking, [renamed])] })
    await engine.finish({ agent: 'boss' })
    expect(asking.calls[0]?.tools).toMatchObject([{ name: 'second_opinion', description: 'Asks again.' }])
    expect(transcript(asking.calls[1]).at(-1)).toBe('result mine')
  })

  test('a call without a task is a fault that the model reads', async () => {
    const model = scriptedModel([])
    const engine = await startEngine({
      agents: [boss([{ toolCalls: [call('expert')] }, 'ok'], [helper('expert', model)])],
    })
    const { events } = await engine.finish({ agent: 'boss' })
    expect(eventsOfType(events, 'tool.end')).toMatchObject([{ error: { code: 'tool_bad_arguments' } }])
    expect(model.calls).toEqual([])
  })

  test('what it does is progress of the call; the log has the call and its result only', async () => {
    const expert = helper('expert', [{ toolCalls: [call('look')] }, 'Forty two.'], { tools: [look] })
    const engine = await startEngine({ agents: [boss([{ toolCalls: [ask('expert')] }, 'ok'], [expert])] })
    const { run, events, types } = await engine.finish({ agent: 'boss' })
    const [called] = eventsOfType(events, 'tool.call')
    expect(new Set(shown(events).map(({ call_id }) => call_id))).toEqual(new Set([called?.call_id]))
    expect(shownTypes(events)).toEqual([
      'step.start',
      'tool.start',
      'tool.input',
      'tool.call',
      'step.end',
      'tool.end',
      'step.start',
      'text.start',
      'text.delta',
      'text.delta',
      'text.end',
      'step.end',
      'run.end',
    ])
    expect(shown(events).map(({ event }) => event.delta ?? '')).toContain('Forty')
    expect(types.filter((type) => type !== 'tool.progress')).toEqual([
      'run.start',
      'step.start',
      'tool.start',
      'tool.input',
      'tool.call',
      'step.end',
      'tool.end',
      'step.start',
      'text.start',
      'text.delta',
      'text.end',
      'step.end',
      'run.end',
    ])
    const again = await engine.events(run)
    expect(again).toEqual(events.filter(({ type }) => type !== 'tool.progress'))
  })

  test('knows what the request says of its caller, and nothing of what it overrides', async () => {
    const model = scriptedModel(['ok'])
    const expert = helper('expert', model, {
      instructions: ({ runContext }) => `For ${String(runContext.customer)}.`,
    })
    const engine = await startEngine({ agents: [boss([{ toolCalls: [ask('expert')] }, 'ok'], [expert])] })
    await engine.finish({
      agent: 'boss',
      options: {
        run_context: { customer: 'Ada' },
        instructions: 'Be brief.',
        temperature: 0,
        output_schema: { type: 'string' },
        tools: [{ name: 'theirs', description: '', parameters: { type: 'object' } }],
      },
    })
    expect(model.calls[0]).toMatchObject({ instructions: 'For Ada.', tools: [], settings: {} })
    expect(model.calls[0]?.outputSchema).toBeUndefined()
  })

  test('answers with what its schema gives, after it was corrected', async () => {
    const expert = helper('expert', ['no idea', '```json\n{ "n": 42 }\n```'], {
      output: z.object({ n: z.number() }),
    })
    const asking = scriptedModel([{ toolCalls: [ask('expert')] }, 'ok'])
    const engine = await startEngine({ agents: [boss(asking, [expert])] })
    const { run } = await engine.finish({ agent: 'boss' })
    expect(transcript(asking.calls[1]).at(-1)).toBe('result {"n":42}')
    expect(run.output_parsed).toBeNull()
  })

  test('has hooks of its own, and those of the other see the call from outside', async () => {
    const seen: string[] = []
    const hooksOf = (name: string) => ({
      beforeModel: () => void seen.push(`${name} asks`),
      beforeTool: ({ item }: { item: { name: string } }) => void seen.push(`${name} calls ${item.name}`),
      afterTool: ({ result }: { result: { output: string } }) =>
        name === 'boss' ? { output: result.output.toUpperCase() } : undefined,
    })
    const expert = helper('expert', [{ toolCalls: [call('look')] }, 'quiet'], {
      tools: [look],
      hooks: hooksOf('expert'),
    })
    const asking = scriptedModel([{ toolCalls: [ask('expert')] }, 'ok'])
    const engine = await startEngine({ agents: [boss(asking, [expert], { hooks: hooksOf('boss') })] })
    await engine.finish({ agent: 'boss' })
    expect(seen).toEqual([
      'boss asks',
      'boss calls expert',
      'expert asks',
      'expert calls look',
      'expert asks',
      'boss asks',
    ])
    expect(transcript(asking.calls[1]).at(-1)).toBe('result QUIET')
  })

  test('may plan, without changing the run’s plan', async () => {
    const expert = helper('expert', ['1. Think.', 'done'], { planning: { every: 1 } })
    const engine = await startEngine({ agents: [boss([{ toolCalls: [ask('expert')] }, 'ok'], [expert])] })
    const { run, events } = await engine.finish({ agent: 'boss' })
    expect(run).toMatchObject({ status: 'completed', plan: null })
    expect(shownTypes(events)).toContain('plan.update')
  })
})

describe('how it ends', () => {
  /** What the asking agent reads of an expert of that kind. */
  async function answerOf(expert: Parameters<typeof helper>[2], replies: Parameters<typeof helper>[1]) {
    const asking = scriptedModel([{ toolCalls: [ask('expert')] }, 'ok'])
    const log = createLogCapture()
    const made = helper('expert', replies, expert)
    const engine = await startEngine({ agents: [boss(asking, [made])], logger: log.logger })
    const { run, events } = await engine.finish({ agent: 'boss' })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'final' })
    const [end] = eventsOfType(events, 'tool.end')
    return { told: transcript(asking.calls[1]).at(-1), error: end?.error, log, end: shown(events).at(-1) }
  }
  const looks = { text: 'Let me look.', toolCalls: [call('look')] }

  test('at its own maxSteps with a forced answer', async () => {
    const { told } = await answerOf({ tools: [look], maxSteps: 1 }, [looks, 'It is 42.'])
    expect(told).toBe('result It is 42.')
  })

  test('or without one: the other is told that it has no answer', async () => {
    const { told, error } = await answerOf({ tools: [look], maxSteps: 1, forceAnswer: false }, [looks])
    expect(told).toBe('result Let me look.\n[The agent ended before it had an answer: max_steps.]')
    expect(error).toBeUndefined()
  })

  test('cut by its output limit: half an answer is told to be one', async () => {
    const { told } = await answerOf({}, [{ text: 'It is', finishReason: 'length' }])
    expect(told).toBe('result It is\n[The agent ended before it had an answer: max_output_tokens.]')
  })

  test('filtered by its provider', async () => {
    const { told } = await answerOf({}, [{ text: '', finishReason: 'content_filter' }])
    expect(told).toBe('result [The agent ended before it had an answer: content_filter.]')
  })

  test('refused by its own hook: nothing of what it said is passed on', async () => {
    const hooks = { afterModel: () => ({ refuse: { code: 'content_filter' as const, message: 'no' } }) }
    const { told } = await answerOf({ hooks }, ['something secret'])
    expect(told).toBe('result [The agent ended before it had an answer: content_filter.]')
  })

  test('without a word', async () => {
    const { told } = await answerOf({}, [{ text: '' }])
    expect(told).toBe('result The agent gave no answer.')
  })

  test('with a failure of its model: the other reads that, and no word of the provider', async () => {
    const { told, error, log } = await answerOf({}, [{ error: { code: 'model_auth_failed' } }])
    expect(told).toBe('result Error: The model provider refuses our credentials.')
    expect(error).toEqual({ code: 'tool_failed', message: 'The model provider refuses our credentials.' })
    expect(log.lines()).toContainEqual(
      expect.objectContaining({ level: 'warn', message: 'agent as tool failed' }),
    )
  })

  test('with a bug in its hooks: the other reads that it failed, and the log has it as a bug', async () => {
    const hooks = {
      beforeModel: () => {
        throw new Error('secret')
      },
    }
    const { told, error, log } = await answerOf({ hooks }, [])
    expect(told).toBe('result Error: Something went wrong on our side.')
    expect(error).toMatchObject({ code: 'tool_failed' })
    expect(log.lines()).toContainEqual(expect.objectContaining({ level: 'error' }))
  })

  test('with an answer that never satisfies its schema', async () => {
    const { error } = await answerOf({ output: z.object({ n: z.number() }) }, ['a', 'b', 'c'])
    expect(error?.code).toBe('tool_failed')
    expect(error?.message).toContain('The answer does not satisfy the schema.')
  })

  test('with a long answer: it is cut as any result', async () => {
    const { told } = await answerOf({}, ['x'.repeat(60_000)])
    expect(told).toContain('[cut: 10000 of 60000 characters are missing]')
  })

  test('after its model passed a failure that may pass', async () => {
    const { told } = await answerOf({}, [{ error: { code: 'model_unavailable', retryAfterMs: 0 } }, 'here'])
    expect(told).toBe('result here')
  })

  test('with a fallback model where its first fails', async () => {
    const first = scriptedModel([{ error: { code: 'model_auth_failed' } }])
    const expert = agent({ name: 'expert', model: [first, scriptedModel(['second'])] })
    const asking = scriptedModel([{ toolCalls: [ask('expert')] }, 'ok'])
    const engine = await startEngine({ agents: [boss(asking, [expert])] })
    await engine.finish({ agent: 'boss' })
    expect(transcript(asking.calls[1]).at(-1)).toBe('result second')
  })

  test('a tool of its own that takes too long is told to it, not to the other', async () => {
    const clock = createFakeClock()
    const slow = tool({
      name: 'slow',
      description: 'Hangs.',
      effect: 'read',
      timeoutMs: 2_000,
      execute: () => new Promise(() => {}),
    })
    const model = scriptedModel([{ toolCalls: [call('slow')] }, 'no luck'])
    const asking = scriptedModel([{ toolCalls: [ask('expert')] }, 'ok'])
    const engine = await startEngine({
      agents: [boss(asking, [helper('expert', model, { tools: [slow] })])],
      clock,
    })
    await advanceUntil(clock, engine.finish({ agent: 'boss' }))
    expect(transcript(model.calls[1]).at(-1)).toBe('result Error: No answer within 2 s.')
    expect(transcript(asking.calls[1]).at(-1)).toBe('result no luck')
  })
})

describe('several agents as tools', () => {
  test('work side by side, and their results stand in call order', async () => {
    const both = Promise.withResolvers<void>()
    let working = 0
    const expert = (name: string) =>
      helper(
        name,
        scriptedModel(async () => {
          if (++working === 2) both.resolve()
          await both.promise
          return `${name} says so`
        }),
      )
    const asking = scriptedModel([{ toolCalls: [ask('one'), ask('two'), ask('one', 'more')] }, 'ok'])
    const engine = await startEngine({ agents: [boss(asking, [expert('one'), expert('two')])] })
    const { events } = await engine.finish({ agent: 'boss' })
    expect(transcript(asking.calls[1]).slice(-3)).toEqual([
      'result one says so',
      'result two says so',
      'result one says so',
    ])
    // Each call's progress stands under that call.
    const calls = eventsOfType(events, 'tool.call').map(({ call_id }) => call_id)
    for (const call_id of calls) {
      const own = shown(events).filter((one) => one.call_id === call_id)
      expect(own.map(({ event }) => event.type).at(-1)).toBe('run.end')
      expect(own.map(({ event }) => (typeof event.delta === 'string' ? event.delta : '')).join('')).toMatch(
        /^(one|two) says so$/,
      )
    }
  })

  test('the failure of one leaves the others alone', async () => {
    const asking = scriptedModel([{ toolCalls: [ask('bad'), ask('good')] }, 'ok'])
    const bad = helper('bad', [{ error: { code: 'model_refused' } }])
    const engine = await startEngine({ agents: [boss(asking, [bad, helper('good', ['fine'])])] })
    await engine.finish({ agent: 'boss' })
    expect(transcript(asking.calls[1]).slice(-2)).toEqual([
      'result Error: The model provider refuses the request.',
      'result fine',
    ])
  })

  test('may have agents of their own: progress is nested, work is not mixed', async () => {
    const inner = scriptedModel([{ toolCalls: [call('look')] }, 'deep'])
    const middle = scriptedModel([{ toolCalls: [ask('inner', 'dig')] }, 'from below: deep'])
    const asking = scriptedModel([{ toolCalls: [ask('middle', 'go')] }, 'ok'])
    const two = helper('middle', middle, { tools: [helper('inner', inner, { tools: [look] }).asTool()] })
    const engine = await startEngine({ agents: [boss(asking, [two])] })
    const { run, events } = await engine.finish({ agent: 'boss' })
    expect(run).toMatchObject({ status: 'completed', steps: 2 })
    expect(transcript(inner.calls[0])).toEqual(['user: dig'])
    expect(transcript(middle.calls[1])).toEqual(['user: go', 'call inner {"task":"dig"}', 'result deep'])
    expect(transcript(asking.calls[1]).at(-1)).toBe('result from below: deep')
    const nested = shown(events).filter(({ event }) => event.type === 'tool.progress')
    const types = nested.map(({ event }) => (event.event as { type: string }).type)
    expect(types).toContain('tool.end')
    expect(types.at(-1)).toBe('run.end')
    const items = await engine.items(run)
    const parents = new Set(items.map(({ parent_call_id }) => parent_call_id))
    expect(parents.size).toBe(3)
    const idOf = (name: string) =>
      items.flatMap(({ item }) => (item.type === 'tool_call' && item.name === name ? [item.call_id] : []))[0]
    const withCall = items.find(({ item }) => item.type === 'tool_call' && item.name === 'look')
    expect(withCall?.parent_call_id).toBe(idOf('inner'))
  })
})

describe('what it uses up', () => {
  test('is the run’s: tokens and cost', async () => {
    const expert = helper(
      'expert',
      scriptedModel(
        [
          { toolCalls: [call('look')], usage: tokens(100) },
          { text: 'x', usage: tokens(10) },
        ],
        {
          id: 'scripted/expert',
        },
      ),
      { tools: [look] },
    )
    const asking = scriptedModel([
      { toolCalls: [ask('expert')], usage: tokens(1) },
      { text: 'ok', usage: tokens(2) },
    ])
    const engine = await startEngine({
      agents: [boss(asking, [expert])],
      prices: { 'scripted/expert': { input: 1_000_000, output: 0 } },
    })
    const { run, events } = await engine.finish({ agent: 'boss' })
    expect(run.usage).toEqual(tokens(113))
    expect(run.spent).toMatchObject({ cost: 110, tool_calls: 2 })
    // Its own end tells what it used itself.
    expect(shown(events).at(-1)?.event).toMatchObject({ type: 'run.end', usage: tokens(110), cost: 110 })
  })

  test('counts against the run’s budget, which ends both', async () => {
    const expert = helper('expert', [{ toolCalls: [call('look')], usage: tokens(200) }, 'never'], {
      tools: [look],
    })
    const model = scriptedModel([{ toolCalls: [ask('expert')] }, 'never'])
    const engine = await startEngine({ agents: [boss(model, [expert], { budget: { tokens: 100 } })] })
    const { run, events } = await engine.finish({ agent: 'boss' })
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'budget' })
    expect(shown(events).at(-1)?.event).toMatchObject({ type: 'run.end', stop_reason: 'budget' })
    expect(model.calls).toHaveLength(1)
  })

  test('its own budget is for its own work: neither what was before nor what others do counts', async () => {
    const both = Promise.withResolvers<void>()
    let working = 0
    const expert = (name: string) => {
      let step = 0
      const model = scriptedModel(async () => {
        if (step++ > 0) return { text: `${name} done`, usage: tokens(60) }
        if (++working === 2) both.resolve()
        await both.promise
        return { toolCalls: [call('look')], usage: tokens(60) }
      })
      return helper(name, model, { tools: [look], budget: { tokens: 100 } })
    }
    const asking = scriptedModel([
      { toolCalls: [ask('one'), ask('two')], usage: tokens(500) },
      { text: 'ok', usage: tokens(1) },
    ])
    const engine = await startEngine({ agents: [boss(asking, [expert('one'), expert('two')])] })
    const { run } = await engine.finish({ agent: 'boss' })
    expect(transcript(asking.calls[1]).slice(-2)).toEqual(['result one done', 'result two done'])
    expect(run.usage.total_tokens).toBe(741)
  })

  test('and ends it alone', async () => {
    const expert = helper('expert', [{ toolCalls: [call('look')], usage: tokens(100) }, 'never'], {
      tools: [look],
      budget: { tokens: 100 },
    })
    const asking = scriptedModel([{ toolCalls: [ask('expert')] }, 'ok'])
    const engine = await startEngine({ agents: [boss(asking, [expert])] })
    const { run, text } = await engine.finish({ agent: 'boss' })
    expect(run.stop_reason).toBe('final')
    expect(text).toBe('ok')
    expect(transcript(asking.calls[1]).at(-1)).toContain('budget')
  })
})

describe('a cancel', () => {
  test('reaches its model', async () => {
    const asked = Promise.withResolvers<void>()
    const model = scriptedModel(() => {
      asked.resolve()
      return { text: 'I am', hang: true }
    })
    const engine = await startEngine({
      agents: [boss([{ toolCalls: [ask('expert')] }], [helper('expert', model)])],
    })
    const run = await engine.start({ agent: 'boss' })
    await asked.promise
    await engine.runs.cancel(anonymous, run.id, 'enough')
    expect(model.aborted).toBe(1)
    const ended = await engine.settled(run)
    expect(ended).toMatchObject({ status: 'cancelled', output: [] })
    // What it said until then is kept, as its work and not as the run's.
    const cut = (await engine.items(run)).filter(({ item }) => item.type === 'message' && item.partial)
    expect(cut).toMatchObject([{ parent_call_id: expect.stringMatching(/^call_/) }])
  })

  test('reaches its tools', async () => {
    const started = Promise.withResolvers<AbortSignal>()
    const wait = tool({
      name: 'wait',
      description: 'Waits.',
      execute: (_input, { signal }) => {
        started.resolve(signal)
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new Error('stopped')))
        })
      },
    })
    const expert = helper('expert', [{ toolCalls: [call('wait')] }], { tools: [wait] })
    const engine = await startEngine({ agents: [boss([{ toolCalls: [ask('expert')] }], [expert])] })
    const run = await engine.start({ agent: 'boss' })
    const signal = await started.promise
    await engine.runs.cancel(anonymous, run.id, 'enough')
    expect(signal.aborted).toBe(true)
    expect(await engine.settled(run)).toMatchObject({ status: 'cancelled' })
    const ledger = await engine.store.ledger.ofRun(run.id)
    expect(ledger.find(({ effect }) => effect === 'write')).toMatchObject({ state: 'unknown' })
  })

  test('that the store knows of before the node does ends the run all the same', async () => {
    const gate = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    const model = scriptedModel(async () => {
      asked.resolve()
      await gate.promise
      return 'too late'
    })
    const engine = await startEngine({
      agents: [boss([{ toolCalls: [ask('expert')] }], [helper('expert', model)])],
    })
    const run = await engine.start({ agent: 'boss' })
    await asked.promise
    await engine.store.runs.cancel({
      scope: anonymous,
      run_id: run.id,
      actor: 'somebody',
      reason: 'enough',
      now: Date.now(),
    })
    gate.resolve()
    const events = await engine.events(run)
    expect(eventsOfType(events, 'tool.end')).toEqual([])
    expect(await engine.load(run)).toMatchObject({ status: 'cancelled' })
  })
})

describe('definitions', () => {
  test('an agent that routes or hands over cannot serve as a tool', () => {
    const message = 'agent expert: an agent that routes or hands over cannot serve as a tool'
    expect(() => helper('expert', [], { handoffs: ['x'] }).asTool()).toThrow(message)
    expect(() => helper('expert', [], { specialists: [helper('x', [])] }).asTool()).toThrow(message)
  })

  test('two agents of one name are refused at the start, also where one is a tool of the other', async () => {
    const engine = startEngine({ agents: [boss([], [helper('boss', [])])] })
    await expect(engine).rejects.toThrow('two agents are named boss')
  })

  test('its model is looked for at the start', async () => {
    const expert = agent({ name: 'expert', model: 'nobody/nothing' })
    await expect(startEngine({ agents: [boss([], [expert])] })).rejects.toMatchObject({
      code: 'model_not_configured',
    })
  })
})
