import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createFakeClock } from '../../src/testing/fake-clock.ts'
import {
  advanceUntil,
  eventsOfType,
  principal,
  startEngine,
  transcript,
  typesOf,
} from '../agent/engine-under-test.ts'
import { ask, asking, resultsRead, shortly } from './asking-tools.ts'
import { decide, goesOn, send, sendTool } from './suspended-run.ts'

const seat = { type: 'object', properties: { row: { type: 'integer', minimum: 1 } }, required: ['row'] }

describe('a tool that asks', () => {
  test('suspends the run with its question, and has no result yet', async () => {
    const { it } = asking((context) => context.ask({ message: 'Which seat?', schema: seat }))
    const { engine, run, pending } = await ask(it)
    const question = { message: 'Which seat?', schema: seat }
    expect(run.status).toBe('suspended')
    const [approval, ...more] = await pending()
    expect(more).toEqual([])
    expect(approval).toMatchObject({ tool: 'it', reason: 'question', question, status: 'pending' })
    const events = await engine.events(run)
    expect(typesOf(events).slice(-2)).toEqual(['step.end', 'run.suspend'])
    expect(eventsOfType(events, 'run.suspend')[0]).toMatchObject({
      approvals: [{ id: approval?.id, tool: 'it', arguments: {}, reason: 'question', question }],
      tool_calls: [],
    })
    expect(await engine.store.ledger.ofRun(run.id)).toMatchObject([{ state: 'claimed', approval_id: null }])
  })

  test('runs again from its beginning once it is answered, as the same call, and is given the answer', async () => {
    const { it, contexts } = asking(async (context) => shortly(await context.ask({ message: 'Which?' })))
    const asked = await ask(it)
    const [approval] = await asked.pending()
    const { run, events, output } = await asked.answer('The blue one.')
    expect(output).toBe('"The blue one."')
    expect(run.status).toBe('completed')
    expect(eventsOfType(events, 'approval.resolve')).toMatchObject([
      { approval_id: approval?.id, decision: 'answer', by: 'anonymous', answer: 'The blue one.' },
    ])
    const [first, second, ...more] = contexts
    expect(more).toEqual([])
    expect(first?.signal.aborted).toBe(true)
    expect(second?.signal.aborted).toBe(false)
    expect(second).toMatchObject({ idempotencyKey: first?.idempotencyKey, callId: first?.callId })
    expect(resultsRead(asked)).toEqual(['result "The blue one."'])
    expect(await asked.engine.approvals.get(anonymous, approval?.id ?? '')).toMatchObject({
      status: 'answered',
      decision: { by: 'anonymous', answer: 'The blue one.' },
    })
    expect(await asked.engine.store.ledger.ofRun(run.id)).toMatchObject([
      { state: 'committed', approval_id: approval?.id },
    ])
  })

  test('is told that the person does not want to answer, and why', async () => {
    const { it } = asking(async (context) => shortly(await context.ask({ message: 'Which?' })))
    const why = await (await ask(it)).decide({ decision: 'reject', reason: 'None of your business.' })
    expect(why.output).toBe('{"action":"decline","reason":"None of your business."}')
    const silent = await (await ask(it)).decide({ decision: 'reject' })
    expect(silent.output).toBe('{"action":"decline"}')
    expect(silent.error).toBeUndefined()
  })

  test('is told that nobody answered in time', async () => {
    const clock = createFakeClock()
    const { it } = asking(async (context) => shortly(await context.ask({ message: 'Which?' })))
    const { engine, run, pending } = await ask(it, { clock, agent: { approvalTimeoutMs: 30_000 } })
    const [approval] = await pending()
    expect(approval?.expires_at).toBe(clock.now() + 30_000)
    const after = await advanceUntil(clock, goesOn(engine, run), 1_000)
    expect(eventsOfType(after.events, 'approval.resolve')).toMatchObject([{ decision: 'expire' }])
    expect(eventsOfType(after.events, 'tool.end')).toMatchObject([{ output: '{"action":"cancel"}' }])
    expect(after.run.status).toBe('completed')
    await expect(decide(engine, approval?.id, { decision: 'answer', answer: 'x' })).rejects.toMatchObject({
      code: 'approval_decided',
      details: { status: 'expired' },
    })
  })

  test('may ask several things, one after the other', async () => {
    const { it, contexts } = asking(async (context) => {
      const from = await context.ask({ message: 'From where?' })
      const to = await context.ask({ message: 'And where to?' })
      return `${shortly(from)} to ${shortly(to)}`
    })
    const asked = await ask(it)
    const between = await asked.answer('Oslo')
    expect(between.run.status).toBe('suspended')
    expect(await asked.pending()).toMatchObject([{ question: { message: 'And where to?' } }])
    const { output, run } = await asked.answer('Rome')
    expect(output).toBe('"Oslo" to "Rome"')
    expect(contexts).toHaveLength(3)
    const all = await asked.engine.events(run)
    expect(eventsOfType(all, 'run.suspend')).toHaveLength(2)
    expect(eventsOfType(all, 'tool.end')).toHaveLength(1)
  })

  test('the same twice is given an answer for each', async () => {
    const { it } = asking(async (context) => {
      const said = []
      for (let i = 0; i < 2; i++) said.push(shortly(await context.ask({ message: 'Another one?' })))
      return said.join()
    })
    const asked = await ask(it)
    await asked.answer('one')
    expect((await asked.answer('two')).output).toBe('"one","two"')
  })

  test('two things at once gets them one after the other', async () => {
    const { it } = asking(async ({ ask: wonder }) => {
      const both = await Promise.all([wonder({ message: 'A?' }), wonder({ message: 'B?' })])
      return both.map(shortly).join()
    })
    const asked = await ask(it)
    expect(await asked.pending()).toMatchObject([{ question: { message: 'A?' } }])
    await asked.answer('a')
    expect((await asked.answer('b')).output).toBe('"a","b"')
  })

  test('may have no more to ask when it runs again', async () => {
    let known = false
    const { it } = asking((context) => (known ? 'found it myself' : context.ask({ message: 'Which?' })))
    const asked = await ask(it)
    known = true
    const { output, run } = await asked.answer('That one.')
    expect(output).toBe('found it myself')
    expect(run.status).toBe('completed')
  })

  test('something else when it runs again is never given the answer to what it asked before', async () => {
    const files = ['a.txt', 'b.txt']
    const { it } = asking(async (context) => {
      const answer = await context.ask({ message: `Delete ${files[0]}?` })
      return `${files[0]}: ${shortly(answer)}`
    })
    const asked = await ask(it)
    files.shift()
    const between = await asked.answer('yes')
    expect(between.run.status).toBe('suspended')
    expect(await asked.pending()).toMatchObject([{ question: { message: 'Delete b.txt?' } }])
    expect((await asked.answer('no')).output).toBe('b.txt: "no"')
  })

  test('with another schema than before asks anew', async () => {
    let choices = ['tea', 'milk']
    const { it } = asking(async (context) =>
      shortly(await context.ask({ message: 'Which?', schema: { enum: choices } })),
    )
    const asked = await ask(it)
    choices = ['tea']
    expect((await asked.answer('milk')).run.status).toBe('suspended')
    expect((await asked.answer('tea')).output).toBe('"tea"')
  })
})

describe('a tool that does not stop where it asks', () => {
  test('has done nothing that counts', async () => {
    const { it, contexts } = asking(async (context) => {
      try {
        return shortly(await context.ask({ message: 'Really?' }))
      } catch {
        context.progress({ message: 'I go on.' })
        return 'went on without an answer'
      }
    })
    const asked = await ask(it)
    expect(asked.run.status).toBe('suspended')
    const { output, run } = await asked.answer('yes')
    expect(output).toBe('"yes"')
    expect(contexts).toHaveLength(2)
    expect(eventsOfType(await asked.engine.events(run), 'tool.end')).toHaveLength(1)
    expect(JSON.stringify(await asked.engine.items(run))).not.toContain('without an answer')
  })

  test('cannot ask on', async () => {
    const refusals: unknown[] = []
    const { it } = asking(async ({ ask: wonder }) => {
      const note = (error: unknown) => void refusals.push((error as Error).name)
      const first = await wonder({ message: 'First?' }).catch(note)
      if (!first) await wonder({ message: 'Second?' }).catch(note)
      return first ? shortly(first) : 'nothing'
    })
    const asked = await ask(it)
    expect(await asked.pending()).toMatchObject([{ question: { message: 'First?' } }])
    expect((await asked.answer('1')).output).toBe('"1"')
    expect(refusals).toEqual(['AbortError', 'AbortError'])
  })

  test('or does not wait for the answer at all: the run does', async () => {
    const { it } = asking((context) => {
      void context.ask({ message: 'Anybody?' })
      return 'did not wait'
    })
    const asked = await ask(it)
    expect(asked.run.status).toBe('suspended')
    expect((await asked.answer('me')).output).toBe('did not wait')
  })
})

describe('several calls of one step', () => {
  const named = (name: string) =>
    asking(async (context) => shortly(await context.ask({ message: `${name}?` })), { name }).it

  test('that ask at the same time: each gets its own answer, and the run waits for all', async () => {
    const read = tool({ name: 'read', description: '', effect: 'read', execute: () => 'was read' })
    const asked = await ask([named('one'), read, named('two')])
    const { engine, run } = asked
    const approvals = await asked.pending()
    expect(approvals.map(({ question }) => question?.message ?? '').toSorted()).toEqual(['one?', 'two?'])
    expect(eventsOfType(await engine.events(run), 'tool.end')).toMatchObject([{ output: 'was read' }])
    const byMessage = new Map(approvals.map((approval) => [approval.question?.message, approval.id]))
    await decide(engine, byMessage.get('two?'), { decision: 'answer', answer: 'second' })
    expect((await engine.load(run)).status).toBe('suspended')
    await decide(engine, byMessage.get('one?'), { decision: 'answer', answer: 'first' })
    const after = await goesOn(engine, run)
    expect(after.run.status).toBe('completed')
    expect(resultsRead(asked)).toEqual(['result "first"', 'result was read', 'result "second"'])
  })

  test('a question beside an approval: the run waits for both', async () => {
    const sent: string[] = []
    const asked = await ask([named('one'), sendTool(sent)], {
      calls: [{ name: 'one', arguments: {} }, send('ada')],
    })
    const { engine, run } = asked
    const approvals = await asked.pending()
    expect(approvals.map(({ reason }) => reason).toSorted()).toEqual(['policy', 'question'])
    const byReason = new Map(approvals.map(({ reason, id }) => [reason, id]))
    await decide(engine, byReason.get('question'), { decision: 'answer', answer: 'go' })
    expect((await engine.load(run)).status).toBe('suspended')
    expect(sent).toEqual([])
    await decide(engine, byReason.get('policy'), { decision: 'approve' })
    await goesOn(engine, run)
    expect(sent).toEqual(['ada'])
    expect(resultsRead(asked)).toEqual(['result "go"', 'result sent to ada'])
  })
})

describe('a tool that needs approval and then asks', () => {
  const gated = () =>
    tool({
      name: 'it',
      description: 'Sends.',
      input: z.object({ to: z.string() }),
      approval: 'required',
      execute: async ({ to }, context) => `${to}: ${shortly(await context.ask({ message: 'How?' }))}`,
    })

  test('runs with the arguments as they were edited, also after its question', async () => {
    const asked = await ask(gated(), { calls: [{ name: 'it', arguments: { to: 'ada' } }] })
    const between = await asked.decide({ decision: 'approve', arguments: { to: 'bob' } })
    expect(between.run.status).toBe('suspended')
    // What would run is what the person made of it.
    expect(await asked.pending()).toMatchObject([{ reason: 'question', arguments: { to: 'bob' } }])
    const { output, run } = await asked.answer('By post.')
    expect(output).toBe('bob: "By post."')
    const all = await asked.engine.events(run)
    expect(eventsOfType(all, 'approval.resolve').map(({ decision }) => decision)).toEqual([
      'approve',
      'answer',
    ])
  })

  test('is not asked about again when its question is declined', async () => {
    const asked = await ask(gated(), { calls: [{ name: 'it', arguments: { to: 'ada' } }] })
    await asked.decide({ decision: 'approve' })
    const { output, run } = await asked.decide({ decision: 'reject' })
    expect(output).toBe('ada: {"action":"decline"}')
    expect(run.status).toBe('completed')
  })
})

describe('a write that asks and whose process dies', () => {
  /** A run whose engine is lost after the answer, before the result of the call is committed. */
  async function lost(effect: 'write' | 'read') {
    const done: string[] = []
    const ran = Promise.withResolvers<void>()
    const { it } = asking(
      async (context) => {
        const said = shortly(await context.ask({ message: 'Which?' }))
        done.push(context.idempotencyKey)
        ran.resolve()
        return said
      },
      { effect },
    )
    let dead = false
    const asked = await ask(it, {
      onCommit: async (commit, next) => {
        dead ||= commit.events.some(({ type }) => type === 'tool.end')
        return dead ? 'fenced' : next()
      },
    })
    const [question] = await asked.pending()
    await decide(asked.engine, question?.id, { decision: 'answer', answer: 'blue' })
    await ran.promise
    await asked.engine.stop()
    const model = scriptedModel(['Done.'])
    const engine = await startEngine({ model, agent: { tools: [it] }, dataDir: asked.engine.dataDir })
    const after = await goesOn(engine, asked.run)
    return { engine, model, done, after }
  }

  test('between the answer and its end: a person says whether it runs again, and it is not asked again', async () => {
    const { engine, model, done, after } = await lost('write')
    expect(after.run.status).toBe('suspended')
    const [approval, ...more] = await engine.runs.pendingApprovals(after.run)
    expect(more).toEqual([])
    expect(approval).toMatchObject({ reason: 'outcome_unknown', question: null })
    expect(done).toHaveLength(1)
    await decide(engine, approval?.id, { decision: 'approve' })
    const last = await goesOn(engine, after.run)
    expect(last.run.status).toBe('completed')
    expect(eventsOfType(last.events, 'tool.end')).toMatchObject([{ output: '"blue"' }])
    expect(done).toHaveLength(2)
    expect(new Set(done).size).toBe(1)
    expect(transcript(model.calls[0]).at(-1)).toBe('result "blue"')
  })

  test('and is rejected then: it does not run, and the model reads that it may have taken effect', async () => {
    const { engine, done, after } = await lost('write')
    const [approval] = await engine.runs.pendingApprovals(after.run)
    await decide(engine, approval?.id, { decision: 'reject' })
    const last = await goesOn(engine, after.run)
    expect(eventsOfType(last.events, 'tool.end')).toMatchObject([{ error: { code: 'outcome_unknown' } }])
    expect(done).toHaveLength(1)
  })

  test('a read in its place simply runs again, with the answer', async () => {
    const { done, after } = await lost('read')
    expect(after.run.status).toBe('completed')
    expect(eventsOfType(after.events, 'tool.end')).toMatchObject([{ output: '"blue"' }])
    expect(done).toHaveLength(2)
  })
})

describe('an agent that serves as a tool', () => {
  test('asks through its own tool; the question is the run’s, and its keys are not those of the run', async () => {
    const { it: inner, contexts } = asking(
      async (context) => shortly(await context.ask({ message: 'Window or aisle?' })),
      { name: 'inner' },
    )
    const { it: outer, contexts: outerContexts } = asking(() => 'outer done', {
      name: 'outer',
      effect: 'read',
    })
    const expert = agent({
      name: 'expert',
      model: scriptedModel([{ toolCalls: [{ name: 'inner', arguments: {} }] }, 'Window it is.']),
      tools: [inner],
    })
    const asked = await ask([expert.asTool(), outer], {
      calls: [
        { name: 'expert', arguments: { task: 'Find a seat.' } },
        { name: 'outer', arguments: {} },
      ],
    })
    const [approval, ...more] = await asked.pending()
    expect(more).toEqual([])
    expect(approval).toMatchObject({ tool: 'inner', question: { message: 'Window or aisle?' } })
    const { run } = await asked.answer('window')
    expect(run.status).toBe('completed')
    expect(resultsRead(asked)).toEqual(['result Window it is.', 'result outer done'])
    expect(contexts).toHaveLength(2)
    // Both are the first call of the first step.
    const [first, again] = contexts.map(({ idempotencyKey }) => idempotencyKey)
    expect(again).toBe(first)
    expect(outerContexts.map(({ idempotencyKey }) => idempotencyKey)).not.toContain(first)
    expect(first).toContain(run.id)
  })

  test('the keys of two calls of one agent differ, though each is the first call of its first step', async () => {
    const { it: inner, contexts } = asking(() => 'ok', { name: 'inner', effect: 'read' })
    const model = scriptedModel(({ items }) =>
      items.some((item) => item.type === 'tool_result')
        ? 'ok'
        : { toolCalls: [{ name: 'inner', arguments: {} }] },
    )
    const expert = agent({ name: 'expert', model, tools: [inner] })
    const call = { name: 'expert', arguments: { task: 'Go.' } }
    await ask([expert.asTool(), inner], { calls: [call, call, { name: 'inner', arguments: {} }] })
    expect(new Set(contexts.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(3)
  })
})

test('a call that is made again for an answer counts once', async () => {
  const { it: inner } = asking(async (context) => shortly(await context.ask({ message: 'Which?' })), {
    name: 'inner',
  })
  const expert = agent({
    name: 'expert',
    model: scriptedModel([{ toolCalls: [{ name: 'inner', arguments: {} }] }, 'ok']),
    tools: [inner],
  })
  const asked = await ask(expert.asTool(), {
    agent: { budget: { toolCalls: 10 } },
    calls: [{ name: 'expert', arguments: { task: 'Find out.' } }],
  })
  const { run } = await asked.answer('that one')
  expect(run).toMatchObject({ status: 'completed', spent: { tool_calls: 2 } })
})

test('a run that is cancelled while it waits: nobody can answer any more', async () => {
  const { it, contexts } = asking((context) => context.ask({ message: 'Which?' }))
  const { engine, run, pending } = await ask(it)
  const [approval] = await pending()
  await engine.runs.cancel(anonymous, run.id, 'enough')
  await expect(decide(engine, approval?.id, { decision: 'answer', answer: 'x' })).rejects.toMatchObject({
    code: 'approval_decided',
    details: { status: 'cancelled' },
  })
  expect(contexts).toHaveLength(1)
})

test('a tool that asks when the run is being cancelled asks nobody', async () => {
  const refused: unknown[] = []
  const started = Promise.withResolvers<void>()
  const { it } = asking(
    (context) =>
      new Promise((_resolve, reject) => {
        context.signal.addEventListener('abort', () => {
          context.ask({ message: 'Really?' }).catch((error: unknown) => {
            refused.push(error)
            reject(error as Error)
          })
        })
        started.resolve()
      }),
  )
  const model = scriptedModel([{ toolCalls: [{ name: 'it', arguments: {} }] }])
  const engine = await startEngine({ model, agent: { tools: [it] } })
  const run = await engine.start()
  await started.promise
  const { run: ended } = await engine.runs.cancel(anonymous, run.id, 'enough')
  expect(ended.status).toBe('cancelled')
  expect(refused).toHaveLength(1)
  expect(await engine.store.approvals.ofRun(run.id)).toEqual([])
  // It was given up in the middle: nobody knows what it did.
  expect(await engine.store.ledger.ofRun(run.id)).toMatchObject([{ state: 'unknown' }])
})

test('questions of others are approval_not_found', async () => {
  const { it } = asking((context) => context.ask({ message: 'Which?' }))
  const { engine, pending } = await ask(it)
  const [approval] = await pending()
  for (const other of [principal('eve'), principal('anonymous', 'elsewhere')]) {
    await expect(
      engine.approvals.decide(other, approval?.id ?? '', { decision: 'answer', answer: 'x' }),
    ).rejects.toMatchObject({ code: 'approval_not_found' })
  }
})
