import { describe, expect, test } from 'vitest'
import { anonymous } from '../../src/identity/principal.ts'
import { ask, asking, shortly, type Asked } from './asking-tools.ts'
import { decide, suspended, send } from './suspended-run.ts'

const seat = {
  type: 'object',
  properties: { row: { type: 'integer', minimum: 1 }, window: { type: 'boolean', default: false } },
  required: ['row'],
}

/** A run that waits for the answer to one question. */
async function waiting(schema?: Record<string, unknown>): Promise<Asked & { id: string }> {
  const { it } = asking(async (context) =>
    shortly(await context.ask({ message: 'Which seat?', ...(schema ? { schema } : {}) })),
  )
  const asked = await ask(it)
  const [approval] = await asked.pending()
  return { ...asked, id: approval?.id ?? '' }
}

const invalid = (...path: (string | number)[]) => ({
  code: 'invalid_request',
  status: 400,
  locations: [{ path: ['body', ...path] }],
})

describe('an answer that is not what was asked for is refused, and the question stays open', () => {
  test('where it does not fit the schema, with the place', async () => {
    const { engine, id, run, answer } = await waiting(seat)
    await expect(decide(engine, id, { decision: 'answer', answer: { row: 0 } })).rejects.toMatchObject(
      invalid('answer', 'row'),
    )
    await expect(decide(engine, id, { decision: 'answer', answer: {} })).rejects.toMatchObject({
      ...invalid('answer', 'row'),
      message: expect.stringContaining('answer.row: '),
    })
    await expect(decide(engine, id, { decision: 'answer', answer: 'three' })).rejects.toMatchObject(
      invalid('answer'),
    )
    expect((await engine.load(run)).status).toBe('suspended')
    // Its defaults are filled in.
    expect((await answer({ row: 3 })).output).toBe('{"row":3,"window":false}')
  })

  test('where a text is asked for', async () => {
    const { engine, id, answer } = await waiting()
    for (const odd of [7, null, { text: 'x' }, ['x']]) {
      await expect(decide(engine, id, { decision: 'answer', answer: odd })).rejects.toMatchObject(
        invalid('answer'),
      )
    }
    expect((await answer('')).output).toBe('""')
  })

  test('where it is missing, or no JSON', async () => {
    const { engine, id, run } = await waiting({})
    const cyclic: Record<string, unknown> = {}
    cyclic['self'] = cyclic
    const deep = JSON.parse('['.repeat(500) + ']'.repeat(500)) as unknown
    for (const odd of [undefined, cyclic, 1n, () => 1, deep]) {
      await expect(decide(engine, id, { decision: 'answer', answer: odd })).rejects.toMatchObject(
        invalid('answer'),
      )
    }
    expect((await engine.load(run)).status).toBe('suspended')
  })
})

test('null is an answer where the schema allows it', async () => {
  const { answer } = await waiting({ type: ['string', 'null'] })
  expect((await answer(null)).output).toBe('null')
})

test('what the schema of a question says and nobody can check does not stand in the way of an answer', async () => {
  const { engine, id, answer } = await waiting({
    type: 'object',
    properties: { row: { type: 'integer' } },
    required: ['row'],
    not: { required: ['column'] },
  })
  await expect(decide(engine, id, { decision: 'answer', answer: { row: 'x' } })).rejects.toMatchObject(
    invalid('answer', 'row'),
  )
  expect((await answer({ row: 1, column: 2 })).output).toBe('{"row":1,"column":2}')
})

test('a pattern that would never end does not stand in the way of an answer either', async () => {
  const { answer } = await waiting({ type: 'string', pattern: '^(a+)+$' })
  const text = `${'a'.repeat(60)}!`
  expect((await answer(text)).output).toBe(JSON.stringify(text))
})

test('what every object inherits is no answer, nor in the way of one', async () => {
  const { engine, id, answer } = await waiting({
    type: 'object',
    properties: { constructor: { type: 'string' }, toString: { type: 'string' } },
    required: ['toString'],
    not: { required: ['column'] },
  })
  await expect(decide(engine, id, { decision: 'answer', answer: {} })).rejects.toMatchObject(
    invalid('answer', 'toString'),
  )
  expect((await answer({ toString: 'x' })).output).toBe('{"toString":"x"}')
})

describe('the wrong kind of decision is refused', () => {
  test('approving a question', async () => {
    const { engine, id, run } = await waiting()
    await expect(decide(engine, id, { decision: 'approve' })).rejects.toMatchObject({
      ...invalid('decision'),
      message: 'This is a question: answer or reject it.',
    })
    expect((await engine.load(run)).status).toBe('suspended')
  })

  test('answering an approval', async () => {
    const { engine, approvals, sent, run } = await suspended([send('ada')])
    const id = approvals[0]?.id
    await expect(decide(engine, id, { decision: 'answer', answer: 'yes' })).rejects.toMatchObject({
      ...invalid('decision'),
      message: 'This is no question: approve or reject it.',
    })
    expect((await engine.load(run)).status).toBe('suspended')
    expect(sent).toEqual([])
  })

  test('other arguments for a question, and an answer with anything but "answer"', async () => {
    const { engine, id } = await waiting()
    await expect(
      decide(engine, id, { decision: 'answer', answer: 'x', arguments: {} }),
    ).rejects.toMatchObject(invalid('arguments'))
    await expect(decide(engine, id, { decision: 'reject', arguments: {} })).rejects.toMatchObject(
      invalid('arguments'),
    )
    await expect(decide(engine, id, { decision: 'reject', answer: 'x' })).rejects.toMatchObject(
      invalid('answer'),
    )
    const gated = await suspended([send('ada')])
    await expect(
      decide(gated.engine, gated.approvals[0]?.id, { decision: 'approve', answer: 'x' }),
    ).rejects.toMatchObject(invalid('answer'))
  })
})

test('a second answer is approval_decided, and says who was first', async () => {
  const { engine, id, answer } = await waiting()
  await answer('first')
  await expect(decide(engine, id, { decision: 'answer', answer: 'second' })).rejects.toMatchObject({
    code: 'approval_decided',
    details: { status: 'answered', by: 'anonymous' },
  })
})

test('two answers at once: one wins', async () => {
  const { engine, id, run } = await waiting()
  const results = await Promise.allSettled(
    ['one', 'two'].map((answer) => decide(engine, id, { decision: 'answer', answer })),
  )
  expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  await engine.settled(run)
  const { decision } = await engine.approvals.get(anonymous, id)
  expect(['one', 'two']).toContain(decision?.answer)
})
