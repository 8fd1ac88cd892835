import { expect, test } from 'vitest'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { call, serving } from './server-under-test.ts'

const wrong = '{"city":"Oslo"}'
const right = '{"city":"Oslo","degrees":7}'

async function weatherServer(replies: readonly ScriptedReply[]) {
  const output = z.object({ city: z.string(), degrees: z.number() })
  const model = scriptedModel(replies.map((reply) => (typeof reply === 'string' ? { text: [reply] } : reply)))
  const agents = [agent({ name: 'weather', model, output })]
  return serving(model, { agents })
}

test('a run has the value of its answer, also when it is read again', async () => {
  const server = await weatherServer([wrong, right])
  const { status, json } = await call(server, '/v1/agents/weather/runs', { input: 'Oslo?' })
  expect(status).toBe(200)
  expect(json).toMatchObject({
    status: 'completed',
    output: right,
    output_parsed: { city: 'Oslo', degrees: 7 },
    steps: 2,
  })
  expect((await call(server, `/v1/runs/${json.id}`)).json.output_parsed).toEqual({ city: 'Oslo', degrees: 7 })
})

test('a run that finds no right answer says what is wrong with the last, and keeps it', async () => {
  const server = await weatherServer([wrong, wrong, wrong])
  const { status, json } = await call(server, '/v1/agents/weather/runs', { input: 'Oslo?' })
  expect(status).toBe(200)
  expect(json).toMatchObject({
    status: 'failed',
    output: wrong,
    output_parsed: null,
    error: { code: 'output_invalid' },
  })
  const chat = await call(await weatherServer([wrong, wrong, wrong]), '/chat', { message: 'Oslo?' })
  expect(chat.status).toBe(502)
  expect(chat.json).toMatchObject({
    code: 'output_invalid',
    detail: expect.stringContaining('degrees') as string,
  })
})

test('a request’s schema is taken; one that cannot be checked is a fault with its place', async () => {
  const server = await weatherServer(['{"ok":true}'])
  const path = '/v1/agents/weather/runs'
  const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] }
  const { json } = await call(server, path, { input: 'Well?', output_schema: schema })
  expect(json.output_parsed).toEqual({ ok: true })
  const refused = await call(server, path, { input: 'Well?', output_schema: { not: { type: 'string' } } })
  expect(refused.status).toBe(400)
  expect(refused.json).toMatchObject({
    code: 'invalid_request',
    errors: [
      {
        path: ['body', 'output_schema'],
        message: 'This JSON Schema cannot be checked: not is not supported',
      },
    ],
  })
})

test('a provider that refuses schemas is not given one: the model is told it in words', async () => {
  const model = scriptedModel([{ text: [right] }])
  const output = z.object({ city: z.string(), degrees: z.number() })
  const server = await serving(model, {
    agents: [agent({ name: 'weather', model, output })],
    models: { 'scripted/model': { takesOutputSchema: false } },
  })
  const { json } = await call(server, '/v1/agents/weather/runs', { input: 'Oslo?' })
  expect(json.output_parsed).toEqual({ city: 'Oslo', degrees: 7 })
  expect(model.calls[0]).not.toHaveProperty('outputSchema')
  expect(model.calls[0]?.instructions).toContain('"degrees"')
})

test('the answer of POST /chat is the right one', async () => {
  const server = await weatherServer([wrong, right])
  const { json } = await call(server, '/chat', { message: 'Oslo?' })
  expect(json).toMatchObject({ answer: right, completed: true, steps: 2 })
})

test('a stream of raw text says that what came is void, and then gives the right answer', async () => {
  const server = await weatherServer([wrong, right])
  const response = await server.request('/stream', { method: 'POST', body: { message: 'Oslo?' } })
  expect(await response.text()).toBe(
    [
      `data: ${wrong}`,
      'event: retry\ndata: {"step":0}',
      `data: ${right}`,
      'event: done\ndata: [DONE]',
      '',
    ].join('\n\n'),
  )
})

test('typed frames warn, and hold the right answer alone', async () => {
  const server = await weatherServer([wrong, right])
  const text = await (await server.request('/stream?message=Oslo%3F')).text()
  const frames = text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => JSON.parse(line.slice(6)) as { type: string; data: Record<string, unknown> })
  expect(frames.map(({ type }) => type)).toEqual([
    'run_start',
    'step_start',
    'warning',
    'step_start',
    'run_end',
  ])
  expect(frames[2]?.data.message).toContain('degrees')
  expect(frames.at(-1)?.data).toEqual({ answer: right })
})
