import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { AppError } from '../../src/errors.ts'
import { anonymous } from '../../src/identity/principal.ts'
import type { Model } from '../../src/models/model.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import { createLogCapture } from '../agent/log-capture.ts'

const secret = 'xyzzy-plugh'

/** A server over the models, its log, and everything a client can read of its runs. */
async function watched(model: Model, tools: Parameters<typeof agent>[0]['tools'] = []) {
  const log = createLogCapture()
  const server = await createTestServer({
    agents: [agent({ name: 'assistant', model, tools, modelTries: 2 })],
    logger: log.logger,
  })
  onTestFinished(() => server.close())
  const wire: string[] = []
  const send = async (path: string, init: Parameters<typeof server.request>[1] = {}) => {
    const response = await server.request(path, init)
    const text = await response.text()
    wire.push(JSON.stringify([...response.headers]), text)
    return { status: response.status, text }
  }
  return { server, log, send, wire: () => wire.join('\n') }
}

describe('the log holds no word of what people and models say', () => {
  test('not of prompts, answers, arguments, results, sessions, instructions or keys', async () => {
    const note = tool({
      name: 'note',
      description: 'Notes.',
      input: z.object({ text: z.string() }),
      execute: ({ text }) => {
        if (text.includes('throw')) throw new Error(`cannot note ${text}`)
        return `noted ${text}`
      },
    })
    const model = scriptedModel((request, index) => {
      const last = request.items.at(-1)
      if (last?.type === 'tool_result') return `answer ${secret}`
      return {
        reasoning: `thinking of ${secret}`,
        text: `text ${secret}`,
        toolCalls: [
          { name: 'note', arguments: { text: `${index} ${secret}` } },
          { name: 'note', arguments: { text: `throw ${secret}` } },
          { name: 'note', arguments: `{"text": ${secret}` },
          { name: `no_${secret}`, arguments: { text: secret } },
        ],
      }
    })
    const { log, send } = await watched(model, [note])
    const body = {
      input: `prompt ${secret}`,
      instructions: secret,
      run_context: { token: secret },
      metadata: { a: secret },
      session_id: secret,
    }
    const answer = await send('/v1/agents/assistant/runs', {
      body,
      headers: { authorization: `Bearer ${secret}`, 'x-api-key': secret, 'idempotency-key': secret },
    })
    expect(answer.text).toContain(`answer ${secret}`)
    await send('/v1/agents/assistant/runs', { body: { ...body, stream: true } })
    await send('/v1/agents/assistant/runs', { body: { ...body, nonsense: secret } })
    await send('/v1/agents/assistant/runs', { body: `{"input": ${secret}` })
    await send(`/stream?message=${secret}`)
    expect(log.lines().length).toBeGreaterThan(4)
    expect(log.text()).not.toContain(secret)
  })
})

describe("a provider's words reach neither clients nor the log", () => {
  const failing = (error: unknown, before = ''): Model => ({
    provider: 'odd',
    id: 'odd/model',
    stream: async (_request, { emit }) => {
      if (before) emit({ type: 'text', delta: before })
      throw error
    },
  })
  const cause = Object.assign(new Error(`status 400: you said ${secret}`), {
    cause: new Error(`the key ${secret}`),
  })

  test.each<[string, Model, string]>([
    ['a refusal', failing(new AppError('model_refused', { cause })), 'model_refused'],
    [
      'a failure that is tried again',
      failing(new AppError('model_unavailable', { cause, retryAfterMs: 0 }), 'some text'),
      'model_unavailable',
    ],
    ['an error without a code', failing(cause), 'internal'],
    ['something that is no error', failing(`thrown ${secret}`), 'internal'],
  ])('%s', async (_name, model, code) => {
    const { server, log, send, wire } = await watched(model)
    await send('/v1/agents/assistant/runs', { body: { input: 'hi' } })
    await send('/v1/agents/assistant/runs', { body: { input: 'hi', stream: true } })
    await send('/chat', { body: { message: 'hi' } })
    await send('/stream?message=hi')
    await send('/stream', { body: { input: 'hi' } })
    const { data } = await server.runs.list(anonymous, { limit: 10 })
    expect(data.map((run) => run.error?.code)).toEqual(Array(5).fill(code))
    for (const run of data) {
      await send(`/v1/runs/${run.id}`)
      await send(`/v1/runs/${run.id}/events`)
    }
    expect(wire()).not.toContain(secret)
    expect(log.text()).not.toContain(secret)
    const failed = log.lines().filter(({ message }) => message.startsWith('run failed'))
    expect(failed).toHaveLength(5)
    for (const { fields } of failed)
      expect(fields).toMatchObject({ code, run_id: expect.stringMatching(/^run_/) })
  })
})
