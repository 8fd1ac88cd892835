import { describe, expect, test } from 'vitest'
import type { AgentOptions } from '../../src/agent/agent-options.ts'
import { agent } from '../../src/agent/agent.ts'
import type { ErrorCode } from '../../src/errors.ts'
import { anonymous } from '../../src/identity/principal.ts'
import type { Item, NoteItem } from '../../src/items.ts'
import type { ModelRequest } from '../../src/models/model.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import type { RunRecord } from '../../src/store/store.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import { deferred } from './deferred.ts'
import { directoryOf, eventsOfType, startEngine, transcript } from './engine-under-test.ts'

const conversation = { session: 's' }
const failure = (code: ErrorCode): ScriptedReply => ({ text: 'x', error: { code, after: 0 } })
const sum = (text: string) => `user: Summary of the conversation before this point:\n${text}`
const turn = (i: number) => [`user: question ${i}`, `assistant: answer ${i}`]
const turns = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => turn(from + i)).flat()

type History = NonNullable<AgentOptions['history']>

/** A conversation whose answers repeat the number of the question, with a model of its own for summaries. */
async function chat(input: {
  history?: History
  summaries?: Parameters<typeof scriptedModel>[0]
  contextWindow?: number
  engine?: Partial<Parameters<typeof startEngine>[0]>
}) {
  const { contextWindow } = input
  const summariser = scriptedModel(input.summaries ?? ((_request, index) => `summary ${index}`), {
    id: 'scripted/summariser',
  })
  const model = scriptedModel(
    (request) => `answer ${/question (\d+)/.exec(transcript(request).at(-1) ?? '')?.[1]}`,
    contextWindow === undefined ? {} : { contextWindow },
  )
  const { summarise, ...limits } = input.history ?? { maxTurns: 4 }
  const own = typeof summarise === 'object' ? summarise : {}
  const engine = await startEngine({
    model,
    ...input.engine,
    agent: { history: { ...limits, summarise: { model: summariser, ...own } } },
  })
  const ask = (i: number, options: { parentRunId?: string } = {}) =>
    engine.finish({ input: `question ${i}`, conversation, ...options })
  const talk = async (from: number, to: number) => {
    const runs: RunRecord[] = []
    for (let i = from; i <= to; i++) runs.push((await ask(i)).run)
    return runs
  }
  const sent = (): string[] => transcript(model.calls.at(-1))
  const asked = () => summariser.calls.map((request) => transcript(request).join('\n'))
  return { engine, model, summariser, ask, talk, sent, asked }
}

async function summaryOf(engine: { items: (run: RunRecord) => Promise<{ item: Item }[]> }, run: RunRecord) {
  const notes = (await engine.items(run)).map(({ item }) => item)
  return notes.find((item): item is NoteItem => item.type === 'note' && item.kind === 'summary')
}

describe('a summary', () => {
  test('is not made while everything fits', async () => {
    const { talk, sent, summariser } = await chat({})
    await talk(1, 5)
    expect(sent()).toEqual([...turns(1, 4), 'user: question 5'])
    expect(summariser.calls).toEqual([])
  })

  test('takes the place of the turns that no longer fit, and of some more, so that the next need none', async () => {
    const { engine, talk, ask, sent, asked } = await chat({})
    const runs = await talk(1, 5)
    const { run, events } = await ask(6)
    expect(asked()).toEqual([`user: ${turns(1, 3).join('\n')}`.replaceAll('\nuser:', '\n\nuser:')])
    expect(sent()).toEqual([sum('summary 0'), ...turns(4, 5), 'user: question 6'])
    expect(await summaryOf(engine, run)).toMatchObject({ text: 'summary 0', through_run_id: runs[2]!.id })
    expect(eventsOfType(events, 'warning')).toEqual([])
    await talk(7, 8)
    expect(sent()).toEqual([sum('summary 0'), ...turns(4, 7), 'user: question 8'])
    expect(asked()).toHaveLength(1)
  })

  test('is made again from the one before and the turns since', async () => {
    const { engine, talk, ask, sent, asked } = await chat({})
    const runs = await talk(1, 8)
    const { run } = await ask(9)
    expect(asked()).toHaveLength(2)
    expect(asked()[1]).toBe(
      ['user: Summary of what was before:\nsummary 0', ...[4, 5, 6].map((i) => turn(i).join('\n'))].join(
        '\n\n',
      ),
    )
    expect(await summaryOf(engine, run)).toMatchObject({ text: 'summary 1', through_run_id: runs[5]!.id })
    expect(sent()).toEqual([sum('summary 1'), ...turns(7, 8), 'user: question 9'])
  })

  test('keeps at most keepTurns turns as they are', async () => {
    const { talk, sent } = await chat({ history: { maxTurns: 4, summarise: { keepTurns: 1 } } })
    await talk(1, 6)
    expect(sent()).toEqual([sum('summary 0'), ...turn(5), 'user: question 6'])
    const none = await chat({ history: { maxTurns: 1, summarise: { keepTurns: 0 } } })
    await none.talk(1, 3)
    expect(none.sent()).toEqual([sum('summary 0'), 'user: question 3'])
  })

  test('is made where the tokens run out, by those of the model’s window too', async () => {
    for (const limits of [{ history: { maxTokens: 60 } }, { history: {}, contextWindow: 80 }]) {
      const { talk, sent, asked } = await chat(limits)
      await talk(1, 7)
      expect(asked().length).toBeGreaterThan(0)
      expect(sent()[0]).toContain('Summary of the conversation')
      expect(sent().slice(-3)).toEqual([...turn(6), 'user: question 7'])
    }
  })

  test('leaves room by tokens too, however many turns may stay', async () => {
    const { talk, asked } = await chat({ history: { maxTokens: 120, summarise: { keepTurns: 100 } } })
    await talk(1, 20)
    expect(asked().length).toBeGreaterThan(1)
    expect(asked().length).toBeLessThanOrEqual(20 / 3)
  })

  test('of what a run itself says is not made', async () => {
    const { engine, summariser, talk } = await chat({ history: { maxTokens: 60 } })
    await talk(1, 1)
    const { run } = await engine.finish({ input: 'x'.repeat(1000), conversation })
    expect(run.status).toBe('completed')
    await engine.finish({ input: 'x'.repeat(1000) })
    expect(summariser.calls).toHaveLength(1)
  })

  test('is written by the agent’s model as the author says, where there is no other', async () => {
    const model = scriptedModel((request) =>
      request.instructions === 'In one word.' ? 'Greetings.' : 'Hello.',
    )
    const engine = await startEngine({
      model,
      agent: { history: { maxTurns: 1, summarise: { instructions: 'In one word.', keepTurns: 0 } } },
    })
    for (let i = 0; i < 3; i++) await engine.finish({ input: 'Hi', conversation })
    expect(transcript(model.calls.at(-1))).toEqual([sum('Greetings.'), 'user: Hi'])
    const plain = await startEngine({ model, agent: { history: { maxTurns: 0, summarise: true } } })
    await plain.finish({ input: 'Hi', conversation })
    await plain.finish({ input: 'Hi', conversation })
    expect(transcript(model.calls.at(-1))).toEqual([sum('Hello.'), 'user: Hi'])
  })

  test('is counted, and shown to nobody as it is written', async () => {
    const usage = { input_tokens: 100, output_tokens: 10, total_tokens: 110 }
    const { talk, ask } = await chat({
      summaries: [{ text: 'sum', usage }],
      engine: { prices: { 'scripted/summariser': { input: 10_000, output: 0 } } },
    })
    await talk(1, 5)
    const { run, events, types } = await ask(6)
    expect(run.usage.total_tokens).toBeGreaterThan(110)
    expect(run.spent?.cost).toBe(1)
    expect(events.at(-1)).toMatchObject({ usage: run.usage, cost: 1 })
    expect(types.slice(0, 3)).toEqual(['run.start', 'step.start', 'text.start'])
    expect(JSON.stringify(events)).not.toContain('sum"')
  })

  test('tells calls and results, and leaves out what was thought', async () => {
    const summariser = scriptedModel(['sum'])
    const model = scriptedModel([
      { reasoning: 'Hm.', toolCalls: [{ name: 'find', arguments: { what: 'x' } }] },
      'Found.',
      'Ok.',
    ])
    const engine = await startEngine({
      model,
      agent: { history: { maxTurns: 0, summarise: { model: summariser } } },
    })
    await engine.finish({ input: 'find x', conversation })
    await engine.finish({ input: 'thanks', conversation })
    expect(transcript(summariser.calls[0])).toEqual([
      expect.stringMatching(
        /^user: user: find x\nassistant: \[calls find: \{"what":"x"\}\]\nuser: \[find answered: .*\]\nassistant: Found\.$/,
      ),
    ])
  })
})

describe('runs that share a summarised past', () => {
  test('a branch from after it has it; one from before it has the turns', async () => {
    const { talk, ask, sent, asked } = await chat({})
    const runs = await talk(1, 7)
    expect(asked()).toHaveLength(1)
    await ask(20, { parentRunId: runs[5]!.id })
    expect(sent()).toEqual([sum('summary 0'), ...turns(4, 6), 'user: question 20'])
    await ask(30, { parentRunId: runs[2]!.id })
    expect(sent()).toEqual([...turns(1, 3), 'user: question 30'])
    expect(asked()).toHaveLength(1)
  })

  test('an agent that makes none reads those of others', async () => {
    const one = scriptedModel(['One.', 'Two.', 'Sum.', 'Three.'])
    const two = scriptedModel(['Other.'])
    const engine = await startEngine({
      agents: [
        agent({ name: 'assistant', model: one, history: { maxTurns: 1, summarise: { keepTurns: 0 } } }),
        agent({ name: 'other', model: two }),
      ],
    })
    for (const input of ['one', 'two', 'three']) await engine.finish({ input, conversation })
    await engine.finish({ agent: 'other', input: 'four', conversation })
    expect(transcript(two.calls[0])).toEqual([sum('Sum.'), 'user: three', 'assistant: Three.', 'user: four'])
  })

  test('is made where no more is read, of what was, and once', async () => {
    const { talk, sent, asked } = await chat({
      history: { summarise: {} },
      engine: {
        wrapStore: (store) => ({
          ...store,
          items: { ...store.items, history: (input) => store.items.history({ ...input, max_bytes: 1000 }) },
        }),
      },
    })
    await talk(1, 4)
    expect(asked()).toEqual([])
    await talk(5, 5)
    expect(sent()).toEqual([sum('summary 0'), ...turns(4, 4), 'user: question 5'])
    expect(asked()).toHaveLength(1)
  })

  test('what a summary stands for is not read from the store again', async () => {
    const read: number[] = []
    const { talk } = await chat({
      engine: {
        wrapStore: (store) => ({
          ...store,
          items: {
            ...store.items,
            async history(input) {
              const history = await store.items.history(input)
              read.push(new Set(history.items.map(({ run_id }) => run_id)).size)
              return history
            },
          },
        }),
      },
    })
    await talk(1, 20)
    expect(read.slice(0, 6)).toEqual([1, 2, 3, 4, 5, 3])
    expect(Math.max(...read)).toBe(5)
  })
})

describe('where no summary can be had', () => {
  test.each<[string, ScriptedReply[]]>([
    ['the model fails for good', [failure('model_refused')]],
    ['the conversation is too long for it', [failure('context_length_exceeded')]],
    ['it says nothing', [' \n']],
    ['it breaks', [{ text: 'x', error: { throw: new Error('secret'), after: 0 } }]],
  ])('because %s, the turns are left out with two warnings, and the run goes on', async (_why, summaries) => {
    const { engine, talk, ask, sent } = await chat({ summaries })
    await talk(1, 5)
    const { run, events, text } = await ask(6)
    expect(run.status).toBe('completed')
    expect(text).toBe('answer 6')
    expect(sent()).toEqual([...turns(2, 5), 'user: question 6'])
    expect(eventsOfType(events, 'warning').map(({ code }) => code)).toEqual([
      'summary_failed',
      'history_trimmed',
    ])
    expect(await summaryOf(engine, run)).toBeUndefined()
    expect(JSON.stringify(events)).not.toContain('secret')
  })

  test('the next run tries again, with all that was left out', async () => {
    const { talk, sent, asked } = await chat({ summaries: [failure('model_refused'), 'sum'] })
    await talk(1, 7)
    expect(asked()[1]).toContain('question 1')
    expect(sent()).toEqual([sum('sum'), ...turns(5, 6), 'user: question 7'])
  })

  test('a run of several steps asks for it once', async () => {
    const summariser = scriptedModel([failure('model_refused')], { atEnd: 'repeat' })
    const call = { toolCalls: [{ name: 'nothing', arguments: {} }] }
    const model = scriptedModel(['One.', call, call, 'Two.'])
    const engine = await startEngine({
      model,
      agent: { history: { maxTurns: 0, summarise: { model: summariser } } },
    })
    await engine.finish({ input: 'one', conversation })
    const { run } = await engine.finish({ input: 'two', conversation })
    expect(run).toMatchObject({ status: 'completed', steps: 3 })
    expect(summariser.calls).toHaveLength(1)
  })

  test('because a hook refuses it, the run goes on', async () => {
    const model = scriptedModel(['One.', 'Two.'])
    const engine = await startEngine({
      model,
      agent: {
        history: { maxTurns: 0, summarise: { instructions: 'Summarise.' } },
        hooks: {
          beforeModel: ({ instructions }) =>
            instructions === 'Summarise.'
              ? { refuse: { code: 'content_filter', message: 'No.' } }
              : undefined,
        },
      },
    })
    await engine.finish({ input: 'one', conversation })
    const { run, text } = await engine.finish({ input: 'two', conversation })
    expect(run.stop_reason).toBe('final')
    expect(text).toBe('Two.')
  })
})

describe('while a summary is written', () => {
  test('a cancel ends the run, and the next run summarises', async () => {
    const asked = deferred()
    const hang: ScriptedReply = { text: 'x', gate: () => (asked.resolve(), new Promise(() => {})) }
    const { engine, talk, sent, summariser } = await chat({ summaries: [hang, 'sum'] })
    await talk(1, 5)
    const run = await engine.start({ input: 'question 6', conversation })
    await asked.promise
    await engine.runs.cancel(anonymous, run.id, 'enough')
    expect(await engine.load(run)).toMatchObject({
      status: 'cancelled',
      steps: 0,
      warnings: [{ code: 'usage_estimated' }],
    })
    expect(summariser.aborted).toBe(1)
    await talk(7, 7)
    expect(sent()).toEqual([sum('sum'), ...turn(5), 'user: question 6', 'user: question 7'])
  })

  test('another process makes it where the first gave the run back, and not again once it is there', async () => {
    const asked = deferred()
    const hang: ScriptedReply = { text: 'x', gate: () => (asked.resolve(), new Promise(() => {})) }
    const first = await chat({ summaries: [hang] })
    await first.talk(1, 5)
    const run = await first.engine.start({ input: 'question 6', conversation })
    await asked.promise
    await first.engine.stop()

    const answering = deferred()
    const stuck = scriptedModel([{ text: 'x', gate: () => (answering.resolve(), new Promise(() => {})) }])
    const { dataDir } = first.engine
    const second = await chat({ summaries: ['sum'], engine: { dataDir, model: stuck } })
    await answering.promise
    await second.engine.stop()
    expect(second.summariser.calls).toHaveLength(1)

    const third = await chat({ summaries: [], engine: { dataDir } })
    expect(await third.engine.settled(run)).toMatchObject({ status: 'completed' })
    expect(third.sent()).toEqual([sum('sum'), ...turns(4, 5), 'user: question 6'])
    expect(third.summariser.calls).toEqual([])
  })
})

describe('what a summary is made of is bounded', () => {
  const long = 'x'.repeat(3000)
  async function toldOf(summariserWindow: number | undefined, earlier: string[]) {
    const summariser = scriptedModel(
      ['sum'],
      summariserWindow === undefined ? {} : { contextWindow: summariserWindow },
    )
    const model = scriptedModel(['ok'], { atEnd: 'repeat' })
    const engine = await startEngine({
      agents: [
        agent({ name: 'assistant', model }),
        agent({ name: 'short', model, history: { maxTurns: 0, summarise: { model: summariser } } }),
      ],
    })
    for (const input of earlier) await engine.finish({ input, conversation })
    await engine.finish({ agent: 'short', input: 'now', conversation })
    return textOf(summariser.calls[0])
  }
  const textOf = (request: ModelRequest | undefined) => transcript(request).join('\n')

  test('by the window of the model that writes it: of every turn something is told', async () => {
    const earlier = ['a', 'b', 'c', 'd'].map((letter) => `${letter} begins ${long} ${letter} ends`)
    const text = await toldOf(1000, earlier)
    expect(text.length).toBeLessThan(1000 * 0.6 * 3.5 + 200)
    for (const letter of ['a', 'b', 'c', 'd']) expect(text).toContain(`${letter} begins`)
    expect(text).toContain('\n[…]\n')
  })

  test('by twenty thousand characters of one turn', async () => {
    const text = await toldOf(undefined, [`begins ${'y'.repeat(50_000)} ends`])
    expect(text.length).toBeLessThan(20_100)
    expect(text).toContain('begins')
    expect(text).toContain('ends\nassistant: ok')
  })

  test('by whole characters', async () => {
    for (const lead of ['', 'x']) {
      const text = await toldOf(100, [lead + '😀'.repeat(300)])
      expect(text).toContain('[…]')
      expect(text.isWellFormed()).toBe(true)
    }
  })

  test('and so is the summary: what is too long all the same leaves room for the turns since', async () => {
    const summariser = scriptedModel(['s'.repeat(1_000), 'short'], { contextWindow: 100 })
    const model = scriptedModel(['Hm.'], { atEnd: 'repeat' })
    const history = { maxTurns: 1, summarise: { model: summariser, keepTurns: 0 } }
    const engine = await startEngine({ model, agent: { history } })
    for (const input of ['one', 'two', 'three', 'four', 'five']) await engine.finish({ input, conversation })
    expect(summariser.calls.map(({ settings }) => settings)).toEqual([
      { maxOutputTokens: 20 },
      { maxOutputTokens: 20 },
    ])
    const text = textOf(summariser.calls[1])
    expect(text.length).toBeLessThanOrEqual('user: '.length + 100 * 0.6 * 3.5)
    expect(text).toMatch(
      /^user: Summary of what was before:\ns+\n\[…\]\ns+\n\nuser: three\nassistant: Hm\.\n\nuser: four\n/,
    )
  })
})

test('a summary is a note among the items of its conversation, and no message of it', async () => {
  const model = scriptedModel(['One.', 'Sum of one.', 'Two.'])
  const server = await createTestServer({
    agents: [
      agent({ name: 'assistant', model, history: { maxTurns: 0, summarise: { instructions: 'Sum.' } } }),
    ],
  })
  await server.request('/chat', { body: { message: 'one', session_id: 's' } })
  await server.request('/chat', { body: { message: 'two', session_id: 's' } })
  const session = await (await server.request('/sessions/s')).json()
  expect(session).toMatchObject({ message_count: 4 })
  const { data } = (await (await server.request('/v1/conversations')).json()) as { data: { id: string }[] }
  const list = await server.request(`/v1/conversations/${data[0]?.id}/items?order=asc`)
  const items = ((await list.json()) as { data: Record<string, unknown>[] }).data
  expect(items.map(({ type, role, kind }) => [type, role ?? kind])).toEqual([
    ['message', 'user'],
    ['message', 'assistant'],
    ['message', 'user'],
    ['note', 'summary'],
    ['message', 'assistant'],
  ])
  expect(items[3]).toEqual({
    type: 'note',
    id: expect.stringMatching(/^item_/),
    kind: 'summary',
    text: 'Sum of one.',
    through_run_id: items[0]?.['run_id'],
    run_id: items[2]?.['run_id'],
  })
  await server.close()
})

test('a model for summaries, plans or choices that cannot be had stops the start', () => {
  for (const options of [
    { history: { summarise: { model: 'nobody/knows' } } },
    { planning: { every: 1, model: 'nobody/knows' } },
    { routing: { model: 'nobody/knows' } },
  ]) {
    const one = agent({ name: 'assistant', model: scriptedModel([]), ...options })
    expect(() => directoryOf({ agents: [one] })).toThrow(
      expect.objectContaining({ code: 'model_not_configured' }),
    )
  }
})
