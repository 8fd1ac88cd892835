import { describe, expect, test } from 'vitest'
import type { ModelItem } from '../items.ts'
import { createFakeClock } from '../testing/fake-clock.ts'
import { calculator } from '../tools/calculator.ts'
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

async function ask(items: ModelItem[], more: Partial<ModelRequest> = {}) {
  const request: ModelRequest = {
    instructions: undefined,
    items,
    tools: [calculator, sendEmail],
    settings: {},
    ...more,
  }
  const parts: ModelPart[] = []
  const reply = await demoModel({ delayMs: 0 }).stream(request, {
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
