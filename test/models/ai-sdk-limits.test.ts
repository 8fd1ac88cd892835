import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { createAiSdkModel } from '../../src/models/ai-sdk/ai-sdk-model.ts'
import { loadLanguageModel } from '../../src/models/ai-sdk/providers.ts'
import { collectReply } from './collect-reply.ts'

const mega = 2 ** 20
/** Where a server gives up that nobody stops. */
const endMegabytes = 96
/** What lies between the two ends: the buffers of sockets and streams. */
const buffersMegabytes = 16

interface Flood {
  status: number
  first?: string
  /** Sent again and again. */
  chunk: Buffer
}

/** Sends without end, as fast as it is read. `sent` resolves when it is over, with the megabytes that were taken. */
async function startFlood({ status, first = '', chunk }: Flood) {
  const sent = Promise.withResolvers<number>()
  const server = createServer((request, response) => {
    request.resume()
    response.writeHead(status, { 'content-type': status < 400 ? 'text/event-stream' : 'application/json' })
    response.write(first)
    void pour(response, chunk).then(sent.resolve)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { baseURL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sent: sent.promise }
}

function pour(response: ServerResponse, chunk: Buffer): Promise<number> {
  let bytes = 0
  return new Promise((resolve) => {
    const more = () => {
      while (bytes < endMegabytes * mega && !response.destroyed) {
        bytes += chunk.length
        if (!response.write(chunk)) return
      }
      response.end()
    }
    response.on('drain', more)
    response.on('error', () => undefined)
    response.on('close', () => resolve(bytes / mega))
    more()
  })
}

const services = [
  { provider: 'anthropic', model: 'claude-sonnet-4-5' },
  { provider: 'google', model: 'gemini-2.5-flash' },
] as const

const xs = Buffer.alloc(mega, 'x')
const comments = Buffer.from(': still here\n\n'.repeat(50_000))

describe.each(services)('$provider', ({ provider, model: name }) => {
  async function failure(flood: Flood) {
    const { baseURL, sent } = await startFlood(flood)
    const model = createAiSdkModel({
      provider,
      id: `${provider}/${name}`,
      languageModel: () => loadLanguageModel({ provider, model: name, apiKey: 'key-of-test', baseURL }),
    })
    const error: unknown = await collectReply(model).catch((reason: unknown) => reason)
    return { code: AppError.is(error) ? error.code : error, megabytes: await sent }
  }

  test('a refusal without an end is read as far as it matters', async () => {
    const { code, megabytes } = await failure({ status: 500, chunk: xs })
    expect(code).toBe('model_unavailable')
    expect(megabytes).toBeLessThan(buffersMegabytes)
  })

  test('a redirect whose body has no end is left likewise', async () => {
    const { code, megabytes } = await failure({ status: 307, chunk: xs })
    expect(code).toBe('model_refused')
    expect(megabytes).toBeLessThan(buffersMegabytes)
  })

  test('a line without an end is a bad response, and the connection is closed', async () => {
    const { code, megabytes } = await failure({ status: 200, first: 'data: ', chunk: xs })
    expect(code).toBe('model_bad_response')
    expect(megabytes).toBeLessThan(8 + buffersMegabytes)
  })

  test('lines without an end are a bad response, too', async () => {
    const { code, megabytes } = await failure({ status: 200, chunk: comments })
    expect(code).toBe('model_bad_response')
    expect(megabytes).toBeLessThan(32 + buffersMegabytes)
  })

  test('one event of ever more lines is a bad response', async () => {
    const lines = Buffer.from(`data: ${'x'.repeat(2 ** 16)}\n`.repeat(8))
    const { code, megabytes } = await failure({ status: 200, chunk: lines })
    expect(code).toBe('model_bad_response')
    expect(megabytes).toBeLessThan(32 + buffersMegabytes)
  })
})
