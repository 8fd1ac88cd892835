import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { z } from 'zod'

/**
 * The settings of a server: the one table they are read from, and `docs/settings.md` is compared with. This file is the
 * only reader of the environment.
 */
export interface SettingRow {
  /** The variable, then other names it is also read by. */
  names: readonly [string, ...string[]]
  /** From the variable's text to the value. */
  schema: z.ZodType<unknown, string>
  /** As it would stand in the environment; undefined: none. */
  fallback?: string
  meaning: string
  /** The option of `createParley` that is the same by another door. */
  option: string
  example: string
  /** Its value is never shown. */
  secret?: true
}

const text = z.string()
const httpUrl = z.string().regex(/^https?:\/\/[^\s/]/, 'must be an http or https URL')

/** `90s`, `15m`, `1h`, `30d`, `250ms` or plain milliseconds. */
const duration = z.string().transform((value, context) => {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(value.trim())
  const ms = match ? Number(match[1]) * durationUnits[(match[2] ?? 'ms') as keyof typeof durationUnits] : 0
  if (match && ms >= 1 && ms <= maxDurationMs) return Math.round(ms)
  context.addIssue({ code: 'custom', message: 'must be a duration of 1 ms to 3650 days' })
  return z.NEVER
})
const durationUnits = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const maxDurationMs = 3650 * durationUnits.d

/** Durations that a timer waits for in one go: Node's timers end at 2³¹ - 1 ms. */
const timer = duration.refine((ms) => ms < 2 ** 31, 'must be at most 24 days')

/** `512kb`, `1mb`, `2gb` (powers of 1024) or plain bytes. */
const size = z.string().transform((value, context) => {
  const match = /^(\d+(?:\.\d+)?)\s*(b|kb|mb|gb)?$/.exec(value.trim().toLowerCase())
  const bytes = match ? Number(match[1]) * sizeUnits[(match[2] ?? 'b') as keyof typeof sizeUnits] : 0
  if (match && bytes >= 1024 && bytes <= 2 ** 30) return Math.round(bytes)
  context.addIssue({ code: 'custom', message: 'must be a size of 1 kb to 1 gb' })
  return z.NEVER
})
const sizeUnits = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 }

function whole(min: number, max: number) {
  return z
    .string()
    .regex(/^\d+$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be a whole number from ${min} to ${max}`)
}

export const settingsTable = {
  host: {
    names: ['SERVER_HOST'],
    schema: text,
    fallback: '127.0.0.1',
    meaning: 'Address to listen on. Anything but loopback needs authentication to be configured.',
    option: 'host',
    example: '127.0.0.1',
  },
  port: {
    names: ['SERVER_PORT', 'PORT'],
    schema: whole(0, 65_535),
    fallback: '8080',
    meaning: 'Port to listen on; 0 takes a free one.',
    option: 'port',
    example: '8080',
  },
  dataDir: {
    names: ['DATA_DIR'],
    schema: text,
    fallback: '.parley',
    meaning: 'Folder of the embedded database.',
    option: 'dataDir',
    example: '/var/lib/parley',
  },
  llmBaseUrl: {
    names: ['LLM_BASE_URL'],
    schema: httpUrl,
    meaning: 'Base URL of an OpenAI-compatible server for `llm/…` and bare model names.',
    option: 'llmBaseUrl',
    example: 'http://127.0.0.1:11434/v1',
  },
  llmApiKey: {
    names: ['LLM_API_KEY'],
    schema: text,
    meaning: 'Key for `LLM_BASE_URL`, or several separated by commas.',
    option: 'llmApiKey',
    example: 'sk-…',
    secret: true,
  },
  llmDefaultModel: {
    names: ['LLM_DEFAULT_MODEL'],
    schema: text,
    meaning:
      'Model of agents that name none. Without it: `openai/gpt-4o-mini` where `OPENAI_API_KEY` is set, the demo model where no provider is.',
    option: 'llmDefaultModel',
    example: 'openai/gpt-4o-mini',
  },
  openaiApiKey: {
    names: ['OPENAI_API_KEY'],
    schema: text,
    meaning: 'Key for `openai/…` models, or several separated by commas.',
    option: 'openaiApiKey',
    example: 'sk-…',
    secret: true,
  },
  openaiBaseUrl: {
    names: ['OPENAI_BASE_URL'],
    schema: httpUrl,
    meaning: "Base URL for `openai/…` models where it is not OpenAI's own.",
    option: 'openaiBaseUrl',
    example: 'https://api.openai.com/v1',
  },
  webSearchApiKey: {
    names: ['WEB_SEARCH_API_KEY'],
    schema: text,
    meaning: 'Key of the Brave Search API for the tool `webSearch`. Read from the environment alone.',
    option: 'webSearchApiKey',
    example: 'BSA…',
    secret: true,
  },
  serperApiKey: {
    names: ['SERPER_API_KEY'],
    schema: text,
    meaning:
      'Key of serper.dev for the tool `webSearch`, where there is none for Brave. Read from the environment alone.',
    option: 'serperApiKey',
    example: 'f00d…',
    secret: true,
  },
  anthropicApiKey: {
    names: ['ANTHROPIC_API_KEY'],
    schema: text,
    meaning: 'Key for `anthropic/…` models, or several separated by commas.',
    option: 'anthropicApiKey',
    example: 'sk-ant-…',
    secret: true,
  },
  googleApiKey: {
    names: ['GOOGLE_GENERATIVE_AI_API_KEY'],
    schema: text,
    meaning: 'Key for `google/…` models, or several separated by commas.',
    option: 'googleApiKey',
    example: 'AIza…',
    secret: true,
  },
  sessionTimeoutMs: {
    names: ['SESSION_TIMEOUT'],
    schema: duration,
    fallback: '1h',
    meaning: 'Idle time after which a session ends. Other conversations never do.',
    option: 'sessionTimeoutMs',
    example: '1h',
  },
  runTimeoutMs: {
    names: ['RUN_TIMEOUT'],
    schema: timer,
    fallback: '10m',
    meaning: 'How long a run may run, suspensions left out.',
    option: 'runTimeoutMs',
    example: '10m',
  },
  requestWaitMs: {
    names: ['REQUEST_WAIT'],
    schema: timer,
    fallback: '5m',
    meaning: 'How long a request waits for its run before it is answered with 202.',
    option: 'requestWaitMs',
    example: '5m',
  },
  maxConcurrentRuns: {
    names: ['MAX_CONCURRENT_RUNS'],
    schema: whole(1, 100_000),
    fallback: '256',
    meaning: 'Runs that this node executes at the same time; more wait in the queue.',
    option: 'maxConcurrentRuns',
    example: '256',
  },
  maxWaitingRuns: {
    names: ['MAX_WAITING_RUNS'],
    schema: whole(0, 10_000),
    fallback: '32',
    meaning: 'Runs that may wait on one conversation; one more is refused with 429.',
    option: 'maxWaitingRuns',
    example: '32',
  },
  maxQueuedRuns: {
    names: ['MAX_QUEUED_RUNS'],
    schema: whole(0, 1_000_000),
    fallback: '10000',
    meaning: 'Runs that may wait because the node is full; one more is refused with 429.',
    option: 'maxQueuedRuns',
    example: '10000',
  },
  maxBodyBytes: {
    names: ['MAX_BODY_BYTES'],
    schema: size,
    fallback: '8mb',
    meaning: 'Size of a request body, in bytes or as `512kb`, `1mb`; a larger one is refused with 413.',
    option: 'maxBodyBytes',
    example: '8mb',
  },
  maxFileBytes: {
    names: ['MAX_FILE_BYTES'],
    schema: size,
    fallback: '5mb',
    meaning:
      'Size of one picture or file that comes as data within a request; a larger one is refused with 413.',
    option: 'maxFileBytes',
    example: '5mb',
  },
  runLogRetentionMs: {
    names: ['RUN_LOG_RETENTION'],
    schema: duration,
    fallback: '30d',
    meaning: 'How long the event log of a finished run can be replayed.',
    option: 'runLogRetentionMs',
    example: '30d',
  },
  leaseMs: {
    names: ['LEASE_MS'],
    schema: timer.refine((ms) => ms >= 1000, 'must be at least 1s'),
    fallback: '10s',
    meaning: 'How long a node that fell silent keeps its runs.',
    option: 'leaseMs',
    example: '10s',
  },
  shutdownGraceMs: {
    names: ['SHUTDOWN_GRACE'],
    schema: timer,
    fallback: '10s',
    meaning: 'How long a shutdown waits for runs and open requests.',
    option: 'shutdownGraceMs',
    example: '10s',
  },
  modelStallTimeoutMs: {
    names: ['MODEL_STALL_TIMEOUT'],
    schema: timer,
    fallback: '60s',
    meaning: 'Silence of a model provider after which the call counts as failed.',
    option: 'modelStallTimeoutMs',
    example: '60s',
  },
  logLevel: {
    names: ['LOG_LEVEL'],
    schema: z.enum(['debug', 'info', 'warn', 'error', 'silent'], {
      error: 'must be one of debug, info, warn, error, silent',
    }) as z.ZodType<'debug' | 'info' | 'warn' | 'error' | 'silent', string>,
    fallback: 'info',
    meaning: 'What is logged: debug, info, warn, error or silent.',
    option: 'logLevel',
    example: 'info',
  },
} as const satisfies Record<string, SettingRow>

type Table = typeof settingsTable
type Optional<Row extends SettingRow> = Row extends { fallback: string } ? never : undefined

/** The settings of a server, parsed. Durations are milliseconds, sizes bytes. */
export type Settings = { -readonly [K in keyof Table]: z.output<Table[K]['schema']> | Optional<Table[K]> }

export type Environment = Record<string, string | undefined>

/** What the option of `createParley` that is a setting may be: of what comes as text the same, else a number. */
export function optionSchema(row: SettingRow): z.ZodType {
  const { schema, fallback } = row
  const isNumber = fallback !== undefined && typeof schema.parse(fallback) === 'number'
  return (isNumber ? z.number().min(0) : schema).optional()
}

/** The start stops here. `message` is one line per fault; no secret is in it. */
export class SettingsError extends Error {
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join('\n'))
    this.name = 'SettingsError'
    this.faults = faults
  }
}

/**
 * Reads the environment and `.env` of the folder; the environment wins. An empty variable counts as absent. Throws a
 * `SettingsError` that names every fault.
 */
export function loadSettings(
  options: { environment?: Environment; directory?: string } = {},
): Readonly<Settings> {
  const sources = [options.environment ?? process.env, readDotEnv(options.directory ?? process.cwd())]
  const faults: string[] = []
  const settings: Record<string, unknown> = {}
  for (const [key, row] of Object.entries<SettingRow>(settingsTable)) {
    const { name, value } = findVariable(row, sources)
    if (value === undefined) continue
    const result = row.schema.safeParse(value)
    if (result.success) settings[key] = result.data
    else
      faults.push(faultOf({ name, row, value, problem: result.error.issues[0]?.message ?? 'is not valid' }))
  }
  const host = settings.host
  if (typeof host === 'string' && !isLoopbackHost(host)) faults.push(openHostFault(host))
  if (faults.length > 0) throw new SettingsError(faults)
  // Every key of the table was parsed by its own schema above.
  return Object.freeze(settings) as unknown as Readonly<Settings>
}

/** Every variable of the process and of `.env` of the folder, those of both included. */
export function readVariables(directory: string = process.cwd()): (readonly [name: string, value: string])[] {
  return [process.env, readDotEnv(directory)].flatMap((source) =>
    Object.entries(source).flatMap(([name, value]) => (value ? [[name, value] as const] : [])),
  )
}

/** Whether only this machine can reach a server that listens on this host. */
export function isLoopbackHost(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i.test(host)
}

/** Throws a `SettingsError` where listening on the host would serve anybody without asking who they are. */
export function assertHostIsSafe(host: string): void {
  if (!isLoopbackHost(host)) throw new SettingsError([openHostFault(host)])
}

function openHostFault(host: string): string {
  return `SERVER_HOST: ${JSON.stringify(host)} can be reached from other machines, and no authentication is configured that would tell who calls; listen on loopback, for example SERVER_HOST=127.0.0.1`
}

function faultOf(input: { name: string; row: SettingRow; value: string; problem: string }): string {
  const { name, row, value, problem } = input
  const shown = row.secret
    ? 'its value'
    : JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
  return `${name}: ${shown} ${problem}; for example ${name}=${row.example}`
}

function findVariable(row: SettingRow, sources: Environment[]): { name: string; value: string | undefined } {
  for (const source of sources) {
    for (const name of row.names) if (source[name]) return { name, value: source[name] }
  }
  return { name: row.names[0], value: row.fallback }
}

function readDotEnv(directory: string): Environment {
  const path = join(directory, '.env')
  return existsSync(path) ? parseEnv(readFileSync(path, 'utf8')) : {}
}
