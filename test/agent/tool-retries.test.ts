import { describe, expect, test } from 'vitest'
import { tool } from '../../src/agent/tool.ts'
import type { ToolContext } from '../../src/agent/definitions.ts'
import type { ToolOptions } from '../../src/agent/tool.ts'
import { AppError } from '../../src/errors.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { advanceUntil, eventsOfType, startEngine, transcript } from './engine-under-test.ts'
import { createLogCapture } from './log-capture.ts'
import { deferred } from './deferred.ts'

type Try = (context: ToolContext) => unknown

const fails: Try = () => {
  throw new Error('busy')
}

/** A tool whose tries do what the list says, one after the other; the last again and again. */
function trying(tries: readonly Try[], options: Partial<ToolOptions<Record<string, unknown>>> = {}) {
  const contexts: ToolContext[] = []
  const it = tool({
    name: 'it',
    description: 'Is tried.',
    effect: 'read',
    ...options,
    execute: (_input, context) => {
      contexts.push(context)
      return tries[Math.min(contexts.length, tries.length) - 1]?.(context)
    },
  })
  return { it, contexts }
}

async function engineWith(it: ReturnType<typeof trying>['it']) {
  const clock = createFakeClock()
  const logged = createLogCapture()
  const model = scriptedModel([{ toolCalls: [{ name: 'it', arguments: {} }] }, 'Went on.'])
  const engine = await startEngine({ model, clock, logger: logged.logger, agent: { tools: [it] } })
  return { clock, logged, model, engine }
}

describe('a tool that fails', () => {
  test('is tried again as often as it says, each time after twice the wait, and that is logged', async () => {
    const { it, contexts } = trying([fails], { retries: { times: 3, delayMs: 100 } })
    const { clock, logged, model, engine } = await engineWith(it)
    const at: number[] = []
    const began = clock.monotonic()
    const { events } = await advanceUntil(clock, engine.finish(), 50)
    expect(contexts).toHaveLength(4)
    const lines = logged.lines().filter(({ message }) => message === 'tool failed, trying again')
    for (const { fields } of lines) at.push(fields['wait_ms'] as number)
    expect(at).toEqual([100, 200, 400])
    expect(clock.monotonic() - began).toBeGreaterThanOrEqual(700)
    expect(lines[0]).toMatchObject({ level: 'warn', fields: { tool: 'it', run_id: expect.any(String) } })
    const [end, ...more] = eventsOfType(events, 'tool.end')
    expect(end?.error?.code).toBe('tool_failed')
    expect(more).toEqual([])
    expect(transcript(model.calls[1]).at(-1)).toBe('result Error: busy')
  })

  test('and then does not: its result counts, under the same idempotency key', async () => {
    const { it, contexts } = trying([fails, () => 'fine'], { retries: 2, effect: 'idempotent' })
    const { clock, model, engine } = await engineWith(it)
    const { events } = await advanceUntil(clock, engine.finish())
    expect(eventsOfType(events, 'tool.end')[0]).not.toHaveProperty('error')
    expect(transcript(model.calls[1]).at(-1)).toBe('result fine')
    const [first, second, ...more] = contexts
    expect(second?.idempotencyKey).toBe(first?.idempotencyKey)
    expect(more).toEqual([])
  })

  test('waits half a second at first where it does not say', async () => {
    const { it, contexts } = trying([fails, () => 'fine'], { retries: 1 })
    const { clock, logged, engine } = await engineWith(it)
    await advanceUntil(clock, engine.finish())
    expect(contexts).toHaveLength(2)
    expect(logged.lines().find(({ fields }) => 'wait_ms' in fields)?.fields['wait_ms']).toBe(500)
  })

  test('never waits longer than a minute', async () => {
    const { it } = trying([fails], { retries: { times: 3, delayMs: 50_000 } })
    const { clock, logged, engine } = await engineWith(it)
    await advanceUntil(clock, engine.finish(), 10_000)
    const waits = logged
      .lines()
      .flatMap(({ level, fields }) => (level === 'debug' ? [] : (fields['wait_ms'] ?? [])))
    expect(waits).toEqual([50_000, 60_000, 60_000])
  })

  test('is not tried again where it says by its error that this is of no use', async () => {
    const final: Try = () => {
      throw new AppError('tool_failed', { message: 'There is no such city.' })
    }
    const { it, contexts } = trying([final], { retries: 5 })
    const { engine, model } = await engineWith(it)
    await engine.finish()
    expect(contexts).toHaveLength(1)
    expect(transcript(model.calls[1]).at(-1)).toBe('result Error: There is no such city.')
  })

  test('is tried again where it says by its error that this may help', async () => {
    const passing: Try = () => {
      throw new AppError('tool_failed', { message: 'Busy.', retryable: true })
    }
    const { it, contexts } = trying([passing, () => 'fine'], { retries: 1 })
    const { clock, engine } = await engineWith(it)
    await advanceUntil(clock, engine.finish())
    expect(contexts).toHaveLength(2)
  })

  test('is not tried again where nothing is said about retries', async () => {
    const { it, contexts } = trying([fails])
    const { engine } = await engineWith(it)
    await engine.finish()
    expect(contexts).toHaveLength(1)
  })
})

test('a try that takes too long counts, and each has a signal and a time of its own', async () => {
  const hang: Try = () => new Promise(() => {})
  const { it, contexts } = trying([hang, hang, () => 'fine'], { retries: 2, timeoutMs: 1_000 })
  const { clock, model, engine, logged } = await engineWith(it)
  await advanceUntil(clock, engine.finish())
  expect(transcript(model.calls[1]).at(-1)).toBe('result fine')
  expect(contexts.map(({ signal }) => signal.reason?.name as string | undefined)).toEqual([
    'TimeoutError',
    'TimeoutError',
    undefined,
  ])
  expect(logged.lines().filter(({ message }) => message === 'tool failed, trying again')).toHaveLength(2)
})

test('progress of a try that was given up is not shown', async () => {
  const late: Try = () => new Promise(() => {})
  const { it, contexts } = trying(
    [
      late,
      (context) => {
        contexts[0]?.progress({ message: 'of the first' })
        context.progress({ message: 'of the second' })
        return 'fine'
      },
    ],
    { retries: 1, timeoutMs: 1_000 },
  )
  const { clock, engine } = await engineWith(it)
  const { events } = await advanceUntil(clock, engine.finish())
  expect(eventsOfType(events, 'tool.progress').map(({ message }) => message)).toEqual(['of the second'])
})

test('a run that is cancelled during the wait ends at once, and the tool is not tried again', async () => {
  const { it, contexts } = trying([fails], { retries: { times: 5, delayMs: 60_000 } })
  const logged = createLogCapture()
  const waiting = deferred()
  const warn = (fields: Record<string, unknown>, message: string) => {
    logged.logger.warn(fields, message)
    if (message === 'tool failed, trying again') waiting.resolve()
  }
  const logger = { ...logged.logger, warn, child: () => logger }
  const model = scriptedModel([{ toolCalls: [{ name: 'it', arguments: {} }] }])
  const clock = createFakeClock()
  const engine = await startEngine({ model, clock, logger, agent: { tools: [it] } })
  const run = await engine.start()
  await waiting.promise
  // Time stands still: only the cancel can end the wait.
  expect(await engine.runs.cancel(anonymous, run.id, 'enough')).toMatchObject({
    ended: true,
    run: { status: 'cancelled' },
  })
  expect(contexts).toHaveLength(1)
})

describe('retries are refused', () => {
  const make = (options: object) => () => tool({ name: 'it', description: '', execute: () => 1, ...options })
  test('for a write, also one that is not called so', () => {
    expect(make({ retries: 1 })).toThrow('retries: only for an effect of read or idempotent')
    expect(make({ effect: 'write', retries: { times: 1 } })).toThrow('retries')
    expect(make({ effect: 'write', retries: 0 })).not.toThrow()
  })

  test('where they are more than ten, or wait longer than a minute', () => {
    expect(make({ effect: 'read', retries: 11 })).toThrow('retries')
    expect(make({ effect: 'read', retries: { times: 1, delayMs: 60_001 } })).toThrow('retries')
    expect(make({ effect: 'read', retries: { times: 1, delay: 1 } })).toThrow('retries')
  })
})
