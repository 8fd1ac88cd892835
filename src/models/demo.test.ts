import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type Clock, systemClock } from '../clock.ts'
import type { ModelItem } from '../items.ts'
import { createFakeClock } from '../testing/fake-clock.ts'
import { calculator } from '../tools/calculator.ts'
import { askUser } from '../tools/ask-user.ts'
import { httpRequest } from '../tools/http-request.ts'
import { webSearch } from '../tools/web-search.ts'
import { demoModel } from './demo.ts'
import type { ModelPart, ModelRequest, ModelTool } from './model.ts'

const user = (text: string): ModelItem => ({
  type: 'message',
  id: `item_${text}`,
  role: 'user',
  content: [{ type: 'text', text }],
})
const call = (name: string, input: unknown): ModelItem => ({
  type: 'tool_call',
  id: 'item_call',
  call_id: 'call_1',
  name,
  arguments: JSON.stringify(input),
})
const result = (output: string, error?: { code: string; message: string }): ModelItem => ({
  type: 'tool_result',
  id: 'item_result',
  call_id: 'call_1',
  output,
  ...(error ? { error } : {}),
})

const sendEmail: ModelTool = {
  name: 'send_email',
  description: '',
  parameters: {
    type: 'object',
    properties: {
      to: { type: 'string', format: 'email' },
      body: { type: 'string' },
      copies: { type: 'integer' },
    },
  },
}

async function ask(items: ModelItem[], more: Partial<ModelRequest> = {}, clock: Clock = systemClock) {
  const request: ModelRequest = {
    instructions: undefined,
    items,
    tools: [calculator, sendEmail],
    settings: {},
    ...more,
  }
  const parts: ModelPart[] = []
  const reply = await demoModel({ delayMs: 0, clock }).stream(request, {
    emit: (part) => parts.push(part),
    signal: new AbortController().signal,
  })
  const texts = parts.flatMap((part) => (part.type === 'text' ? [part.delta] : []))
  const started = parts.find((part) => part.type === 'tool_call')
  const input = parts.flatMap((part) => (part.type === 'tool_input' ? [part.delta] : [])).join('')
  return {
    reply,
    deltas: texts.length,
    text: texts.join(''),
    tool: started?.name,
    input: input && JSON.parse(input),
  }
}

describe('a sum', () => {
  test.each([
    ['What is 1337 * 42?', '1337 * 42'],
    ['what is (2 + 3)*4, please', '(2 + 3)*4'],
    ['sqrt(144) is what?', 'sqrt(144)'],
    ['How much is 20% of what 7/2 gives', '7/2'],
    ['-3 + 5', '-3 + 5'],
  ])('%s asks the calculator for %s', async (message, expression) => {
    const { tool, input, reply } = await ask([user(message)])
    expect([tool, input, reply.finishReason]).toEqual(['calculator', { expression }, 'tool_calls'])
  })

  test.each(['Hello', 'I was born in 1984', 'On 2026-05-01 we meet', 'It costs $5.', 'a-b'])(
    '%s is none',
    async (message) => {
      expect((await ask([user(message)])).tool).toBeUndefined()
    },
  )

  // Minutes, where all of it is looked through.
  test('is looked for at the beginning of a long message alone', async () => {
    const long = '-'.repeat(500_000)
    expect((await ask([user(`2 + 3 ${long}`)])).input).toEqual({ expression: '2 + 3' })
    expect((await ask([user(`${long} 2 + 3`)])).tool).toBeUndefined()
  })

  test('its result is told in a sentence that says who speaks', async () => {
    const { text, tool } = await ask([
      user('What is 1337 * 42?'),
      call('calculator', { expression: '1337 * 42' }),
      result('56154'),
    ])
    expect(tool).toBeUndefined()
    expect(text).toContain('1337 * 42 = 56154.')
    expect(text).toContain('demo model')
  })

  test('a fault of the expression is not told as its value', async () => {
    const { text } = await ask([
      user('1 / 0'),
      call('calculator', { expression: '1 / 0' }),
      result('Error: the result is infinite'),
    ])
    expect(text).toContain('The tool calculator answered: Error: the result is infinite')
  })

  test('is not asked for where the calculator is not offered, or no tool may be called', async () => {
    expect((await ask([user('1 + 1')], { tools: [] })).tool).toBeUndefined()
    expect((await ask([user('1 + 1')], { toolChoice: 'none' })).tool).toBeUndefined()
  })
})

describe('other tools', () => {
  test('a tool whose name the user says is called, with what the message holds', async () => {
    const message = 'Please send an email to ann@example.com, 2 copies'
    const { tool, input } = await ask([user(message)])
    expect(tool).toBe('send_email')
    expect(input).toEqual({ to: 'ann@example.com', body: message, copies: 2 })
  })

  test('a rejection is told', async () => {
    const { text } = await ask([
      user('send an email'),
      call('send_email', {}),
      result('Not now', { code: 'tool_rejected', message: 'A person rejected the tool call.' }),
    ])
    expect(text).toContain('The tool send_email did not run: Not now.')
  })

  test('a tool that must be called is called', async () => {
    expect((await ask([user('Hello')], { toolChoice: { name: 'send_email' } })).tool).toBe('send_email')
    expect((await ask([user('Hello')], { toolChoice: 'required' })).tool).toBe('calculator')
  })
})

describe('made-up arguments', () => {
  const now = Date.UTC(2026, 4, 6, 12)

  async function argumentsOf<T>(parameters: z.ZodType<T>, message = 'Use the tool: hello') {
    const tool: ModelTool = {
      name: 'tool',
      description: '',
      parameters: z.toJSONSchema(parameters, { io: 'input' }),
    }
    const clock = createFakeClock(now)
    const { input } = await ask([user(message)], { tools: [tool] }, clock)
    return { given: parameters.parse(input), input: input as unknown }
  }

  test.each([webSearch, askUser, httpRequest({ hosts: ['*'] })])('fit the tool $name', async (tool) => {
    const message = `Call ${tool.name} about trains`
    const { input } = await ask([user(message)], { tools: [tool] })
    expect(tool.parse(input)).toMatchObject({ ok: true })
  })

  test('leave out what is optional', async () => {
    const search = z.object({
      query: z.string(),
      num_results: z.int().min(1).max(20).default(5),
      choices: z.array(z.string()).min(2).optional(),
      region: z.enum(['north', 'south']).optional(),
    })
    expect((await argumentsOf(search)).input).toEqual({ query: 'Use the tool: hello' })
    const clear = 'Use the tool in the south, 7 results'
    expect((await argumentsOf(search, clear)).input).toEqual({
      query: clear,
      num_results: 7,
      region: 'south',
    })
    const tooMany = 'Use the tool, 700 results'
    expect((await argumentsOf(search, tooMany)).input).toEqual({ query: tooMany })
  })

  test('stay within the limits of what is required', async () => {
    const limited = z.object({
      high: z.int().min(3).max(9),
      low: z.number().max(-2),
      above: z.number().gt(0).lt(1),
      even: z.number().multipleOf(2).min(5),
      long: z.string().min(60),
      short: z.string().max(5),
      pair: z.array(z.enum(['a', 'b'])).min(2),
      nested: z.object({ id: z.uuid(), kind: z.literal('x') }),
      either: z.union([z.object({ one: z.boolean() }), z.string()]),
      nothing: z.string().nullable(),
    })
    const { given } = await argumentsOf(limited)
    expect(given).toMatchObject({ high: 3, short: 'Use t', nested: { kind: 'x' }, nothing: null })
    expect((await argumentsOf(limited, 'Use the tool 1000')).given.high).toBe(9)
  })

  test('take dates from the message, else from the clock', async () => {
    const dated = z.object({ day: z.iso.date(), at: z.iso.datetime(), page: z.url() })
    expect((await argumentsOf(dated)).given).toEqual({
      day: '2026-05-06',
      at: '2026-05-06T12:00:00.000Z',
      page: 'https://example.com',
    })
    const message = 'Tool, 2026-02-30 is no day, 2026-03-01 is one (see https://parley.test/a?b=c).'
    expect((await argumentsOf(dated, message)).given).toMatchObject({
      day: '2026-03-01',
      page: 'https://parley.test/a?b=c',
    })
  })
})

describe('an answer for a schema', () => {
  const answer = async (schema: Record<string, unknown>, message: string, items: ModelItem[] = []) => {
    const { text } = await ask([user(message), ...items], { outputSchema: schema, tools: [sendEmail] })
    return JSON.parse(text) as unknown
  }
  const choice = (names: string[]) => ({
    type: 'object',
    properties: { agent: { type: 'string', enum: names } },
    required: ['agent'],
  })

  test('is JSON that satisfies it', async () => {
    const invoice = z.object({
      number: z.string(),
      date: z.iso.date(),
      currency: z.enum(['EUR', 'GBP', 'USD']),
      lines: z.array(z.object({ text: z.string(), amount: z.number() })).min(1),
      note: z.string().nullable(),
    })
    const given = await answer(z.toJSONSchema(invoice), 'Two chairs, 160.00 GBP')
    expect(invoice.parse(given)).toMatchObject({ currency: 'GBP', lines: [{ amount: 160 }], note: null })
  })

  test('comes after the tool it takes', async () => {
    const message = 'send an email'
    const { tool } = await ask([user(message)], { outputSchema: choice(['a1']), tools: [sendEmail] })
    expect(tool).toBe('send_email')
    expect(await answer(choice(['a1']), message, [call('send_email', {}), result('sent')])).toEqual({
      agent: 'a1',
    })
  })

  test.each([
    ['I have a question for the billing desk', 'billing-desk'],
    ['user: billing-desk, please\n\nNewest message:\nNow to tech.', 'tech'],
    ['Technology', 'sales'],
  ])('%j chooses %s', async (message, agent) => {
    expect(await answer(choice(['sales', 'billing-desk', 'tech']), message)).toEqual({ agent })
  })

  test('ends, and stays small, whatever the schema', async () => {
    const circle = {
      type: 'object',
      properties: { again: { $ref: '#' }, many: { type: 'array', minItems: 1e9, items: { $ref: '#' } } },
      required: ['again', 'many'],
    }
    expect(JSON.stringify(await answer(circle, 'x')).length).toBeLessThan(100_000)
    const long = { type: 'object', properties: { a: { minLength: 1e9 } }, required: ['a'] }
    expect(JSON.stringify(await answer(long, 'x')).length).toBeLessThan(100_000)
    expect(await answer({ $ref: '#' }, 'x')).toBe('x')
  })
})

describe('talk', () => {
  test('says what it is, how to get a real model, and what was said before', async () => {
    const { text, deltas, reply } = await ask([
      user('My name is Ann'),
      { type: 'message', id: 'item_a', role: 'assistant', content: [{ type: 'text', text: 'Hi' }] },
      user('Who am I?'),
    ])
    expect(text).toContain('demo model')
    expect(text).toContain('LLM_BASE_URL')
    expect(text).toContain('OPENAI_API_KEY')
    expect(text).toContain('“Who am I?”')
    expect(text).toContain('“My name is Ann”')
    expect(deltas).toBeGreaterThan(20)
    expect(reply.finishReason).toBe('stop')
    expect(reply.usage!.output_tokens).toBe(deltas)
    expect(reply.usage!.input_tokens).toBeGreaterThan(0)
  })

  test('answers a request without any message', async () => {
    expect((await ask([], { tools: [] })).text).toContain('demo model')
  })
})

describe('time', () => {
  const request: ModelRequest = { instructions: undefined, items: [user('Hello')], tools: [], settings: {} }

  test('words come 15 ms apart', async () => {
    const clock = createFakeClock()
    const parts: ModelPart[] = []
    const model = demoModel({ clock })
    const reply = model.stream(request, {
      emit: (part) => parts.push(part),
      signal: new AbortController().signal,
    })
    await clock.advance(14)
    expect(parts).toHaveLength(0)
    await clock.advance(1)
    expect(parts).toHaveLength(1)
    await clock.advance(15)
    expect(parts).toHaveLength(2)
    await clock.advance(10_000)
    await reply
  })

  test('a signal ends it at once', async () => {
    const clock = createFakeClock()
    const controller = new AbortController()
    const reply = demoModel({ clock }).stream(request, { emit() {}, signal: controller.signal })
    await clock.advance(30)
    controller.abort(new Error('gone'))
    await expect(reply).rejects.toThrow('gone')
    expect(clock.pending()).toBe(0)
  })
})
