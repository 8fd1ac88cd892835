import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { tool } from '../../src/agent/tool.ts'
import type { Question } from '../../src/agent/definitions.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import { advanceUntil, eventsOfType, startEngine } from '../agent/engine-under-test.ts'
import { createLogCapture } from '../agent/log-capture.ts'
import { ask, asking, shortly } from './asking-tools.ts'

describe('a question nobody could be asked is a failure of the tool', () => {
  const tooDeep = JSON.parse(`${'{"a":'.repeat(200)}1${'}'.repeat(200)}`) as Record<string, unknown>
  // What a tool in JavaScript may give.
  const odd = (question: unknown) => question as Question
  test.each<[string, Question, string]>([
    ['without a text', { message: ' ' }, 'A question needs a message.'],
    ['whose text is none', odd({ message: 7 }), 'A question needs a message.'],
    ['of 10,001 characters', { message: 'x'.repeat(10_001) }, 'A question may have 10000 characters.'],
    [
      'whose schema is too large',
      { message: 'Which?', schema: { enum: ['x'.repeat(20_000)] } },
      'The schema of a question may have 20000 characters.',
    ],
    [
      'whose schema is too deep',
      { message: 'Which?', schema: tooDeep },
      'The schema of a question may have 20000 characters.',
    ],
    [
      'whose schema is none',
      odd({ message: 'Which?', schema: ['a'] }),
      'The schema of a question must be an object.',
    ],
  ])('%s', async (_name, question, text) => {
    const { it } = asking((context) => context.ask(question))
    const { engine, run } = await ask(it)
    expect(run.status).toBe('completed')
    const [end] = eventsOfType(await engine.events(run), 'tool.end')
    expect(end).toMatchObject({ error: { code: 'tool_failed' }, output: expect.stringContaining(text) })
  })
})

test('a call may ask fifty times, and no more', async () => {
  let questions = 0
  const { it } = asking(async (context) => {
    // Never the same: nothing that was answered helps.
    questions++
    return shortly(await context.ask({ message: `Question ${questions}?` }))
  })
  const asked = await ask(it)
  for (let i = 1; i < 50; i++) expect((await asked.answer('yes')).run.status).toBe('suspended')
  const last = await asked.answer('yes')
  expect(last).toMatchObject({ error: 'tool_failed', output: 'Error: A call may ask 50 times.' })
  expect(last.run.status).toBe('completed')
})

test('a tool that has ended cannot ask, and that is logged', async () => {
  const logged = createLogCapture()
  const late = Promise.withResolvers<void>()
  const refusal = Promise.withResolvers<unknown>()
  const { it } = asking((context) => {
    void late.promise.then(() => context.ask({ message: 'Too late?' })).catch(refusal.resolve)
    return 'has ended'
  })
  const model = scriptedModel([
    { toolCalls: [{ name: 'it', arguments: {} }] },
    {
      text: 'Done.',
      gate: async () => {
        late.resolve()
        await refusal.promise
      },
    },
  ])
  const engine = await startEngine({ model, logger: logged.logger, agent: { tools: [it] } })
  const { run } = await engine.finish()
  expect(await refusal.promise).toMatchObject({
    message: 'The tool has ended: its call cannot ask any more.',
  })
  expect(run.status).toBe('completed')
  expect(await engine.store.approvals.ofRun(run.id)).toEqual([])
  expect(logged.lines().map(({ message }) => message)).toContain('asking failed')
})

test('a question is no failure that is tried again, and its answer holds for every try', async () => {
  const clock = createFakeClock()
  let failures = 1
  const { it, contexts } = asking(
    async (context) => {
      const answer = shortly(await context.ask({ message: 'Which?' }))
      if (failures-- > 0) throw new Error('busy')
      return answer
    },
    { effect: 'read', retries: 3 },
  )
  const asked = await ask(it, { clock })
  expect(contexts).toHaveLength(1)
  const { output } = await advanceUntil(clock, asked.answer('that one'))
  expect(output).toBe('"that one"')
  expect(contexts).toHaveLength(3)
})

test('a question shows the arguments as the model wrote them, whatever the tool makes of them', async () => {
  const it = tool({
    name: 'it',
    description: 'Counts.',
    input: z.object({ count: z.string().transform((text) => ({ count: BigInt(text) })) }),
    execute: async ({ count }, context) =>
      `${count.count + 1n} ${shortly(await context.ask({ message: 'Sure?' }))}`,
  })
  const asked = await ask(it, { calls: [{ name: 'it', arguments: { count: '9007199254740993' } }] })
  expect(asked.run.status).toBe('suspended')
  expect(await asked.pending()).toMatchObject([{ arguments: { count: '9007199254740993' } }])
  expect((await asked.answer('yes')).output).toBe('9007199254740994 "yes"')
})
