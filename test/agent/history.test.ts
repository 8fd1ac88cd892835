import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import type { Item } from '../../src/items.ts'
import type { ModelRequest } from '../../src/models/model.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { deferred } from './deferred.ts'
import { eventsOfType, startEngine, transcript } from './engine-under-test.ts'

const session = { session: 's' }

/** Every call is followed, before the next message, by exactly one result of its own. */
function faultsOf({ items }: ModelRequest): string[] {
  const faults: string[] = []
  let open = new Set<string>()
  let answered = false
  const close = (next: Item | undefined) => {
    if (open.size > 0 && next?.type !== 'reasoning') faults.push(`${open.size} calls without result`)
    open = new Set()
    answered = false
  }
  for (const item of items) {
    if (item.type === 'tool_call') {
      if (answered) close(item)
      open.add(item.call_id)
    } else if (item.type === 'tool_result') {
      answered = true
      if (!open.delete(item.call_id)) faults.push(`a result without its call: ${item.call_id}`)
    } else if (open.size > 0 || answered) close(item)
  }
  close(undefined)
  return faults
}

const echo = tool({
  name: 'echo',
  description: 'Says it again.',
  input: z.object({ text: z.string() }),
  execute: ({ text }) => text,
})
const callEcho = (text: string): ScriptedReply => ({ toolCalls: [{ name: 'echo', arguments: { text } }] })

test('the history of a conversation is its turns, calls with their results', async () => {
  const model = scriptedModel([callEcho('a'), 'First.', 'Second.', 'Third.'])
  const engine = await startEngine({ model, agent: { tools: [echo] } })
  await engine.finish({ input: 'one', conversation: session })
  await engine.finish({ input: 'two', conversation: session })
  await engine.finish({ input: 'three', conversation: session })
  expect(transcript(model.calls.at(-1))).toEqual([
    'user: one',
    'call echo {"text":"a"}',
    'result a',
    'assistant: First.',
    'user: two',
    'assistant: Second.',
    'user: three',
  ])
})

test('a run without a conversation knows nothing of others', async () => {
  const model = scriptedModel(['First.', 'Second.'])
  const engine = await startEngine({ model })
  await engine.finish('one')
  await engine.finish('two')
  expect(transcript(model.calls[1])).toEqual(['user: two'])
})

test('a cancelled run stays in history: its partial text, and made-up results for calls that never ended', async () => {
  const started = deferred()
  const hang = tool({
    name: 'hang',
    description: 'Hangs.',
    execute: (_input, { signal }) => {
      started.resolve()
      return new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(new Error('stopped'))),
      )
    },
  })
  const model = scriptedModel([
    {
      text: 'Both at once.',
      toolCalls: [
        { name: 'echo', arguments: { text: 'quick' } },
        { name: 'hang', arguments: {} },
      ],
    },
    'Back again.',
  ])
  const engine = await startEngine({ model, agent: { tools: [echo, hang] } })
  const run = await engine.start({ input: 'one', conversation: session })
  await started.promise
  const { reader } = await engine.reach(run, 'tool.end')
  reader.detach('server')
  await engine.runs.cancel(anonymous, run.id, 'enough')
  await engine.finish({ input: 'two', conversation: session })
  expect(transcript(model.calls[1])).toEqual([
    'user: one',
    'assistant: Both at once.',
    'call echo {"text":"quick"}',
    'call hang {}',
    'result quick',
    'result No result: the call was interrupted. Whether it took effect is not known.',
    'user: two',
  ])
  expect(model.calls.flatMap(faultsOf)).toEqual([])
})

test('a failed run stays in history with what it said', async () => {
  const model = scriptedModel([
    callEcho('a'),
    { text: ['Half', ' a', ' word'], error: { code: 'model_refused', after: 2 } },
    'Second.',
  ])
  const engine = await startEngine({ model, agent: { tools: [echo] } })
  const { run } = await engine.finish({ input: 'one', conversation: session })
  expect(run.status).toBe('failed')
  await engine.finish({ input: 'two', conversation: session })
  expect(transcript(model.calls[2])).toEqual([
    'user: one',
    'call echo {"text":"a"}',
    'result a',
    'assistant: Half a',
    'user: two',
  ])
  expect(model.calls.flatMap(faultsOf)).toEqual([])
})

test('text that a model sends after its calls stands before them: nothing comes between a call and its result', async () => {
  const model = scriptedModel([
    {
      parts: [
        { type: 'text', delta: 'Before.' },
        { type: 'tool_call', index: 0, name: 'echo' },
        { type: 'tool_input', index: 0, delta: '{"text":"a"}' },
        { type: 'text', delta: 'After.' },
      ],
    },
    'Done.',
  ])
  const engine = await startEngine({ model, agent: { tools: [echo] } })
  await engine.finish()
  expect(transcript(model.calls[1])).toEqual([
    'user: hello',
    'assistant: Before.',
    'assistant: After.',
    'call echo {"text":"a"}',
    'result a',
  ])
  expect(model.calls.flatMap(faultsOf)).toEqual([])
})

describe('trimming', () => {
  async function talk(
    agent: { maxTurns?: number; maxTokens?: number },
    options: { contextWindow?: number } = {},
  ) {
    const model = scriptedModel((_request, index) => `answer ${index}`, options)
    const engine = await startEngine({ model, agent: { history: agent } })
    for (let i = 0; i < 5; i++) await engine.finish({ input: `question ${i}`, conversation: session })
    const last = await engine.finish({ input: 'last', conversation: session })
    return { lines: transcript(model.calls.at(-1)), warnings: eventsOfType(last.events, 'warning') }
  }
  const turn = (i: number) => [`user: question ${i}`, `assistant: answer ${i}`]

  test('by turns: the newest stay, and a warning tells', async () => {
    const { lines, warnings } = await talk({ maxTurns: 2 })
    expect(lines).toEqual([...turn(3), ...turn(4), 'user: last'])
    expect(warnings).toMatchObject([{ code: 'history_trimmed' }])
  })

  test('in every request of a run, of which a warning tells once', async () => {
    const pay = tool({ name: 'pay', description: 'Pays.', approval: 'required', execute: () => 'paid' })
    const callPay: ScriptedReply = { toolCalls: [{ name: 'pay', arguments: {} }] }
    const model = scriptedModel(['First.', callEcho('a'), callPay, callEcho('b'), 'Done.'])
    const engine = await startEngine({ model, agent: { tools: [echo, pay], history: { maxTurns: 0 } } })
    await engine.finish({ input: 'one', conversation: session })
    const { run } = await engine.finish({ input: 'two', conversation: session })
    const [approval] = await engine.runs.pendingApprovals(run)
    await engine.approvals.decide(anonymous, approval?.id ?? '', { decision: 'approve' })
    await engine.events(run, run.last_seq)
    const events = await engine.events(await engine.load(run))
    expect(model.calls.slice(1).map((request) => transcript(request)[0])).toEqual(
      Array.from({ length: 4 }, () => 'user: two'),
    )
    expect(eventsOfType(events, 'warning')).toMatchObject([{ code: 'history_trimmed' }])
  })

  test('nothing is left out, and nothing said, when all fits', async () => {
    const { lines, warnings } = await talk({ maxTurns: 5 })
    expect(lines).toHaveLength(11)
    expect(warnings).toEqual([])
  })

  test('to no turn at all', async () => {
    const { lines, warnings } = await talk({ maxTurns: 0 })
    expect(lines).toEqual(['user: last'])
    expect(warnings).toMatchObject([{ code: 'history_trimmed' }])
  })

  test('by tokens: whole turns', async () => {
    const { lines } = await talk({ maxTokens: 36 })
    expect(lines).toEqual([...turn(3), ...turn(4), 'user: last'])
  })

  test('by default to three quarters of the window of the model', async () => {
    const { lines } = await talk({}, { contextWindow: 48 })
    expect(lines).toEqual([...turn(3), ...turn(4), 'user: last'])
  })

  test('by default to what fits the largest windows, where that of the model is not known', async () => {
    const model = scriptedModel(['First.', 'Second.', 'Third.'])
    const engine = await startEngine({ model })
    await engine.finish({ input: 'x'.repeat(2_000_000), conversation: session })
    await engine.finish({ input: 'y'.repeat(1_000_000), conversation: session })
    const { events } = await engine.finish({ input: 'last', conversation: session })
    expect(transcript(model.calls[2]).map((line) => line.slice(0, 10))).toEqual([
      'user: yyyy',
      'assistant:',
      'user: last',
    ])
    expect(eventsOfType(events, 'warning')).toMatchObject([{ code: 'history_trimmed' }])
  })

  test('to what is read of large turns, which is read once', async () => {
    const asked: number[] = []
    const model = scriptedModel((_request, index) => `answer ${index}`)
    const engine = await startEngine({
      model,
      agent: { history: { maxTurns: 3 } },
      wrapStore: (store) => ({
        ...store,
        items: {
          ...store.items,
          history(input) {
            asked.push(input.max_bytes)
            return store.items.history({ ...input, max_bytes: 1 })
          },
        },
      }),
    })
    for (let i = 0; i < 5; i++) await engine.finish({ input: `question ${i}`, conversation: session })
    const { events } = await engine.finish({ input: 'last', conversation: session })
    expect(transcript(model.calls.at(-1))).toEqual([...turn(4), 'user: last'])
    expect(eventsOfType(events, 'warning')).toMatchObject([{ code: 'history_trimmed' }])
    expect(asked).toEqual(Array.from({ length: 5 }, () => 16 * 1024 * 1024))
  })

  test('where there are more turns than are ever read, a warning tells', async () => {
    const engine = await startEngine({
      model: scriptedModel(['ok'], { atEnd: 'repeat' }),
      wrapStore: (store) => ({
        ...store,
        items: {
          ...store.items,
          history: async (input) => ({
            ...(await store.items.history(input)),
            complete: input.max_runs > 500,
          }),
        },
      }),
    })
    await engine.finish({ conversation: session })
    const { events } = await engine.finish({ conversation: session })
    expect(eventsOfType(events, 'warning')).toMatchObject([{ code: 'history_trimmed' }])
  })

  test("a run's own items are never left out", async () => {
    const model = scriptedModel([callEcho('x'.repeat(500)), 'ok'], { contextWindow: 10 })
    const engine = await startEngine({ model, agent: { tools: [echo] } })
    const { run } = await engine.finish()
    expect(run.status).toBe('completed')
    expect(transcript(model.calls[1])).toHaveLength(3)
  })
})

describe('a context that is too long for the model', () => {
  async function overflow(options: { fits: number; maxTokens?: number; turns?: number }) {
    const sent: number[] = []
    let armed = false
    const model = scriptedModel((request, index) => {
      if (!armed) return `answer ${index}`
      const earlier = (request.items.length - 1) / 2
      sent.push(earlier)
      return earlier > options.fits
        ? { text: 'x', error: { code: 'context_length_exceeded', after: 0 } }
        : 'Fits.'
    })
    const history = options.maxTokens === undefined ? {} : { maxTokens: options.maxTokens }
    const engine = await startEngine({ model, agent: { history } })
    for (let i = 0; i < (options.turns ?? 6); i++) {
      await engine.finish({ input: `question ${i}`, conversation: session })
    }
    armed = true
    const last = await engine.finish({ input: 'last', conversation: session })
    return { sent, last }
  }

  test('is trimmed to half of its turns and tried once more', async () => {
    const { sent, last } = await overflow({ fits: 3 })
    expect(sent).toEqual([6, 3])
    expect(last.text).toBe('Fits.')
    expect(eventsOfType(last.events, 'warning')).toMatchObject([{ code: 'history_trimmed' }])
  })

  test('half of what was sent, not of what there is', async () => {
    const { sent, last } = await overflow({ fits: 1, maxTokens: 36 })
    expect(sent).toEqual([2, 1])
    expect(last.text).toBe('Fits.')
  })

  test('a single turn is left out whole', async () => {
    const { sent, last } = await overflow({ fits: 0, turns: 1 })
    expect(sent).toEqual([1, 0])
    expect(last.text).toBe('Fits.')
  })

  test('once only: then the run fails', async () => {
    const { sent, last } = await overflow({ fits: 0 })
    expect(sent).toEqual([6, 3])
    expect(last.run).toMatchObject({ status: 'failed', error: { code: 'context_length_exceeded' } })
  })

  test('with nothing to leave out the run fails at once', async () => {
    const { sent, last } = await overflow({ fits: -1, turns: 0 })
    expect(sent).toEqual([0])
    expect(last.run.error?.code).toBe('context_length_exceeded')
  })
})
