import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Tool } from '../../src/agent/definitions.ts'
import { tool } from '../../src/agent/tool.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { deferred } from './deferred.ts'
import { eventsOfType, startEngine, transcript } from './engine-under-test.ts'

interface ToolCase {
  // Tools of all inputs meet here, as they do in an agent.
  // oxlint-disable-next-line typescript/no-explicit-any
  tools?: Tool<any>[]
  name?: string
  args?: Record<string, unknown> | string
}

/** One call of one tool: what its `tool.end` says, what the model reads, what the ledger keeps. */
async function callOnce({ tools = [], name = 'it', args = {} }: ToolCase) {
  const model = scriptedModel([{ toolCalls: [{ name, arguments: args }] }, 'Went on.'])
  const engine = await startEngine({ model, agent: { tools } })
  const { run, events, text } = await engine.finish()
  const [end] = eventsOfType(events, 'tool.end')
  return {
    run,
    text,
    end,
    read: transcript(model.calls[1]).at(-1),
    ledger: await engine.store.ledger.ofRun(run.id),
  }
}

function it(execute: Tool['execute'], options: { maxOutputChars?: number } = {}) {
  return tool({ name: 'it', description: 'Does it.', ...options, execute })
}

describe('a call that cannot run is a result the model reads', () => {
  test('an unknown tool, with the names of those there are', async () => {
    const { run, end, read, ledger } = await callOnce({ tools: [it(() => 1)], name: 'other' })
    expect(end?.error?.code).toBe('tool_unknown')
    expect(read).toBe('result Error: There is no tool named "other". Known tools: it.')
    expect(ledger).toEqual([])
    expect(run.status).toBe('completed')
  })

  test('an unknown tool of an agent without tools', async () => {
    const { read } = await callOnce({ name: 'other' })
    expect(read).toContain('Known tools: none.')
  })

  test('arguments that are not JSON', async () => {
    const { end, read, ledger } = await callOnce({ tools: [it(() => 1)], args: '{"a": ' })
    expect(end?.error?.code).toBe('tool_bad_arguments')
    expect(read).toBe('result Error: The arguments are not JSON of a sane depth: {"a": ')
    expect(ledger).toEqual([])
  })

  test('arguments that do not fit the schema, with the place of the fault', async () => {
    let ran = false
    const strict = tool({
      name: 'it',
      description: 'Takes a number.',
      input: z.object({ deep: z.object({ n: z.number() }) }),
      execute: () => (ran = true),
    })
    const { end, read } = await callOnce({ tools: [strict], args: { deep: { n: 'x' } } })
    expect(end?.error?.code).toBe('tool_bad_arguments')
    expect(read).toMatch(/^result Error: deep\.n: /)
    expect(ran).toBe(false)
  })

  test('arguments that do not fit a JSON Schema', async () => {
    const strict = tool({
      name: 'it',
      description: 'Takes a number.',
      input: { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] },
      execute: () => 1,
    })
    const { end } = await callOnce({ tools: [strict], args: {} })
    expect(end?.error?.code).toBe('tool_bad_arguments')
  })

  const lister = tool({
    name: 'it',
    description: 'Takes texts.',
    input: z.object({ list: z.array(z.string()) }),
    execute: () => 1,
  })

  test('arguments with many faults: the first of them, and how many more there are', async () => {
    const { end, read } = await callOnce({ tools: [lister], args: { list: Array(40_000).fill(1) } })
    expect(end?.error?.code).toBe('tool_bad_arguments')
    expect(read).toMatch(/^result Error: list\.0: .*; list\.19: [^;]*; and 39980 more$/)
    expect(read?.length).toBeLessThan(2_200)
  })

  test('arguments with a fault that is long: its beginning', async () => {
    const input = z.strictObject({})
    const strict = tool({ name: 'it', description: 'Takes nothing.', input, execute: () => 1 })
    const { read } = await callOnce({ tools: [strict], args: { ['x'.repeat(100_000)]: 1 } })
    expect(read).toMatch(/xxx…$/)
    expect(read?.length).toBeLessThan(2_200)
  })

  test('arguments of more values than anybody checks', async () => {
    const { end, read } = await callOnce({ tools: [lister], args: { list: Array(50_000).fill('x') } })
    expect(end?.error?.code).toBe('tool_bad_arguments')
    expect(read).toBe('result Error: more than 50000 values')
  })

  test('arguments whose checks would take very long together: others have their turns, and the last are not begun', async () => {
    const patterned = tool({
      name: 'it',
      description: 'Takes what never ends.',
      input: { type: 'object', properties: { text: { type: 'string', pattern: '^(a+)+$' } } },
      execute: ({ text }) => text,
    })
    const seen: string[] = []
    const watched = {
      ...patterned,
      parse: (input: unknown) => {
        seen.push('check')
        setImmediate(() => seen.push('turn'))
        return patterned.parse(input)
      },
    }
    const good = { name: 'it', arguments: { text: 'aaa' } }
    const slow = { name: 'it', arguments: { text: `${'a'.repeat(60)}!` } }
    const slows = Array<typeof slow>(20).fill(slow)
    const model = scriptedModel([{ toolCalls: [good, ...slows] }, { toolCalls: [good] }, 'Went on.'])
    const engine = await startEngine({ model, agent: { tools: [watched] } })
    const before = process.threadCpuUsage()
    const { events } = await engine.finish()
    const { user } = process.threadCpuUsage(before)
    const ends = eventsOfType(events, 'tool.end')
    const refused = ends.filter(({ error }) => error?.code === 'tool_bad_arguments')
    expect([ends.length, refused.length]).toEqual([22, 20])
    // The next reply has its own time.
    expect(ends.at(-1)?.error).toBeUndefined()
    // Each of them alone may take a quarter of a second.
    expect(user).toBeLessThan(2_000_000)
    expect(seen.indexOf('turn')).toBeLessThanOrEqual(2)
  })

  test('an approval policy that throws', async () => {
    const odd = tool({
      name: 'it',
      description: 'Has a broken policy.',
      approval: () => {
        throw new Error('policy secret')
      },
      execute: () => 1,
    })
    const { run, end, read } = await callOnce({ tools: [odd] })
    expect(end?.error?.code).toBe('tool_failed')
    expect(read).toBe('result Error: The call could not be checked.')
    expect(run.status).toBe('completed')
  })
})

describe('whatever a tool does is a result the model reads', () => {
  const odd = { toString: () => 'never asked' }
  class Silent extends Error {
    override get message(): string {
      throw new Error('even this throws')
    }
  }
  test.each<[string, () => unknown, string]>([
    ['an error', () => new Error('no such city'), 'Error: no such city'],
    ['an error without a text', () => new Error(''), 'Error: The tool failed.'],
    ['a text', () => 'plain', 'Error: plain'],
    ['undefined', () => undefined, 'Error: undefined'],
    ['a symbol', () => Symbol('s'), 'Error: Symbol(s)'],
    ['an object', () => odd, 'Error: never asked'],
    ['an object without a prototype', () => Object.create(null), 'Error: The tool failed.'],
    ['an error whose message is none', () => Object.assign(new Error('x'), { message: 7 }), 'Error: 7'],
    ['an error whose message throws', () => new Silent(), 'Error: The tool failed.'],
  ])('throwing %s', async (_name, make, expected) => {
    const { run, end, read } = await callOnce({
      tools: [
        it(() => {
          throw make()
        }),
      ],
    })
    expect(read).toBe(`result ${expected}`)
    expect(end?.error).toEqual({ code: 'tool_failed', message: 'The tool failed.' })
    expect(run.status).toBe('completed')
  })

  const cyclic: Record<string, unknown> = {}
  cyclic.self = cyclic
  test.each<[string, unknown, string]>([
    ['undefined', undefined, ''],
    ['a function', () => 1, ''],
    ['null', null, 'null'],
    ['an object', { a: [1] }, '{"a":[1]}'],
    ['a promise', Promise.resolve('later'), 'later'],
  ])('returning %s', async (_name, value, expected) => {
    const { end } = await callOnce({ tools: [it(() => value)] })
    expect(end).toMatchObject({ output: expected })
    expect(end).not.toHaveProperty('error')
  })

  test.each<[string, unknown]>([
    ['a cycle', cyclic],
    ['a bigint', 10n],
    [
      'an object whose toJSON throws',
      {
        toJSON() {
          throw new Error('no')
        },
      },
    ],
  ])('returning %s', async (_name, value) => {
    const { end, run } = await callOnce({ tools: [it(() => value)] })
    expect(end?.error?.code).toBe('tool_failed')
    expect(end?.output).toBe('Error: The tool ran, but its result cannot be written as JSON.')
    expect(run.status).toBe('completed')
  })

  test('returning 10 MB: cut, with a mark that says so', async () => {
    const { end, read } = await callOnce({ tools: [it(() => 'x'.repeat(10_000_000))] })
    expect(end?.output).toBe(`${'x'.repeat(50_000)}\n[cut: 9950000 of 10000000 characters are missing]`)
    expect(read).toBe(`result ${end?.output}`)
  })

  test('cut between the halves of a character: the half goes too', async () => {
    const { end } = await callOnce({ tools: [it(() => 'ab😀', { maxOutputChars: 3 })] })
    expect(end?.output).toBe('ab\n[cut: 2 of 4 characters are missing]')
  })

  test('a very long error text: cut too', async () => {
    const { end } = await callOnce({
      tools: [
        it(() => {
          throw new Error('y'.repeat(100_000))
        }),
      ],
    })
    expect(end?.output.length).toBeLessThan(2_200)
    expect(end?.output).toContain('[cut: ')
  })

  test('the other calls of the step have their results all the same', async () => {
    const bad = it(() => {
      throw new Error('bad')
    })
    const good = tool({ name: 'good', description: 'Is good.', execute: () => 'fine' })
    const model = scriptedModel([
      {
        toolCalls: [
          { name: 'it', arguments: {} },
          { name: 'good', arguments: {} },
          { name: 'gone', arguments: {} },
        ],
      },
      'ok',
    ])
    const engine = await startEngine({ model, agent: { tools: [bad, good] } })
    await engine.finish()
    expect(transcript(model.calls[1]).slice(-3)).toEqual([
      'result Error: bad',
      'result fine',
      expect.stringContaining('There is no tool named "gone"'),
    ])
  })
})

describe('a tool that hangs', () => {
  async function hang(effect: 'read' | 'idempotent' | 'write') {
    const clock = createFakeClock()
    const started = deferred<AbortSignal>()
    const hanging = tool({
      name: 'it',
      description: 'Hangs and minds no signal.',
      effect,
      timeoutMs: 2_000,
      execute: (_input, { signal }) => {
        started.resolve(signal)
        return new Promise(() => {})
      },
    })
    const model = scriptedModel([{ toolCalls: [{ name: 'it', arguments: {} }] }, 'ok'])
    const engine = await startEngine({ model, clock, agent: { tools: [hanging] } })
    const run = await engine.start()
    const signal = await started.promise
    await clock.advance(1_999)
    expect(signal.aborted).toBe(false)
    await clock.advance(1)
    expect(signal.reason).toMatchObject({ name: 'TimeoutError' })
    const events = await engine.events(run)
    return {
      end: eventsOfType(events, 'tool.end')[0],
      run: await engine.load(run),
      ledger: await engine.store.ledger.ofRun(run.id),
    }
  }

  test.each(['read', 'idempotent'] as const)(
    '%s: is told its timeout and gives tool_timeout',
    async (effect) => {
      const { end, run, ledger } = await hang(effect)
      expect(end).toMatchObject({ error: { code: 'tool_timeout' }, output: 'Error: No answer within 2 s.' })
      expect(ledger).toMatchObject([{ state: 'committed' }])
      expect(run.status).toBe('completed')
    },
  )

  test('write: is outcome_unknown, and the model is told not to repeat it', async () => {
    const { end, run, ledger } = await hang('write')
    expect(end?.error?.code).toBe('outcome_unknown')
    expect(end?.output).toContain('do not repeat it')
    expect(ledger).toMatchObject([{ state: 'unknown' }])
    expect(run.status).toBe('completed')
  })

  test('and rejects long after: nobody minds', async () => {
    const clock = createFakeClock()
    const started = deferred()
    const late = deferred()
    const hanging = tool({
      name: 'it',
      description: 'Fails too late.',
      effect: 'read',
      timeoutMs: 1_000,
      execute: async () => {
        started.resolve()
        await late.promise
        throw new Error('too late')
      },
    })
    const model = scriptedModel([{ toolCalls: [{ name: 'it', arguments: {} }] }, 'ok'])
    const engine = await startEngine({ model, clock, agent: { tools: [hanging] } })
    const run = await engine.start()
    await started.promise
    await clock.advance(1_000)
    late.resolve()
    expect((await engine.settled(run)).status).toBe('completed')
    expect(eventsOfType(await engine.events(run), 'tool.end')).toHaveLength(1)
  })
})

test('progress is what it is made of, whatever a tool gives', async () => {
  const forged = { type: 'run.end', seq: 1, call_id: 'other', progress: 1n, total: 3, message: { a: 1 } }
  const tools = [it((_input, context) => context.progress(forged as unknown as { progress: number }))]
  const model = scriptedModel([{ toolCalls: [{ name: 'it', arguments: {} }] }, 'Done.'])
  const engine = await startEngine({ model, agent: { tools } })
  const { events, run } = await engine.finish()
  const [start] = eventsOfType(events, 'tool.start')
  expect(eventsOfType(events, 'tool.progress')).toEqual([
    { type: 'tool.progress', call_id: start?.call_id, total: 3 },
  ])
  expect(run.status).toBe('completed')
})
