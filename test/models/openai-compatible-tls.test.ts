import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { createOpenAICompatibleModel } from '../../src/models/openai-compatible/openai-compatible-model.ts'
import { collectReply } from './collect-reply.ts'
import { tlsIdentity } from './tls-identity.ts'

async function setUp() {
  let connections = 0
  const server = createServer(tlsIdentity, (request, response) => {
    request.resume()
    response.end('data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
  })
  server.on('secureConnection', () => connections++)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const baseURL = `https://127.0.0.1:${port}/v1`
  const model = createOpenAICompatibleModel({ provider: 'llm', id: 'llm/x', model: 'x', baseURL })
  onTestFinished(async () => {
    await model.close()
    await new Promise((resolve) => server.close(resolve))
  })
  return { model, connections: () => connections }
}

test('speaks TLS, and keeps the connection', async () => {
  const before = getCACertificates('default')
  setDefaultCACertificates([...before, tlsIdentity.cert])
  onTestFinished(() => setDefaultCACertificates(before))
  const { model, connections } = await setUp()
  expect((await collectReply(model)).decoded.text).toBe('Hi')
  expect((await collectReply(model)).decoded.text).toBe('Hi')
  expect(connections()).toBe(1)
})

test('trusts no certificate that nobody vouches for', async () => {
  const { model } = await setUp()
  await expect(collectReply(model)).rejects.toMatchObject({
    code: 'model_unavailable',
    cause: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
  })
})
