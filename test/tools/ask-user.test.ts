import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Answer, Question } from '../../src/agent/definitions.ts'
import { askUser, createAskUser } from '../../src/tools/ask-user.ts'
import { ask } from '../runs/asking-tools.ts'
import { decide } from '../runs/suspended-run.ts'
import { callTool } from './tool-call.ts'

/** What the tool asks, and what it gives the model for that answer. */
async function asked(tool: typeof askUser, input: unknown, answer: Answer) {
  const questions: Question[] = []
  const output = await callTool(tool, input, {
    ask: (question) => {
      questions.push(question)
      return Promise.resolve(answer)
    },
  })
  return { questions, output }
}

describe('ask_user', () => {
  const accepted = (content: unknown): Answer => ({ action: 'accept', content })

  test('asks for a text, and gives it to the model as it is', async () => {
    const { questions, output } = await asked(askUser, { question: 'Which?' }, accepted('That.'))
    expect(questions).toEqual([{ message: 'Which?' }])
    expect(output).toBe('That.')
  })

  test('asks for one of the choices of the model', async () => {
    const input = { question: 'Which?', choices: ['tea', 'milk'] }
    const { questions, output } = await asked(askUser, input, accepted('tea'))
    expect(questions).toEqual([{ message: 'Which?', schema: { type: 'string', enum: ['tea', 'milk'] } }])
    expect(output).toBe('tea')
  })

  test('tells the model that there is no answer, and why', async () => {
    const { output } = await asked(askUser, { question: 'Which?' }, { action: 'decline', reason: 'Busy.' })
    expect(output).toBe('The user does not want to answer. They say: Busy.')
    expect((await asked(askUser, { question: 'Which?' }, { action: 'decline' })).output).toBe(
      'The user does not want to answer.',
    )
    expect((await asked(askUser, { question: 'Which?' }, { action: 'cancel' })).output).toBe(
      'The user did not answer in time.',
    )
  })

  test('does not take an empty or an endless question, nor a choice of one', async () => {
    for (const input of [
      {},
      { question: '' },
      { question: 'x'.repeat(4001) },
      { question: 'Which?', choices: ['tea'] },
      { question: 'Which?', choices: Array(21).fill('x') },
      { question: 'Which?', choices: ['x'.repeat(201), 'y'] },
    ]) {
      await expect(asked(askUser, input, accepted('x'))).rejects.toThrow('bad arguments')
    }
  })

  test('with the longest of everything is still a question that can be asked', async () => {
    const choices = Array.from({ length: 20 }, (_, i) => String(i).padStart(200, '"'))
    const run = await ask(askUser, {
      calls: [{ name: 'ask_user', arguments: { question: '"'.repeat(4000), choices } }],
    })
    expect(run.run.status).toBe('suspended')
    expect((await run.answer(choices[7])).output).toBe(choices[7])
  })
})

describe('a tool that asks of one’s own', () => {
  const visit = z.object({ day: z.enum(['mon', 'tue']), guests: z.int().default(1) })
  const askForVisit = createAskUser({
    name: 'ask_for_visit',
    description: 'Asks when to come.',
    schema: visit,
  })

  test('has its own name, description and kind of answer, and offers the model no choices', () => {
    expect(askForVisit).toMatchObject({
      name: 'ask_for_visit',
      description: 'Asks when to come.',
      effect: 'read',
    })
    expect(Object.keys(askForVisit.parameters['properties'] as object)).toEqual(['question'])
    expect(Object.keys(askUser.parameters['properties'] as object)).toEqual(['question', 'choices'])
  })

  test('suspends the run until the answer fits, and gives it to the model as JSON', async () => {
    const asking = await ask(askForVisit, {
      calls: [{ name: 'ask_for_visit', arguments: { question: 'When will you come?' } }],
    })
    const [approval] = await asking.pending()
    expect(approval).toMatchObject({
      tool: 'ask_for_visit',
      reason: 'question',
      question: {
        message: 'When will you come?',
        schema: { type: 'object', properties: { day: { enum: ['mon', 'tue'] } } },
      },
    })
    await expect(
      decide(asking.engine, approval?.id, { decision: 'answer', answer: { day: 'sun' } }),
    ).rejects.toMatchObject({ code: 'invalid_request', locations: [{ path: ['body', 'answer', 'day'] }] })
    const { output, run } = await asking.answer({ day: 'tue' })
    expect(output).toBe('{"day":"tue","guests":1}')
    expect(run.status).toBe('completed')
  })

  test('refuses options that are misspelt', () => {
    // @ts-expect-error There is no such option.
    expect(() => createAskUser({ desciption: 'x' })).toThrow('desciption')
    expect(() => createAskUser({ name: 'not a name' })).toThrow('name')
  })
})
