import type http from 'node:http'
import https from 'node:https'
import { expect, vi } from 'vitest'
import { openapiTools, type OpenapiToolsOptions } from '../../src/tools/openapi/openapi-tools.ts'
import { startLoopback, type Handler } from './loopback-server.ts'
import { petsDocument } from './openapi-documents.ts'
import { callTool } from './tool-call.ts'

export const key = 'sk-very-secret'

/** The tools of the pets, over a server that is theirs. */
export async function startPets(handler: Handler = () => '{}', options: Partial<OpenapiToolsOptions> = {}) {
  const server = await startLoopback(handler)
  const tools = openapiTools({
    document: petsDocument,
    baseURL: `${server.url}/v1/`,
    allowPrivate: true,
    ...options,
  })
  const call = (name: string, input: object) => callTool(toolOf(tools, name), input) as Promise<string>
  return { server, tools, call }
}

export function toolOf(tools: ReturnType<typeof openapiTools>, name: string) {
  const tool = tools.find((one) => one.name === name)
  if (!tool) throw new Error(`there is no ${name}, only ${tools.map((one) => one.name).join(', ')}`)
  return tool
}

export const petsTools = (options: Partial<OpenapiToolsOptions> = {}) =>
  openapiTools({ document: petsDocument, ...options })

/** A document of one operation, named `a`. */
export const operation = (more: object, method = 'get', path = '/a') => ({
  openapi: '3.0.0',
  servers: [{ url: 'https://a.example' }],
  paths: { [path]: { [method]: { operationId: 'a', responses: {}, ...more } } },
})

/** What a call sends. It does not leave. */
export async function sentBy(call: () => Promise<unknown>): Promise<{ url: string; authorization: unknown }> {
  const sent: { url: string; authorization: unknown }[] = []
  const record = (...[url, { headers }]: Parameters<typeof http.request>) => {
    sent.push({ url: String(url), authorization: (headers as Record<string, unknown>)['authorization'] })
    throw new Error('no network')
  }
  const spy = vi.spyOn(https, 'request').mockImplementation(record as typeof http.request)
  try {
    await expect(call()).rejects.toThrow()
  } finally {
    spy.mockRestore()
  }
  expect(sent).toHaveLength(1)
  return sent[0]!
}
