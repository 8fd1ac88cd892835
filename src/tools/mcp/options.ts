import { z } from 'zod'
import { functionSchema, parseDefinition } from '../../parse-definition.ts'
import { isValidHeader } from '../../headers.ts'
import { keysAmong, secretsIn } from '../../secrets.ts'
import type { ToolEffect } from '../../agent/definitions.ts'

/** A tool as an MCP server lists it. Everything in it is the server's word, not a fact. */
export interface McpTool {
  name: string
  title?: string
  description?: string
  /** JSON Schema of an object. */
  inputSchema: Record<string, unknown>
  annotations?: {
    title?: string
    readOnlyHint?: boolean
    destructiveHint?: boolean
    idempotentHint?: boolean
    openWorldHint?: boolean
  }
}

/** Where the server is: exactly one of `url` and `command`. */
export interface McpToolsOptions {
  /** For people, and for the default prefix: `files`. */
  name: string
  /** Streamable HTTP, such as `https://example.com/mcp`. */
  url?: string | URL
  /** Sent with every request to `url`, and nowhere else. Never logged. */
  headers?: Record<string, string>
  /** A program that speaks MCP on its standard input and output. */
  command?: string
  args?: readonly string[]
  /** Beside these the program sees `HOME`, `LOGNAME`, `PATH`, `SHELL`, `TERM` and `USER`, and nothing else of ours. */
  env?: Record<string, string>
  cwd?: string
  /** Before the names of its tools, as the model sees them. Default: the name and `_`. */
  prefix?: string
  /** Which of its tools are taken, by the server's names. Default: all. */
  tools?: readonly string[] | ((tool: McpTool) => boolean)
  /** Of these the first so many, in the server's order; the log says where there are more. Default 256. */
  maxTools?: number
  /** Default `never`. The function gets the server's name of the tool. */
  approval?:
    'never' | 'required' | ((toolName: string, input: Record<string, unknown>) => boolean | Promise<boolean>)
  /** By the server's name of the tool. Default: what its annotations say, else `write`. */
  effect?: Record<string, ToolEffect>
  /** How long a call may be silent; progress starts it anew, up to ten times as long in all. Default 60,000. */
  timeoutMs?: number
  /** How long a run waits for the first list of tools, and a call for a server that is away. Default 10,000. */
  connectTimeoutMs?: number
}

/** The same with every default filled in. */
export interface McpSettings extends Omit<McpToolsOptions, 'url' | 'command'> {
  readonly target: HttpTarget | ProgramTarget
  readonly prefix: string
  readonly maxTools: number
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
}

export interface HttpTarget {
  readonly kind: 'http'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
}

export interface ProgramTarget {
  readonly kind: 'program'
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string | undefined
}

const texts = z.record(z.string(), z.string())
/** Ten times as long must still fit into one of Node's timers. */
const limitMs = z.int().positive().max(100_000_000)

const optionsSchema = z
  .strictObject({
    name: z.string().min(1).max(64),
    url: z
      .union([z.string(), z.instanceof(URL)])
      .refine((url) => /^https?:$/.test(URL.parse(url)?.protocol ?? ''), 'must be an http or https URL')
      .refine((url) => !hasCredentials(url), 'holds credentials: these belong in headers')
      .optional(),
    headers: texts.optional(),
    command: z.string().min(1).optional(),
    args: z.array(z.string()).optional(),
    env: texts.optional(),
    cwd: z.string().min(1).optional(),
    prefix: z.string().max(32).optional(),
    tools: z.union([z.array(z.string()), functionSchema]).optional(),
    maxTools: z.int().positive().max(10_000).optional(),
    approval: z.union([z.enum(['never', 'required']), functionSchema]).optional(),
    effect: z.record(z.string(), z.enum(['read', 'idempotent', 'write'])).optional(),
    timeoutMs: limitMs.optional(),
    connectTimeoutMs: limitMs.optional(),
  })
  .refine(
    ({ url, command }) => (url === undefined) !== (command === undefined),
    'exactly one of url and command',
  )
  .refine(({ url, headers }) => url !== undefined || headers === undefined, {
    path: ['headers'],
    message: 'only with url',
  })
  .refine(
    ({ headers = {} }) => Object.entries(headers).every(([name, value]) => isValidHeader(name, value)),
    {
      path: ['headers'],
      message: 'HTTP cannot carry one of them',
    },
  )
  .refine(
    ({ command, args, env, cwd }) =>
      command !== undefined || (args === undefined && env === undefined && cwd === undefined),
    'args, env and cwd only with command',
  )

/** `fetch` refuses them, and they would be shown with the address. */
function hasCredentials(url: string | URL): boolean {
  const parsed = URL.parse(url)
  return parsed !== null && (parsed.username !== '' || parsed.password !== '')
}

/** Throws a `DefinitionError` that names every fault, and never a value: headers and env hold secrets. */
export function readOptions(options: McpToolsOptions): McpSettings {
  parseDefinition({ what: 'mcpTools', schema: optionsSchema, options })
  const { url: _url, command: _command, ...rest } = options
  return {
    ...rest,
    target: toTarget(options),
    prefix: options.prefix ?? `${options.name}_`,
    maxTools: options.maxTools ?? 256,
    timeoutMs: options.timeoutMs ?? 60_000,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
  }
}

function toTarget({ url, headers, command, args, env, cwd }: McpToolsOptions): McpSettings['target'] {
  if (url !== undefined) return { kind: 'http', url: new URL(url), headers: { ...headers } }
  return { kind: 'program', command: command ?? '', args: [...(args ?? [])], env: { ...env }, cwd }
}

/** What a log must not see of the settings. */
export function secretsOf({ target }: McpSettings): string[] {
  if (target.kind === 'program') return secretsIn([...Object.values(target.env), ...keysOf(target)])
  const { searchParams, pathname } = target.url
  // Some services have their key there.
  const segments = pathname.split('/').filter((segment) => segment.length >= 16 && /\d/.test(segment))
  return secretsIn([...searchParams.values(), ...segments, ...keysOf(target)])
}

/** What a model must not see. Other values than keys, such as that of a folder, results may be full of. */
export function shownSecretsOf({ target }: McpSettings): string[] {
  return secretsIn(keysOf(target))
}

function keysOf(target: McpSettings['target']): string[] {
  if (target.kind === 'program') return keysAmong([...Object.entries(target.env), ...namedArguments(target)])
  return [...Object.values(target.headers), ...keysAmong(target.url.searchParams)]
}

/** `--api-key=x`, `--api-key x`, `-e API_KEY=x`. */
function namedArguments({ args }: ProgramTarget): [string, string][] {
  return args.map((argument, i) => {
    const [, name, value] = /^-*([\w-]+)=(.*)$/s.exec(argument) ?? []
    return name !== undefined && value !== undefined ? [name, value] : [args[i - 1] ?? '', argument]
  })
}
