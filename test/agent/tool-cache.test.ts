import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { AnyTool } from '../../src/agent/definitions.ts'
import type { Hooks } from '../../src/agent/hooks.ts'
import { tool } from '../../src/agent/tool.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import {
  eventsOfType,
  principal,
  startEngine,
  type EngineUnderTestOptions,
  type StartInput,
} from './engine-under-test.ts'
import { decide, goesOn } from '../runs/suspended-run.ts'

const city = z.object({ city: z.string() })

/** A cached tool that says how often it ran. */
function counting(execute: (count: number, input: { city: string }) => unknown = (count) => `${count}`) {
  let count = 0
  const it = tool({
    name: 'it',
    description: 'Counts.',
    input: city,
    effect: 'read',
    cache: { ttlMs: 60_000 },
    execute: (input) => execute(++count, input),
  })
  return { it, ran: () => count }
}

/** An engine whose model calls the tool once per run, with the run's input as the city. */
async function serving(it: AnyTool, options: Partial<EngineUnderTestOptions> = {}) {
  const model = scriptedModel(({ items }) => {
    const last = items.at(-1)
    if (last?.type !== 'message') return 'Done.'
    const [part] = last.content
    return { toolCalls: [{ name: 'it', arguments: { city: part?.type === 'text' ? part.text : '' } }] }
  })
  const engine = await startEngine({ model, ...options, agent: { tools: [it], ...options.agent } })
  const look = async (input: string | StartInput = 'Oslo') => {
    const { events } = await engine.finish(input)
    return eventsOfType(events, 'tool.end')
      .map(({ output }) => output)
      .join()
  }
  return { engine, look }
}

describe('a tool that keeps its results', () => {
  test('does not run again for the same call, until its time is over', async () => {
    const clock = createFakeClock()
    const { it } = counting()
    const { look, engine } = await serving(it, { clock })
    expect(await look()).toBe('1')
    await clock.advance(59_999)
    const { events, run } = await engine.finish('Oslo')
    expect(eventsOfType(events, 'tool.end')).toMatchObject([{ output: '1' }])
    expect(await engine.store.ledger.ofRun(run.id)).toMatchObject([{ state: 'committed' }])
    await clock.advance(1)
    expect(await look()).toBe('2')
    expect(await look()).toBe('2')
  })

  test('keeps time by a clock that never jumps', async () => {
    const clock = createFakeClock()
    let jumped = 0
    const jumping = { ...clock, now: () => clock.now() + jumped }
    const { it } = counting()
    const { look } = await serving(it, { clock: jumping })
    await look()
    jumped = 3_600_000
    expect(await look()).toBe('1')
  })

  test('runs for other arguments, other owners, other namespaces and other run contexts', async () => {
    const { it } = counting()
    const { look } = await serving(it)
    expect(await look('Oslo')).toBe('1')
    expect(await look('Rome')).toBe('2')
    expect(await look({ input: 'Oslo', principal: principal('ada') })).toBe('3')
    expect(await look({ input: 'Oslo', principal: principal('ada', 'shop') })).toBe('4')
    expect(await look({ input: 'Oslo', options: { run_context: { customer: 1 } } })).toBe('5')
    expect(await look({ input: 'Oslo', options: { run_context: { customer: 2 } } })).toBe('6')
    // Each has its own now.
    expect(await look('Oslo')).toBe('1')
    expect(await look({ input: 'Oslo', principal: principal('ada') })).toBe('3')
    expect(await look({ input: 'Oslo', options: { run_context: { customer: 1 } } })).toBe('5')
  })

  test('shares nothing between servers: their owners are not the same', async () => {
    const { it } = counting()
    const [first, second] = await Promise.all([serving(it), serving(it)])
    expect(await first.look()).toBe('1')
    expect(await second.look()).toBe('2')
    expect(await first.look()).toBe('1')
  })

  test('does not keep failures', async () => {
    const { it } = counting((count) => {
      if (count === 1) throw new Error('busy')
      return count === 2 ? 1n : 'fine'
    })
    const { look } = await serving(it)
    expect(await look()).toBe('Error: busy')
    expect(await look()).toContain('cannot be written as JSON')
    expect(await look()).toBe('fine')
    expect(await look()).toBe('fine')
  })

  test('keeps what is cut as it was cut', async () => {
    const it = tool({
      name: 'it',
      description: '',
      input: city,
      effect: 'read',
      cache: { ttlMs: 1_000 },
      maxOutputChars: 3,
      execute: () => 'abcdef',
    })
    const { look } = await serving(it)
    const first = await look()
    expect(first).toBe('abc\n[cut: 3 of 6 characters are missing]')
    expect(await look()).toBe(first)
  })

  test('forgets the oldest of more than a thousand results', async () => {
    const { it, ran } = counting()
    const cities = Array.from({ length: 1001 }, (_, i) => `city ${i}`)
    const model = scriptedModel(({ items }) =>
      items.at(-1)?.type === 'message'
        ? { toolCalls: cities.map((name) => ({ name: 'it', arguments: { city: name } })) }
        : 'Done.',
    )
    const engine = await startEngine({ model, agent: { tools: [it], toolConcurrency: 1 } })
    await engine.finish()
    expect(ran()).toBe(1001)
    const reversed = cities.toReversed()
    cities.splice(0, cities.length, ...reversed)
    await engine.finish()
    // All but the first, which was the last to be asked for.
    expect(ran()).toBe(1002)
  })

  test('forgets the oldest of more than four million characters', async () => {
    let count = 0
    const large = tool({
      name: 'it',
      description: '',
      input: city,
      effect: 'read',
      cache: { ttlMs: 60_000 },
      maxOutputChars: 3_000_000,
      execute: ({ city: name }) => `${++count}${name.repeat(400_000)}`,
    })
    const { look } = await serving(large)
    await look('Oslo')
    await look('Rome')
    await look('Bern')
    expect(count).toBe(3)
    await look('Rome')
    expect(count).toBe(3)
    await look('Oslo')
    expect(count).toBe(4)
  })
})

describe('hooks', () => {
  test('see every call and its result, kept or not', async () => {
    const seen: string[] = []
    const hooks: Hooks = {
      beforeTool: ({ input }) => void seen.push(`before ${(input as { city: string }).city}`),
      afterTool({ result }) {
        seen.push(`after ${result.output}`)
        return { output: `${result.output}!` }
      },
    }
    const { it } = counting()
    const { look } = await serving(it, { agent: { hooks } })
    expect(await look()).toBe('1!')
    expect(await look()).toBe('1!')
    expect(seen).toEqual(['before Oslo', 'after 1', 'before Oslo', 'after 1'])
  })

  test('may refuse what was kept', async () => {
    let allowed = true
    const refusal = { refuse: { code: 'tool_refused' as const, message: 'Not now.' } }
    const hooks: Hooks = { beforeTool: () => (allowed ? undefined : refusal) }
    const { it } = counting()
    const { look } = await serving(it, { agent: { hooks } })
    await look()
    allowed = false
    expect(await look()).toBe('Error: Not now.')
  })

  test('that change the input make another call of it, also where JSON does not show it', async () => {
    let for_ = new Map([['unit', 'metre']])
    const hooks: Hooks = { beforeTool: ({ input }) => ({ input: { ...(input as object), for_ } }) }
    const { it } = counting()
    const { look } = await serving(it, { agent: { hooks } })
    expect(await look()).toBe('1')
    expect(await look()).toBe('1')
    for_ = new Map([['unit', 'mile']])
    expect(await look()).toBe('2')
  })

  test('that make of the input what cannot be compared have the tool run each time', async () => {
    const hooks: Hooks = { beforeTool: ({ input }) => ({ input: { ...(input as object), f: () => 1 } }) }
    const { it } = counting()
    const { look } = await serving(it, { agent: { hooks } })
    expect(await look()).toBe('1')
    expect(await look()).toBe('2')
  })
})

test('a result that took a person’s answer is for that call alone', async () => {
  let count = 0
  const it = tool({
    name: 'it',
    description: 'Asks.',
    input: city,
    effect: 'read',
    cache: { ttlMs: 60_000 },
    async execute(_input, context) {
      const answer = await context.ask({ message: 'Which?' })
      return `${++count} ${answer.action === 'accept' ? String(answer.content) : ''}`
    },
  })
  const { engine } = await serving(it)
  for (const said of ['first', 'second']) {
    const { run } = await engine.finish('Oslo')
    expect(run.status).toBe('suspended')
    const [approval] = await engine.runs.pendingApprovals(run)
    await decide(engine, approval?.id, { decision: 'answer', answer: said })
    const { events } = await goesOn(engine, run)
    expect(eventsOfType(events, 'tool.end')).toMatchObject([{ output: expect.stringContaining(said) }])
  }
  expect(count).toBe(2)
})

test('only a read may keep results', () => {
  const make = (options: object) => () => tool({ name: 'it', description: '', execute: () => 1, ...options })
  expect(make({ cache: { ttlMs: 1 } })).toThrow('cache: only for an effect of read')
  expect(make({ effect: 'idempotent', cache: { ttlMs: 1 } })).toThrow('cache: only for an effect of read')
  expect(make({ effect: 'read', cache: { ttlMs: 0 } })).toThrow('cache.ttlMs')
  expect(make({ effect: 'read', cache: { ttl: 5 } })).toThrow('cache')
})
