import { z } from 'zod'
import type { ApprovalContext, Tool } from '../agent/definitions.ts'
import { definitionName, DefinitionError, functionSchema, parseDefinition } from '../parse-definition.ts'
import { tool } from '../agent/tool.ts'
import { AppError } from '../errors.ts'
import { isValidHeader } from '../headers.ts'
import { checkReachable, type HostList, noHosts, parseHosts } from './host-list.ts'
import { redact, secretsIn } from '../secrets.ts'
import { textOf } from './response-text.ts'
import { createSafeFetch, type SafeResponse } from './safe-fetch.ts'

const methodNames = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

export type HttpMethod = (typeof methodNames)[number]

export interface HttpRequestInput {
  url: string
  method?: HttpMethod
  headers?: Record<string, string>
  body?: string
}

export interface HttpRequestOptions {
  /**
   * Where requests and redirects may go: `api.example.com`, `*.example.org` (all below it), `localhost:8080`; `*` for every
   * public host. Without a port 80 and 443 are meant. At least one.
   */
  hosts: readonly string[]
  /** Default GET and HEAD, with which the tool is a `read`; with any other it is a `write`. */
  methods?: readonly HttpMethod[]
  /**
   * Headers of yours by host, such as `{ 'api.example.com': { authorization: 'Bearer …' } }`. Sent to that host alone, over
   * https alone (a host of `allowPrivate` excepted), not after a redirect to another origin, and never shown to the model.
   */
  headers?: Record<string, Record<string, string>>
  /** Headers the model may set. Default `accept`, `accept-language`, `content-type`, `if-match`, `if-none-match`. */
  modelHeaders?: readonly string[]
  /** Hosts that may be at addresses of a private network. Default: none. */
  allowPrivate?: readonly string[]
  /** Bytes of a body that are read. Default 1,000,000. */
  maxBytes?: number
  /** Characters the model gets. Default 50,000. */
  maxOutputChars?: number
  /** Default 30,000. */
  timeoutMs?: number
  approval?:
    'never' | 'required' | ((input: HttpRequestInput, context: ApprovalContext) => boolean | Promise<boolean>)
  /** Default `http_request`. Another one where an agent has several. */
  name?: string
  /** Instead of the default one, which names methods and hosts. */
  description?: string
}

const headersSchema = z.record(z.string(), z.string()).superRefine((headers, context) => {
  for (const [name, value] of Object.entries(headers)) {
    // Never the value: it may be a key.
    if (!isValidHeader(name, value))
      context.addIssue({ code: 'custom', message: `${name} is no valid header` })
  }
})

const optionsSchema = z.strictObject({
  hosts: z.array(z.string()).min(1, 'list at least one host; "*" is every public one'),
  methods: z.array(z.enum(methodNames)).min(1).optional(),
  headers: z.record(z.string(), headersSchema).optional(),
  modelHeaders: z.array(z.string()).optional(),
  allowPrivate: z.array(z.string().refine((host) => host !== '*', 'name the hosts')).optional(),
  maxBytes: z.int().positive().optional(),
  maxOutputChars: z.int().positive().optional(),
  timeoutMs: z.int().positive().max(600_000).optional(),
  approval: z.union([z.enum(['never', 'required']), functionSchema]).optional(),
  name: definitionName.optional(),
  description: z.string().optional(),
})

const defaultModelHeaders = ['accept', 'accept-language', 'content-type', 'if-match', 'if-none-match']

/**
 * A tool that makes HTTP requests to the hosts of a list, and to no address of a private network. Throws a `DefinitionError`
 * where there is no list.
 *
 * @example
 * httpRequest({ hosts: ['api.example.com'], headers: { 'api.example.com': { authorization: `Bearer ${key}` } } })
 */
export function httpRequest(options: HttpRequestOptions): Tool<HttpRequestInput> {
  parseDefinition({ what: 'tool', schema: optionsSchema, options: { name: 'http_request', ...options } })
  const {
    name = 'http_request',
    methods = ['GET', 'HEAD'],
    timeoutMs = 30_000,
    approval,
    maxOutputChars,
  } = options
  const client = createClient({ ...options, methods, name, timeoutMs })
  return tool({
    name,
    description: options.description ?? describe(methods, options.hosts),
    input: inputSchema(methods, modelHeadersOf(options)),
    effect: methods.every((method) => method === 'GET' || method === 'HEAD') ? 'read' : 'write',
    timeoutMs,
    ...(approval === undefined ? {} : { approval }),
    ...(maxOutputChars === undefined ? {} : { maxOutputChars }),
    execute: (input, { signal, idempotencyKey }) => client(input, { signal, idempotencyKey }),
  })
}

function describe(methods: readonly string[], hosts: readonly string[]): string {
  const where = hosts.includes('*') ? 'any public host' : hosts.join(', ')
  return `Makes an HTTP request (${methods.join(', ')}) to ${where}, and returns the status, the content type and the text of the answer.`
}

function inputSchema(
  methods: readonly HttpMethod[],
  modelHeaders: readonly string[],
): z.ZodType<HttpRequestInput> {
  const hasBody = methods.some((method) => method !== 'GET' && method !== 'HEAD')
  const fields = {
    url: z.string().max(8000).describe('Absolute, such as https://example.com/path?query'),
    method: z
      .enum(methods)
      .optional()
      .describe(`Default ${defaultMethod(methods)}.`),
    headers: z
      .record(z.string(), z.string())
      .optional()
      .describe(`Any of ${modelHeaders.join(', ')}.`),
  }
  return hasBody
    ? z.strictObject({ ...fields, body: z.string().optional().describe('Text; JSON by default.') })
    : z.strictObject(fields)
}

function defaultMethod(methods: readonly HttpMethod[]): HttpMethod {
  return methods.includes('GET') ? 'GET' : (methods[0] ?? 'GET')
}

function modelHeadersOf({ modelHeaders = defaultModelHeaders }: HttpRequestOptions): string[] {
  return modelHeaders.map((header) => header.toLowerCase())
}

interface ClientOptions extends HttpRequestOptions {
  methods: readonly HttpMethod[]
  name: string
  timeoutMs: number
}

type Client = (
  input: HttpRequestInput,
  call: { signal: AbortSignal; idempotencyKey: string },
) => Promise<string>

function createClient(options: ClientOptions): Client {
  const { hosts, methods, name, maxBytes, timeoutMs, allowPrivate = [] } = options
  const privateHosts =
    allowPrivate.length > 0 ? parseHosts(allowPrivate, `tool ${name}: allowPrivate`) : noHosts
  checkReachable(hosts, { what: `tool ${name}: hosts`, privateHosts })
  const authorHeaders = readAuthorHeaders(options, privateHosts)
  const allowed = modelHeadersOf(options)
  const safeFetch = createSafeFetch({
    hosts: parseHosts(hosts, `tool ${name}: hosts`),
    privateHosts,
    // The tool's own limit comes first: it knows what to say of a write.
    timeoutMs: timeoutMs + 1000,
    ...(maxBytes === undefined ? {} : { maxBytes }),
  })
  return async (input, { signal, idempotencyKey }) => {
    const { url, method = defaultMethod(methods), body } = input
    const headers = {
      ...defaultHeaders(method, { body, idempotencyKey }),
      ...checkedHeaders(input.headers, allowed),
    }
    // A second one under another spelling of the URL would be a way past the list.
    const own = authorHeaders.for(URL.parse(url))
    const response = await safeFetch({
      url,
      method,
      headers: { ...headers, ...own },
      ...(body === undefined ? {} : { body }),
      signal,
    })
    const { secrets } = authorHeaders
    return redact(describeResponse(response, { asked: url, secrets }), secrets)
  }
}

function defaultHeaders(
  method: HttpMethod,
  { body, idempotencyKey }: { body: string | undefined; idempotencyKey: string },
): Record<string, string> {
  const isRead = method === 'GET' || method === 'HEAD'
  if (isRead && body !== undefined) throw new AppError('tool_refused', { message: `${method} has no body.` })
  return {
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    ...(method === 'POST' || method === 'PATCH' ? { 'idempotency-key': idempotencyKey } : {}),
  }
}

function checkedHeaders(
  headers: Record<string, string> = {},
  allowed: readonly string[],
): Record<string, string> {
  const entries = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const)
  const stranger = entries.find(([name]) => !allowed.includes(name))
  if (stranger) {
    throw new AppError('tool_refused', {
      message: `The header ${stranger[0]} cannot be set here; only ${allowed.join(', ')} can.`,
    })
  }
  return Object.fromEntries(entries)
}

function readAuthorHeaders({ headers = {}, hosts, name }: ClientOptions, privateHosts: HostList) {
  const sets = Object.entries(headers).map(([pattern, set]) => {
    if (!hosts.includes(pattern)) {
      throw new DefinitionError(`tool ${name}: headers: ${JSON.stringify(pattern)} is none of the hosts`)
    }
    if (pattern === '*') throw new DefinitionError(`tool ${name}: headers: name the hosts that may see them`)
    const lower = Object.entries(set).map(([header, value]) => [header.toLowerCase(), value] as const)
    return { list: parseHosts([pattern], `tool ${name}: headers`), set: Object.fromEntries(lower) }
  })
  return {
    /** Nothing for a request that others could read. */
    for(url: URL | null): Record<string, string> {
      if (!url || (url.protocol !== 'https:' && !privateHosts.has(url))) return {}
      return Object.assign({}, ...sets.filter(({ list }) => list.has(url)).map(({ set }) => set)) as Record<
        string,
        string
      >
    },
    secrets: secretsIn(sets.flatMap(({ set }) => Object.values(set))),
  }
}

/** What the model reads: a few lines about the answer, an empty one, its text. */
function describeResponse(
  response: SafeResponse,
  { asked, secrets }: { asked: string; secrets: readonly string[] },
): string {
  const { status, headers, body, cut, url } = response
  const text = textOf(response, secrets)
  const { 'content-type': type, location } = headers
  const lines = [
    `HTTP ${status}`,
    ...(type === undefined ? [] : [`content-type: ${type}`]),
    ...(status > 299 && status < 400 && location !== undefined ? [`location: ${location}`] : []),
    ...(url.href === URL.parse(asked)?.href ? [] : [`url: ${url.href}`]),
    ...(cut ? [`cut: only the first ${body.length} bytes were read`] : []),
  ]
  if (text === undefined) return [...lines, '', 'The answer is not text and is left out.'].join('\n')
  return text === '' ? lines.join('\n') : [...lines, '', text].join('\n')
}
