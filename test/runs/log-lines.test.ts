import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import { tool } from '../../src/agent/tool.ts'
import { AppError } from '../../src/errors.ts'
import { anonymous } from '../../src/identity/principal.ts'
import type { Model } from '../../src/models/model.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createTestServer } from '../../src/testing/test-server.ts'
import { createUpstreamServer, jsonReply } from '../../src/testing/upstream-server.ts'
import { createLogCapture, showErrors, type LogCapture } from '../agent/log-capture.ts'

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

/** Everything but the one field for what others said. */
function textWithoutSaid(log: LogCapture): string {
  return JSON.stringify(
    log.lines().map(({ fields: { said: _said, ...fields }, ...line }) => ({ ...line, fields })),
    showErrors,
  )
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
    expect(textWithoutSaid(log)).not.toContain(secret)
    for (const line of log.lines()) if ('said' in line.fields) expect(line.level).toBe('debug')
    // What a tool throws is its author's word.
    expect(log.lines().find(({ fields }) => 'said' in fields)).toEqual({
      level: 'debug',
      message: 'tool failed: what it said',
      fields: expect.objectContaining({ tool: 'note', said: `cannot note throw ${secret}` }) as object,
    })
  })
})

describe("a provider's words reach no client, and no line of the log above debug", () => {
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
    expect(textWithoutSaid(log)).not.toContain(secret)
    for (const line of log.lines()) if ('said' in line.fields) expect(line.level).toBe('debug')
    const failed = log.lines().filter(({ message }) => message.startsWith('run failed'))
    expect(failed).toHaveLength(5)
    for (const { fields } of failed)
      expect(fields).toMatchObject({ code, run_id: expect.stringMatching(/^run_/) })
  })
})

describe('a model that the provider does not know', () => {
  const said = 'The model `bad404-typo` does not exist, and the key sk-geheim-geheim may not use it.'
  const body = {
    error: { message: said, type: 'invalid_request_error', param: 'model', code: 'model_not_found' },
  }

  test.each([404, 400])(
    'and says so with %i: the log says which, by codes, and where to look',
    async (status) => {
      const { log, run, failed } = await asked({ status, body })
      expect(run.error).toEqual({ code: 'model_refused', message: 'The model provider refuses the request.' })
      expect(failed[0]).toMatchObject({
        level: 'warn',
        message: 'model call failed',
        fields: {
          code: 'model_refused',
          model: 'bad404-typo',
          hint: 'does llm serve the model bad404-typo, and is its base URL right?',
          err: {
            type: 'ProviderError',
            status,
            provider: { code: 'model_not_found', type: 'invalid_request_error', param: 'model' },
          },
        },
      })
      expect(failed[1]).toMatchObject({ message: 'run failed', fields: { code: 'model_refused' } })
      expect(failed[1]?.fields).not.toHaveProperty('err')
      expect(textWithoutSaid(log)).not.toContain('does not exist')
      expect(
        log.lines().find(({ level, fields }) => level === 'debug' && 'said' in fields)?.fields['said'],
      ).toContain('does not exist, and the key [redacted] may not')
    },
  )

  test('a sentence, or what is long, is no code', async () => {
    const { log } = await asked({
      status: 400,
      body: {
        error: { message: 'x', code: `you said ${secret}`, type: secret.repeat(10), param: { secret } },
      },
    })
    expect(textWithoutSaid(log)).not.toContain(secret)
  })

  async function asked(reply: { status: number; body: unknown }) {
    const upstream = await createUpstreamServer()
    onTestFinished(() => upstream.close())
    upstream.replyAlways(jsonReply(reply.body, { status: reply.status }))
    const log = createLogCapture()
    const server = await createTestServer({
      agents: [agent({ name: 'assistant' })],
      llmBaseUrl: upstream.baseURL,
      llmApiKey: 'sk-geheim-geheim',
      llmDefaultModel: 'bad404-typo',
      logger: log.logger,
    })
    onTestFinished(() => server.close())
    await server.request('/chat', { body: { message: 'hi' } })
    const { data } = await server.runs.list(anonymous, { limit: 1 })
    const failed = log.lines().filter(({ level, message }) => level === 'warn' && message.includes('failed'))
    return { log, run: data[0]!, failed }
  }
})

test('what a tool throws is in the log of debug without the secrets of the settings', async () => {
  const fail = tool({
    name: 'fail',
    description: 'Fails.',
    execute: () => {
      throw new Error('database exploded', { cause: new Error('the password sk-geheim-geheim is wrong') })
    },
  })
  const log = createLogCapture()
  const server = await createTestServer({
    agents: [
      agent({
        name: 'a',
        model: scriptedModel([{ toolCalls: [{ name: 'fail', arguments: {} }] }, 'Oh.']),
        tools: [fail],
      }),
    ],
    llmApiKey: 'sk-geheim-geheim',
    logger: log.logger,
  })
  onTestFinished(() => server.close())
  await server.request('/chat', { body: { message: 'hi' } })
  expect(
    log.lines().find(({ level, message }) => level === 'debug' && message === 'tool failed: what it said')
      ?.fields,
  ).toMatchObject({
    tool: 'fail',
    said: 'database exploded ← the password [redacted] is wrong',
  })
})
