import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Hooks } from '../../src/agent/hooks.ts'
import { tool } from '../../src/agent/tool.ts'
import { AppError } from '../../src/errors.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { deferred } from './deferred.ts'
import { eventsOfType, startEngine, transcript } from './engine-under-test.ts'

const ran: number[] = []
const count = tool({
  name: 'count',
  description: 'Counts.',
  input: z.object({ n: z.number() }),
  execute: ({ n }) => {
    ran.push(n)
    return `counted ${n}`
  },
})
const callCount: ScriptedReply = { toolCalls: [{ name: 'count', arguments: { n: 1 } }] }

async function withHooks(hooks: Hooks, replies: readonly ScriptedReply[] = [callCount, 'Done.', 'Again.']) {
  ran.length = 0
  const model = scriptedModel(replies)
  const engine = await startEngine({ model, agent: { tools: [count], hooks } })
  return { model, engine }
}

describe('beforeModel', () => {
  test('may change the request', async () => {
    const { model, engine } = await withHooks(
      { beforeModel: (request) => ({ ...request, instructions: 'Be brief.', tools: [] }) },
      ['ok'],
    )
    await engine.finish()
    expect(model.calls[0]).toMatchObject({ instructions: 'Be brief.', tools: [] })
  })

  test('may refuse: the model is not asked and the run ends with content_filter', async () => {
    const { model, engine } = await withHooks({
      beforeModel: () => ({ refuse: { code: 'content_filter', message: 'Not this.' } }),
    })
    const { run, events, types, text } = await engine.finish()
    expect(run).toMatchObject({ status: 'completed', stop_reason: 'content_filter', steps: 0, output: [] })
    expect(types).toEqual(['run.start', 'warning', 'run.end'])
    expect(eventsOfType(events, 'warning')[0]).toMatchObject({ code: 'content_filter', message: 'Not this.' })
    expect(text).toBe('')
    expect(model.calls).toHaveLength(0)
  })

  test('sees the run and may warn', async () => {
    const steps: unknown[] = []
    const { engine } = await withHooks({
      beforeModel: (_request, { step, agent, principal, runId, warn }) => {
        steps.push({ step, agent, owner: principal.owner, runId })
        warn('note', `step ${step}`)
        return undefined
      },
    })
    const { run, events } = await engine.finish()
    const common = { agent: 'assistant', owner: 'anonymous', runId: run.id }
    expect(steps).toEqual([
      { step: 0, ...common },
      { step: 1, ...common },
    ])
    expect(eventsOfType(events, 'warning').map(({ message }) => message)).toEqual(['step 0', 'step 1'])
  })
})

describe('afterModel', () => {
  test('may refuse what was shown: it is replayed, counted, never output and never sent again', async () => {
    let refuse = true
    const { model, engine } = await withHooks(
      {
        afterModel: ({ reply }) =>
          refuse && reply.finishReason === 'stop'
            ? { refuse: { code: 'content_filter', message: 'Not that.' } }
            : undefined,
      },
      ['A bad word.', 'Fine.'],
    )
    const refused = await engine.finish({ conversation: { session: 's' } })
    expect(refused.run).toMatchObject({
      status: 'completed',
      stop_reason: 'content_filter',
      steps: 1,
      output: [],
      usage: { input_tokens: 1, output_tokens: 3, total_tokens: 4 },
    })
    expect(refused.text).toBe('')
    expect(await engine.events(refused.run)).toEqual(refused.events)
    refuse = false
    await engine.finish({ conversation: { session: 's' } })
    expect(transcript(model.calls[1])).toEqual(['user: hello', 'user: hello'])
  })

  test('sees the items of the reply before they are committed', async () => {
    const seen: string[][] = []
    const { engine } = await withHooks({
      afterModel: ({ items }) => {
        seen.push(items.map(({ type }) => type))
        return undefined
      },
    })
    await engine.finish()
    expect(seen).toEqual([['tool_call'], ['message']])
  })
})

describe('beforeTool', () => {
  test('may change the input', async () => {
    const { model, engine } = await withHooks({ beforeTool: () => ({ input: { n: 5 } }) })
    await engine.finish()
    expect(ran).toEqual([5])
    expect(transcript(model.calls[1]).at(-1)).toBe('result counted 5')
  })

  test('may refuse: the tool does not run and the model is told why', async () => {
    const { model, engine } = await withHooks({
      beforeTool: () => ({ refuse: { code: 'tool_refused', message: 'Not on Sundays.' } }),
    })
    const { run, events } = await engine.finish()
    expect(ran).toEqual([])
    expect(eventsOfType(events, 'tool.end')[0]?.error).toEqual({
      code: 'tool_refused',
      message: 'Not on Sundays.',
    })
    expect(transcript(model.calls[1]).at(-1)).toBe('result Error: Not on Sundays.')
    expect(run.status).toBe('completed')
  })

  test('is not asked about a call that cannot run', async () => {
    let asked = 0
    const { engine } = await withHooks(
      {
        beforeTool: () => {
          asked++
          return undefined
        },
      },
      [{ toolCalls: [{ name: 'nothing', arguments: {} }] }, 'ok'],
    )
    await engine.finish()
    expect(asked).toBe(0)
  })

  test('a run that is cancelled while the hook thinks starts no tool', async () => {
    const asked = deferred()
    const answer = deferred()
    const { engine } = await withHooks({
      beforeTool: async () => {
        asked.resolve()
        await answer.promise
        return undefined
      },
    })
    const run = await engine.start()
    await asked.promise
    const cancelling = engine.runs.cancel(anonymous, run.id, 'enough')
    await engine.reach(run, 'run.end')
    answer.resolve()
    expect((await cancelling).run.status).toBe('cancelled')
    expect(ran).toEqual([])
  })
})

describe('afterTool', () => {
  test('may replace what the model reads', async () => {
    const { model, engine } = await withHooks({
      afterTool: ({ result }) => ({ output: result.output.toUpperCase() }),
    })
    const { events } = await engine.finish()
    expect(transcript(model.calls[1]).at(-1)).toBe('result COUNTED 1')
    expect(eventsOfType(events, 'tool.end')[0]?.output).toBe('COUNTED 1')
  })
})

describe('a hook that throws', () => {
  const names = ['beforeModel', 'afterModel', 'beforeTool', 'afterTool'] as const
  const causes: [string, () => unknown][] = [
    ['an error', () => new Error('the hook has a secret')],
    ['a coded error', () => new AppError('model_unavailable', { message: 'the hook has a secret' })],
  ]
  test.each(names.flatMap((name) => causes.map(([what, make]) => [name, what, make] as const)))(
    '%s, %s: the run fails as internal at once and the server goes on',
    async (name, _what, make) => {
      let broken = true
      const { model, engine } = await withHooks({
        [name]: () => {
          if (broken) throw make()
        },
      })
      const { run, events } = await engine.finish({ conversation: { session: 's' } })
      expect(run).toMatchObject({
        status: 'failed',
        stop_reason: 'error',
        error: { code: 'internal', message: 'Something went wrong on our side.' },
      })
      expect(JSON.stringify(events)).not.toContain('secret')
      expect(model.calls.length).toBe(name === 'beforeModel' ? 0 : 1)
      broken = false
      expect((await engine.finish({ conversation: { session: 's' } })).run.status).toBe('completed')
    },
  )
})

describe('author code that never answers', () => {
  test.each(['beforeModel', 'afterModel', 'beforeTool', 'afterTool'] as const)(
    '%s: a cancel ends the run all the same',
    async (name) => {
      const asked = deferred()
      const { engine } = await withHooks({
        [name]: () => {
          asked.resolve()
          return new Promise<undefined>(() => {})
        },
      })
      const run = await engine.start()
      await asked.promise
      const { run: ended } = await engine.runs.cancel(anonymous, run.id, 'enough')
      expect(ended.status).toBe('cancelled')
    },
  )

  test('instructions: a cancel ends the run all the same', async () => {
    const asked = deferred()
    const engine = await startEngine({
      model: scriptedModel(['ok']),
      agent: {
        instructions: () => {
          asked.resolve()
          return new Promise<string>(() => {})
        },
      },
    })
    const run = await engine.start()
    await asked.promise
    expect((await engine.runs.cancel(anonymous, run.id, 'enough')).run.status).toBe('cancelled')
  })

  test('an approval policy: a cancel ends the run all the same', async () => {
    const asked = deferred()
    const gated = tool({
      name: 'count',
      description: 'Asks for ever.',
      approval: () => {
        asked.resolve()
        return new Promise<boolean>(() => {})
      },
      execute: () => 'never',
    })
    const engine = await startEngine({ model: scriptedModel([callCount]), agent: { tools: [gated] } })
    const run = await engine.start()
    await asked.promise
    expect((await engine.runs.cancel(anonymous, run.id, 'enough')).run.status).toBe('cancelled')
  })
})
