import { z } from 'zod'
import type { Tool, ToolContext, ToolEffect } from '../../agent/definitions.ts'
import { functionSchema, parseDefinition } from '../../parse-definition.ts'
import { tool } from '../../agent/tool.ts'
import { AppError } from '../../errors.ts'
import { isValidHeader } from '../../headers.ts'
import { hostOf, noHosts, parseHosts } from '../host-list.ts'
import { isPrivateHost } from '../public-address.ts'
import { redact, secretsIn } from '../../secrets.ts'
import { textOf } from '../response-text.ts'
import { createSafeFetch, type SafeFetch, type SafeResponse, unknownOutcome } from '../safe-fetch.ts'
import { type CallShape, shapeOf } from './call-shape.ts'
import {
  fault,
  type JsonObject,
  type OpenapiDocument,
  type OpenapiOperation,
  type OperationNode,
  operationsOf,
  readDocument,
} from './document.ts'
import { buildRequest } from './request.ts'
import { serverOf } from './server.ts'

export interface OpenapiToolsOptions {
  /** OpenAPI 3.0 or 3.1: the parsed document, or the path or `file:` URL of one in JSON, read at once. */
  document: JsonObject | string | URL
  /** Instead of the document's servers. */
  baseURL?: string
  /** Sent with every request to the server, and nowhere else. Never shown to the model. */
  headers?: Record<string, string>
  /** The same, in the usual ways. */
  auth?: { bearer: string } | { apiKey: { in: 'header' | 'query' | 'cookie'; name: string; value: string } }
  /** Which become tools: their ids, or `GET /pets` for those without one. Default: all that can be called. */
  operations?: readonly string[] | ((operation: OpenapiOperation) => boolean)
  /** Before the tools' names: `pets_`. */
  prefix?: string
  /** Default `never`. `writes`: all but GET and HEAD. */
  approval?: 'never' | 'required' | 'writes' | ((operation: OpenapiOperation) => boolean)
  /** Whether the server may be at an address of a private network. Default false. */
  allowPrivate?: boolean
  /** Bytes of an answer that are read. Default 1,000,000. */
  maxBytes?: number
  /** Default 30,000. */
  timeoutMs?: number
}

const noLineBreaks = z
  .string()
  .min(1)
  .regex(/^[^\r\n]*$/, 'must be one line')

const optionsSchema = z.strictObject({
  document: z.union([z.string(), z.instanceof(URL), z.record(z.string(), z.unknown())]),
  baseURL: z.url({ protocol: /^https?$/ }).optional(),
  headers: z.record(z.string(), z.string()).optional(),
  auth: z
    .union([
      z.strictObject({ bearer: noLineBreaks }),
      z.strictObject({
        apiKey: z.strictObject({
          in: z.enum(['header', 'query', 'cookie']),
          name: z.string().min(1),
          value: noLineBreaks,
        }),
      }),
    ])
    .optional(),
  operations: z.union([z.array(z.string()), functionSchema]).optional(),
  prefix: z
    .string()
    .regex(/^[a-zA-Z0-9_-]{0,32}$/, 'must be at most 32 of a-z A-Z 0-9 _ -')
    .optional(),
  approval: z.union([z.enum(['never', 'required', 'writes']), functionSchema]).optional(),
  allowPrivate: z.boolean().optional(),
  maxBytes: z.int().positive().optional(),
  timeoutMs: z.int().positive().max(600_000).optional(),
})

/** What the author adds to each request to the server. */
interface Credentials {
  headers: Record<string, string>
  query: [string, string] | undefined
  secrets: readonly string[]
}

/**
 * A tool for each operation of an OpenAPI document. Their requests go to the server of the document and nowhere else.
 *
 * Throws a `DefinitionError` that names the place where the document cannot be used. Operations that need a body that is not
 * JSON, or a cookie, are left out, unless they are asked for by name.
 *
 * @example
 * openapiTools({ document: new URL('pets.json', import.meta.url), auth: { bearer: key }, approval: 'writes' })
 */
export function openapiTools(options: OpenapiToolsOptions): Tool<Record<string, unknown>>[] {
  parseDefinition({ what: 'openapiTools', schema: optionsSchema, options })
  const document = readDocument(options.document)
  const credentials = readCredentials(options)
  const names = new Set<string>()
  const tools = choose(document, options.operations).flatMap(({ node, named }) => {
    const shape = shapeOf(node, { document, taken: takenBy(credentials) })
    if ('unable' in shape) {
      if (named) throw fault(`${node.place}: cannot be called: ${shape.unable}`)
      return []
    }
    const name = uniqueName(node.operation, { prefix: options.prefix ?? '', names })
    return [toTool({ name, node, shape, document, credentials, options })]
  })
  if (tools.length === 0) throw fault('#/paths: no operation that can be called')
  return tools
}

function readCredentials({ headers = {}, auth }: OpenapiToolsOptions): Credentials {
  const all = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  let query: Credentials['query']
  if (auth && 'bearer' in auth) all.set('authorization', `Bearer ${auth.bearer}`)
  if (auth && 'apiKey' in auth) {
    const { in: place, name, value } = auth.apiKey
    if (place === 'query') query = [name, value]
    else if (place === 'header') all.set(name.toLowerCase(), value)
    else all.set('cookie', `${name}=${encodeURIComponent(value)}`)
  }
  for (const [name, value] of all) {
    if (!isValidHeader(name, value)) throw fault(`headers: ${name} is no valid header`)
  }
  const apiKey = auth && 'apiKey' in auth ? [auth.apiKey.value] : []
  return { headers: Object.fromEntries(all), query, secrets: secretsIn([...all.values(), ...apiKey]) }
}

function takenBy({ headers, query }: Credentials) {
  return { header: new Set(Object.keys(headers)), query: new Set(query ? [query[0]] : []) }
}

/** Those that were asked for. `named`: by name, so that what cannot be had is a mistake. */
function choose(
  document: OpenapiDocument,
  wanted: OpenapiToolsOptions['operations'],
): { node: OperationNode; named: boolean }[] {
  const all = operationsOf(document)
  if (wanted === undefined) return all.map((node) => ({ node, named: false }))
  if (typeof wanted === 'function') {
    return all.filter(({ operation }) => wanted(operation)).map((node) => ({ node, named: false }))
  }
  return wanted.map((name) => {
    const node = all.find(
      ({ operation: { operationId, method, path } }) => operationId === name || `${method} ${path}` === name,
    )
    if (!node) throw fault(`operations: the document has no ${JSON.stringify(name)}`)
    return { node, named: true }
  })
}

/** Of the id, else of method and path: 1 to 64 of what providers accept, and no two alike. */
function uniqueName(
  { operationId, method, path }: OpenapiOperation,
  { prefix, names }: { prefix: string; names: Set<string> },
): string {
  const plain = (operationId ?? `${method.toLowerCase()}${path}`)
    .replaceAll(/[^a-zA-Z0-9_-]+/g, '_')
    .replaceAll(/^_+|_+$/g, '')
  const base = `${prefix}${plain || method.toLowerCase()}`
  let name = base.slice(0, 64)
  for (let i = 2; names.has(name); i++) name = `${base.slice(0, 60)}_${i}`
  names.add(name)
  return name
}

interface ToolParts {
  name: string
  node: OperationNode
  shape: CallShape
  document: OpenapiDocument
  credentials: Credentials
  options: OpenapiToolsOptions
}

function toTool(parts: ToolParts): Tool<Record<string, unknown>> {
  const { name, node, shape, options } = parts
  const { operation } = node
  const { timeoutMs = 30_000 } = options
  return tool({
    name,
    description: describe(operation),
    input: shape.input,
    effect: effectOf(operation),
    approval: needsApproval(operation, options.approval) ? 'required' : 'never',
    timeoutMs,
    execute: createCall(parts, timeoutMs),
  })
}

function describe({ method, path, summary = '', description = '', deprecated }: OpenapiOperation): string {
  const text = [...new Set([summary.trim(), description.trim()])].filter((part) => part !== '').join('\n')
  return `${deprecated ? 'Deprecated. ' : ''}${text || `${method} ${path}`}`.slice(0, 1024)
}

function effectOf({ method }: OpenapiOperation): ToolEffect {
  if (method === 'GET' || method === 'HEAD') return 'read'
  return method === 'PUT' || method === 'DELETE' ? 'idempotent' : 'write'
}

function needsApproval(
  operation: OpenapiOperation,
  approval: OpenapiToolsOptions['approval'] = 'never',
): boolean {
  if (typeof approval === 'function') return approval(operation)
  return approval === 'required' || (approval === 'writes' && effectOf(operation) !== 'read')
}

function createCall({ node, shape, document, credentials, options }: ToolParts, timeoutMs: number) {
  const { operation } = node
  const { base, isMain } = serverOf(node, {
    document,
    ...(options.baseURL ? { baseURL: options.baseURL } : {}),
  })
  const hasCredentials = Object.keys(credentials.headers).length > 0 || credentials.query !== undefined
  // A server that one operation has for itself is not the one the credentials are for.
  const own = isMain ? credentials : { headers: {}, query: undefined }
  if (isMain && hasCredentials && base.protocol !== 'https:' && options.allowPrivate !== true) {
    throw fault(`${base.origin}: headers and auth are sent over https alone, unless allowPrivate is set`)
  }
  if (isPrivateHost(base.hostname) && options.allowPrivate !== true) {
    throw fault(`${base.origin}: is in a private network: set allowPrivate, or another baseURL`)
  }
  const safeFetch = fetchFrom(base, { ...options, timeoutMs })
  return async (
    input: Record<string, unknown>,
    { signal, idempotencyKey }: Pick<ToolContext, 'signal' | 'idempotencyKey'>,
  ): Promise<string> => {
    const { url, headers, body } = buildRequest({ operation, shape, base, input })
    if (own.query) url.searchParams.set(...own.query)
    const response = await safeFetch({
      url,
      method: operation.method,
      headers: {
        accept: 'application/json, */*;q=0.5',
        ...(effectOf(operation) === 'write' ? { 'idempotency-key': idempotencyKey } : {}),
        ...headers,
        ...own.headers,
      },
      ...(body === undefined ? {} : { body }),
      repeatable: effectOf(operation) !== 'write',
      signal,
    })
    return resultOf(response, { secrets: credentials.secrets, effect: effectOf(operation) })
  }
}

function fetchFrom(
  base: URL,
  { allowPrivate, maxBytes, timeoutMs }: OpenapiToolsOptions & { timeoutMs: number },
): SafeFetch {
  const hosts = parseHosts([hostOf(base)], 'openapiTools')
  return createSafeFetch({
    hosts,
    privateHosts: allowPrivate === true ? hosts : noHosts,
    // The tool's own limit comes first: it knows what to say of a write.
    timeoutMs: timeoutMs + 1000,
    ...(maxBytes === undefined ? {} : { maxBytes }),
  })
}

/** Of a gateway that lost the answer, or a redirect that could not be followed: they do not say what became of a write. */
const unclearStatuses = new Set([301, 302, 303, 502, 503, 504])

/** The text of the answer; one that tells of a failure is thrown. */
function resultOf(
  response: SafeResponse,
  { secrets, effect }: { secrets: readonly string[]; effect: ToolEffect },
): string {
  const { status, headers, cut, body } = response
  const text = textOf(response, secrets)
  const readable =
    text === undefined
      ? `The answer (${headers['content-type'] ?? 'of no type'}) is not text and is left out.`
      : text
  const clean = redact(readable, secrets)
  if (status < 200 || status > 299) {
    const message = clean === '' ? `HTTP ${status}` : `HTTP ${status}: ${clean.slice(0, 1800)}`
    if (effect === 'write' && unclearStatuses.has(status)) throw unknownOutcome(`${message}.`)
    throw new AppError('tool_failed', { message, retryable: status === 429 || status >= 500 })
  }
  if (clean === '') return `HTTP ${status}, without content.`
  return cut ? `${clean}\n[cut: only the first ${body.length} bytes were read]` : clean
}
