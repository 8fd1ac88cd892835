import { onTestFinished } from 'vitest'
import type { Model } from '../../src/models/model.ts'
import { scriptedModel } from '../../src/models/scripted.ts'
import { createTestServer, type TestServer, type TestServerOptions } from '../../src/testing/test-server.ts'

/** A real server that goes with the test. */
export async function serving(model: Model, options: TestServerOptions = {}): Promise<TestServer> {
  const server = await createTestServer({ model, ...options })
  onTestFinished(() => server.close())
  return server
}

// What a test looks at is checked by its expectations.
// oxlint-disable-next-line typescript/no-explicit-any
export type Json = any

/** GET, or POST where there is a body. */
export async function call(
  server: TestServer,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) {
  const method = body === undefined ? 'GET' : 'POST'
  const response = await server.request(path, { method, body, ...(headers && { headers }) })
  return { response, status: response.status, json: (await response.json()) as Json }
}

export const always = (text: string) => scriptedModel([text], { atEnd: 'repeat' })
