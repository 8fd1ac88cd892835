import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished, describe, expect, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { createConnectionPool } from '../../src/models/openai-compatible/connection-pool.ts'
import { createOpenAICompatibleModel } from '../../src/models/openai-compatible/openai-compatible-model.ts'
import type {
  OpenAICompatibleModel,
  OpenAICompatibleModelOptions,
} from '../../src/models/openai-compatible/openai-compatible-model.ts'
import {
  chunkOf,
  createUpstreamServer,
  doneStep,
  errorReply,
  finishOf,
  jsonReply,
  rawStep,
  streamReply,
} from '../../src/testing/upstream-server.ts'
import type { UpstreamReply, UpstreamServer, UpstreamStep } from '../../src/testing/upstream-server.ts'
import { collectReply, greeting } from './collect-reply.ts'
import { recordedReplies } from './recorded-replies.ts'

interface Pair {
  upstream: UpstreamServer
  model: OpenAICompatibleModel
}

async function setUp(options: Partial<OpenAICompatibleModelOptions> = {}): Promise<Pair> {
  const upstream = await createUpstreamServer()
  const model = createOpenAICompatibleModel({
    provider: 'llm',
    id: 'llm/test',
    model: 'test',
    baseURL: upstream.baseURL,
    apiKey: 'sk-very-secret-key',
    ...options,
  })
  onTestFinished(async () => {
    await model.close()
    await upstream.close()
  })
  return { upstream, model }
}

async function failureOf(promise: Promise<unknown>): Promise<AppError> {
  const error: unknown = await promise.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  )
  if (AppError.is(error)) return error
  throw new Error('not an AppError', { cause: error })
}

const text = (content: string): UpstreamStep => chunkOf({ content })
const wait = (until: Promise<unknown>): UpstreamStep => ({ type: 'wait', until })

describe('a request', () => {
  test('goes to chat/completions below the base URL, with the key and the extra headers', async () => {
    const { upstream, model } = await setUp({ headers: { 'X-Title': 'Parley' } })
    upstream.reply(streamReply({ text: ['Hi'] }))
    await collectReply(model)
    const request = await upstream.request(0)
    expect(request).toMatchObject({
      method: 'POST',
      path: '/v1/chat/completions',
      headers: {
        authorization: 'Bearer sk-very-secret-key',
        'x-title': 'Parley',
        'content-type': 'application/json',
      },
      body: { model: 'test', stream: true, messages: [{ role: 'user', content: 'Hi' }] },
    })
  })

  test('keeps the query of the base URL, and lets a header stand for the key', async () => {
    const upstream = await createUpstreamServer()
    const model = createOpenAICompatibleModel({
      provider: 'azure',
      id: 'azure/test',
      model: 'test',
      baseURL: `${upstream.baseURL}/?api-version=2024-10-21`,
      headers: { Authorization: 'Custom abc' },
    })
    onTestFinished(async () => {
      await model.close()
      await upstream.close()
    })
    upstream.reply(streamReply({ text: ['Hi'] }))
    await collectReply(model)
    const { path, headers } = await upstream.request(0)
    expect(path).toBe('/v1/chat/completions?api-version=2024-10-21')
    expect(headers.authorization).toBe('Custom abc')
  })

  test('carries characters of every length', async () => {
    const { upstream, model } = await setUp()
    upstream.reply(streamReply({ text: ['ok'] }))
    await collectReply(model, { request: { ...greeting, instructions: 'é € 😀' } })
    expect((await upstream.request(0)).body).toMatchObject({ messages: [{ content: 'é € 😀' }, {}] })
  })

  test.each(['ftp://example.com', 'example.com/v1', ''])('cannot go to %j', (baseURL) => {
    const make = () => createOpenAICompatibleModel({ provider: 'llm', id: 'llm/x', model: 'x', baseURL })
    expect(make).toThrow(expect.objectContaining({ code: 'model_not_configured' }))
  })

  test('cannot carry a key with a line end, and does not repeat it', () => {
    const make = () =>
      createOpenAICompatibleModel({
        provider: 'llm',
        id: 'llm/x',
        model: 'x',
        baseURL: 'http://127.0.0.1/v1',
        apiKey: 'sk-secret\nx',
      })
    expect(make).toThrow(expect.objectContaining({ code: 'model_not_configured' }))
    expect(make).not.toThrow(/sk-secret/)
  })
})

describe('a reply', () => {
  test.each(recordedReplies)(
    'of $server is understood through a socket: $what',
    async ({ stream, decoded }) => {
      const { upstream, model } = await setUp()
      const bytes = Buffer.from(stream)
      const steps: UpstreamStep[] = []
      for (let at = 0; at < bytes.length; at += 97) steps.push(rawStep(bytes.subarray(at, at + 97)))
      upstream.reply({ steps })
      expect((await collectReply(model)).decoded).toEqual(decoded)
    },
  )

  test('passes each delta on before the next is sent', async () => {
    const { upstream, model } = await setUp()
    const deltas = ['a', 'b', 'c']
    const gates = deltas.map(() => Promise.withResolvers<void>())
    gates[0]?.resolve()
    upstream.reply(streamReply({ text: deltas, before: (i) => wait(gates[i]!.promise) }))
    let seen = 0
    const { decoded } = await collectReply(model, {
      onPart: () => gates[++seen]?.resolve(),
    })
    expect(decoded.text).toBe('abc')
  })

  test('is whole at [DONE], though the body goes on and says more', async () => {
    const { upstream, model } = await setUp()
    const end = Promise.withResolvers<void>()
    const first = streamReply({ text: ['one'] })
    upstream.reply(
      { steps: [...first.steps, wait(end.promise), text('late')] },
      streamReply({ text: ['two'] }),
    )
    const { decoded } = await collectReply(model)
    expect(decoded.text).toBe('one')
    end.resolve()
    expect(await (await upstream.request(0)).outcome).toBe('ended')
    expect((await collectReply(model)).decoded.text).toBe('two')
  })

  test('that was read gives its connection back', async () => {
    const { upstream, model } = await setUp()
    for (const word of ['a', 'b', 'c']) {
      upstream.reply(streamReply({ text: [word] }))
      expect((await collectReply(model)).decoded.text).toBe(word)
    }
    expect(upstream.requests.map(({ connection }) => connection)).toEqual([0, 0, 0])
  })

  test('in one piece of JSON is taken where no stream came', async () => {
    const { upstream, model } = await setUp()
    const message = {
      role: 'assistant',
      content: 'Hello',
      reasoning_content: 'Hm',
      tool_calls: [{ id: 'a', type: 'function', function: { name: 'add', arguments: '{"x":1}' } }],
    }
    const completion = {
      object: 'chat.completion',
      choices: [{ index: 0, message, finish_reason: 'tool_calls' }],
      usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
    }
    upstream.reply(jsonReply(completion))
    expect((await collectReply(model)).parts).toEqual([
      { type: 'reasoning', delta: 'Hm' },
      { type: 'text', delta: 'Hello' },
      { type: 'tool_call', index: 0, name: 'add' },
      { type: 'tool_input', index: 0, delta: '{"x":1}' },
    ])
    upstream.reply({ ...jsonReply(completion), headers: { 'content-type': 'text/event-stream' } })
    expect((await collectReply(model)).reply).toEqual({
      finishReason: 'tool_calls',
      usage: { input_tokens: 3, output_tokens: 4, total_tokens: 7 },
    })
  })

  test('is a stream even under the name of JSON', async () => {
    const { upstream, model } = await setUp()
    upstream.reply({ ...streamReply({ text: ['Hi'] }), headers: { 'content-type': 'application/json' } })
    expect((await collectReply(model)).decoded.text).toBe('Hi')
  })

  test('may end by closing the connection, as HTTP/1.0 does', async () => {
    const { upstream, model } = await setUp()
    const body = 'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
    const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n'
    upstream.reply({ wire: true, steps: [rawStep(head + body), { type: 'destroy' }] })
    expect((await collectReply(model)).decoded).toMatchObject({ text: 'Hi', finishReason: 'stop' })
  })

  test('whose finish was seen survives a broken connection', async () => {
    const { upstream, model } = await setUp()
    upstream.reply({ steps: [text('Hi'), finishOf('stop'), { type: 'destroy' }] })
    expect((await collectReply(model)).decoded).toMatchObject({ text: 'Hi', usage: null })
  })

  test('goes through many streams at once without mixing them', async () => {
    const { upstream, model } = await setUp()
    upstream.replyAlways(({ body }) => {
      const { seed } = body as { seed: number }
      return streamReply({ text: Array.from({ length: 20 }, (_, i) => `${seed}.${i} `) })
    })
    const texts = await Promise.all(
      Array.from({ length: 30 }, async (_, seed) => {
        const { decoded } = await collectReply(model, { request: { ...greeting, settings: { seed } } })
        return decoded.text
      }),
    )
    expect(texts).toEqual(
      Array.from({ length: 30 }, (_, seed) => Array.from({ length: 20 }, (_, i) => `${seed}.${i} `).join('')),
    )
  })
})

describe('a broken reply', () => {
  const half: UpstreamStep[] = [text('Hel')]
  const broken: [what: string, reply: UpstreamReply, code: string][] = [
    ['half a stream', { steps: half }, 'model_bad_response'],
    ['half a stream and a broken connection', { steps: [...half, { type: 'destroy' }] }, 'model_unavailable'],
    ['no answer but a closed connection', { wire: true, steps: [{ type: 'destroy' }] }, 'model_unavailable'],
    ['an empty body', { steps: [] }, 'model_bad_response'],
    ['nothing but [DONE]', { steps: [doneStep] }, 'model_bad_response'],
    ['bytes that are no HTTP', { wire: true, steps: [rawStep('SSH-2.0-x\r\n\r\n')] }, 'model_unavailable'],
    [
      'a web page',
      { headers: { 'content-type': 'text/html' }, steps: [rawStep('<html>hi</html>')] },
      'model_bad_response',
    ],
    [
      'an event that is no JSON',
      { steps: [...half, rawStep('data: {oops\n\n'), doneStep] },
      'model_bad_response',
    ],
    ['an event that is no object', { steps: [rawStep('data: 42\n\n')] }, 'model_bad_response'],
    ['half a JSON answer', { steps: [rawStep('{"choices":[{"mess')] }, 'model_bad_response'],
    [
      'an event without end',
      { steps: [rawStep(`data: ${'x'.repeat(5 * 1024 * 1024)}`)] },
      'model_bad_response',
    ],
    [
      'a tool call without a name',
      {
        steps: [
          chunkOf({ tool_calls: [{ index: 0, function: { arguments: '{}' } }] }),
          finishOf('tool_calls'),
          doneStep,
        ],
      },
      'model_bad_response',
    ],
    ['a finish by error', { steps: [...half, finishOf('error'), doneStep] }, 'model_unavailable'],
    [
      'the error event of OpenAI',
      { steps: [...half, rawStep('data: {"error": {"message": "sorry", "type": "server_error"}}\n\n')] },
      'model_unavailable',
    ],
    [
      'the error event of vLLM',
      {
        steps: [rawStep('data: {"object":"error","message":"bad","type":"BadRequestError","code":400}\n\n')],
      },
      'model_refused',
    ],
    [
      'an error with a number for a code',
      { steps: [...half, rawStep('data: {"error":{"code":429,"message":"slow"},"choices":[]}\n\n')] },
      'model_rate_limited',
    ],
    [
      'an error in a choice',
      { steps: [rawStep('data: {"choices":[{"error":{"code":502,"message":"x"},"delta":{}}]}\n\n')] },
      'model_unavailable',
    ],
    [
      'an event named error',
      { steps: [rawStep('event: error\ndata: {"message":"maximum","code":"context_length_exceeded"}\n\n')] },
      'context_length_exceeded',
    ],
    ['an error that is a string', { steps: [rawStep('data: {"error":"boom"}\n\n')] }, 'model_unavailable'],
    [
      'an error under status 200',
      jsonReply({ error: { message: 'no', type: 'invalid_request_error' } }),
      'model_refused',
    ],
    [
      'an error of Groq',
      { steps: [rawStep('data: {"choices":[],"x_groq":{"error":"tool call failed"}}\n\n')] },
      'model_unavailable',
    ],
  ]

  test.each(broken)('%s is coded', async (_what, reply, code) => {
    const { upstream, model } = await setUp()
    upstream.reply(reply)
    const error = await failureOf(collectReply(model))
    expect(error.code).toBe(code)
    expect(error.cause).toBeInstanceOf(Error)
    expect(upstream.requests).toHaveLength(1)
  })

  test('may be tried again when it was cut', async () => {
    const { upstream, model } = await setUp()
    upstream.reply({ steps: half })
    expect((await failureOf(collectReply(model))).retryable).toBe(true)
  })

  test('has shown what came before the fault', async () => {
    const { upstream, model } = await setUp()
    upstream.reply({ steps: [...half, rawStep('data: {oops\n\n')] })
    const seen: unknown[] = []
    await failureOf(collectReply(model, { onPart: (part) => seen.push(part) }))
    expect(seen).toEqual([{ type: 'text', delta: 'Hel' }])
  })

  test('ends with what the caller throws, and with a closed socket', async () => {
    const { upstream, model } = await setUp()
    upstream.reply({ steps: [text('a'), { type: 'silence' }] })
    const bug = new Error('a bug of ours')
    const reply = collectReply(model, {
      onPart() {
        throw bug
      },
    })
    await expect(reply).rejects.toBe(bug)
    expect(await (await upstream.request(0)).outcome).toBe('closed')
  })
})

describe('an abort', () => {
  test('closes the socket and emits nothing more', async () => {
    const { upstream, model } = await setUp()
    upstream.reply({
      steps: [
        rawStep(['a', 'b'].map((c) => `data: {"choices":[{"delta":{"content":"${c}"}}]}\n\n`).join('')),
        { type: 'silence' },
      ],
    })
    const controller = new AbortController()
    const parts: unknown[] = []
    const reply = collectReply(model, {
      signal: controller.signal,
      onPart(part) {
        parts.push(part)
        controller.abort(new Error('enough'))
      },
    })
    await expect(reply).rejects.toThrow('enough')
    expect(await (await upstream.request(0)).outcome).toBe('closed')
    await upstream.idle()
    expect(parts).toEqual([{ type: 'text', delta: 'a' }])
  })

  test('before the headers closes the socket', async () => {
    const { upstream, model } = await setUp()
    upstream.reply({ wire: true, steps: [{ type: 'silence' }] })
    const controller = new AbortController()
    const reply = collectReply(model, { signal: controller.signal })
    const request = await upstream.request(0)
    controller.abort()
    await expect(reply).rejects.toBe(controller.signal.reason)
    expect(await request.outcome).toBe('closed')
  })

  test('before the start sends nothing', async () => {
    const { upstream, model } = await setUp()
    await expect(collectReply(model, { signal: AbortSignal.abort() })).rejects.toThrow()
    expect(upstream.requests).toHaveLength(0)
  })

  test('after the end changes nothing', async () => {
    const { upstream, model } = await setUp()
    upstream.replyAlways(streamReply({ text: ['a'] }))
    const controller = new AbortController()
    await collectReply(model, { signal: controller.signal })
    controller.abort()
    await collectReply(model)
    expect(upstream.requests.map(({ connection }) => connection)).toEqual([0, 0])
  })
})

describe('connections', () => {
  test('that the server closed in the moment of use are replaced once, unseen', async () => {
    const { upstream, model } = await setUp()
    upstream.reply(
      streamReply({ text: ['one'] }),
      { wire: true, steps: [{ type: 'destroy' }] },
      streamReply({ text: ['two'] }),
    )
    await collectReply(model)
    expect((await collectReply(model)).decoded.text).toBe('two')
    expect(upstream.requests.map(({ connection }) => connection)).toEqual([0, 0, 1])
  })

  test('that break twice are an error', async () => {
    const { upstream, model } = await setUp()
    upstream.reply(streamReply({ text: ['one'] }))
    upstream.replyAlways({ wire: true, steps: [{ type: 'destroy' }] })
    await collectReply(model)
    expect((await failureOf(collectReply(model))).code).toBe('model_unavailable')
    expect(upstream.requests).toHaveLength(3)
  })

  test('that break after the first byte are never tried again', async () => {
    const { upstream, model } = await setUp()
    const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\n'
    upstream.reply(streamReply({ text: ['one'] }), {
      wire: true,
      steps: [rawStep(head), { type: 'destroy' }],
    })
    await collectReply(model)
    expect((await failureOf(collectReply(model))).code).toBe('model_unavailable')
    expect(upstream.requests).toHaveLength(2)
  })

  test('that the server closed while idle are simply made anew', async () => {
    const { upstream, model } = await setUp()
    upstream.replyAlways(streamReply({ text: ['a'] }))
    await collectReply(model)
    await (
      await upstream.request(0)
    ).outcome
    upstream.closeIdle()
    await upstream.idle()
    await collectReply(model)
    expect(upstream.requests.map(({ connection }) => connection)).toEqual([0, 1])
  })

  test('refused are model_unavailable', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    const { model } = await setUp({ baseURL: `http://127.0.0.1:${port}/v1` })
    const error = await failureOf(collectReply(model))
    expect(error).toMatchObject({
      code: 'model_unavailable',
      retryable: true,
      cause: { code: 'ECONNREFUSED' },
    })
  })

  test('wait for each other at the limit of the pool', async () => {
    const upstream = await createUpstreamServer()
    const connections = createConnectionPool({ baseURL: upstream.baseURL, maxConnections: 2 })
    const model = createOpenAICompatibleModel({
      provider: 'llm',
      id: 'llm/x',
      model: 'x',
      baseURL: upstream.baseURL,
      connections,
    })
    onTestFinished(async () => {
      await connections.close()
      await upstream.close()
    })
    upstream.replyAlways(streamReply({ text: ['a'] }))
    await Promise.all(Array.from({ length: 7 }, () => collectReply(model)))
    expect(new Set(upstream.requests.map(({ connection }) => connection))).toEqual(new Set([0, 1]))
  })

  test('are all closed with the pool, also those in use, and no new ones made', async () => {
    const { upstream, model } = await setUp()
    upstream.reply({ steps: [text('a'), { type: 'silence' }] })
    const first = Promise.withResolvers<unknown>()
    const reply = failureOf(collectReply(model, { onPart: first.resolve }))
    await first.promise
    await model.close()
    expect((await reply).code).toBe('model_unavailable')
    await upstream.idle()
    expect((await failureOf(collectReply(model))).code).toBe('model_unavailable')
    expect(upstream.requests).toHaveLength(1)
  })
})

describe('an error status', () => {
  test('with a key in its body does not show the key anywhere', async () => {
    const { upstream, model } = await setUp()
    upstream.reply(errorReply(401, 'Incorrect API key provided: sk-very-secret-key.'))
    const error = await failureOf(collectReply(model))
    expect(error.message).not.toContain('Incorrect')
    const cause = error.cause as Error
    expect(cause.message).toContain('status 401')
    expect(cause.message).toContain('Incorrect API key provided: [redacted]')
    expect(cause.stack).not.toContain('sk-very-secret-key')
  })

  test('keeps the first 2 KiB of what was said, as the cause', async () => {
    const { upstream, model } = await setUp()
    upstream.reply(errorReply(500, 'x'.repeat(10_000)))
    const { cause } = await failureOf(collectReply(model))
    expect((cause as Error).message.length).toBeLessThan(2100)
    expect((cause as Error).message.length).toBeGreaterThan(2048)
  })

  test('with an endless body is told without reading it all', async () => {
    const { upstream, model } = await setUp()
    const flood = rawStep('x'.repeat(200_000))
    upstream.reply({ status: 503, steps: [flood, { type: 'silence' }] })
    expect((await failureOf(collectReply(model))).code).toBe('model_unavailable')
    expect(await (await upstream.request(0)).outcome).toBe('closed')
  })

  test('gives its connection back', async () => {
    const { upstream, model } = await setUp()
    upstream.reply(errorReply(429, 'slow'), streamReply({ text: ['a'] }))
    await failureOf(collectReply(model))
    await collectReply(model)
    expect(upstream.requests.map(({ connection }) => connection)).toEqual([0, 0])
  })
})
