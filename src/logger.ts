import { pino } from 'pino'
import { AppError, errorCodes } from './errors.ts'
import { redact } from './secrets.ts'

/**
 * The log of the server: one JSON line per entry. Never takes prompts, answers, arguments or keys. What a provider, a tool or a
 * server said stands in the field `said` of lines of `debug`, and nowhere else.
 */
export interface Logger {
  debug(fields: Record<string, unknown>, message: string): void
  info(fields: Record<string, unknown>, message: string): void
  warn(fields: Record<string, unknown>, message: string): void
  error(fields: Record<string, unknown>, message: string): void
  child(fields: Record<string, unknown>): Logger
}

/**
 * Where an error comes from, without what it says. For errors of providers and tools, whose texts may repeat prompts,
 * arguments and keys.
 */
export function traceOf(error: unknown): {
  type: string
  code?: string
  status?: number
  provider?: Record<string, string>
  network?: string
  stack?: string
} {
  try {
    if (!(error instanceof Error)) return { type: typeof error }
    const { name: type, stack } = error
    const frames = stack?.split('\n').filter((line) => frame.test(line))
    const network = networkFaultIn(error)
    const provider = 'provider' in error ? identifiersOf(error.provider) : undefined
    return {
      type,
      ...('code' in error && isIdentifier(error.code) ? { code: error.code } : {}),
      // Of a provider's answer.
      ...('status' in error && typeof error.status === 'number' ? { status: error.status } : {}),
      ...(network === undefined ? {} : { network }),
      // Where it was made from an answer says nothing.
      ...(provider ? { provider } : frames ? { stack: frames.join('\n') } : {}),
    }
  } catch {
    // An error of somebody else's class, which may throw where it is read.
    return { type: 'Error' }
  }
}

const frame = /^ {4}at .*(?::\d+:\d+|<anonymous>|native)\)?$/

/** Of the connection that failed behind an error: `ECONNREFUSED 127.0.0.1:3902`, `ENOTFOUND api.example`. */
function networkFaultIn(error: Error): string | undefined {
  let one: unknown = error
  for (let depth = 0; depth < 5 && one instanceof Error; depth++) {
    // Node adds them to what its system calls fail with.
    const { code, syscall, address, port, hostname } = one as Error & SystemError
    if (isIdentifier(code) && (syscall === 'connect' || syscall === 'getaddrinfo')) {
      const place = isIdentifier(address) ? `${address}:${String(port)}` : hostname
      return isIdentifier(place) ? `${code} ${place}` : code
    }
    // Where a name has several addresses, each failed.
    one = one instanceof AggregateError ? one.errors[0] : one.cause
  }
  return undefined
}

interface SystemError {
  code?: unknown
  syscall?: unknown
  address?: unknown
  port?: unknown
  hostname?: unknown
}

/** The codes by which a provider names its fault: never a sentence. */
function identifiersOf(value: unknown): Record<string, string> | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => isIdentifier(entry[1])),
  )
}

function isIdentifier(value: unknown): value is string {
  return typeof value === 'string' && /^[\w.:[\]-]{1,64}$/.test(value)
}

export interface Fault {
  error: unknown
  message: string
  fields?: Record<string, unknown>
  /** What the operator may look at. Default: the error's own. */
  hint?: string | undefined
  /** Default `warn`. */
  level?: 'warn' | 'error'
}

/** Says that something failed, by codes and the place; at `debug` also what it said. */
export function logFault(logger: Logger, fault: Fault): void {
  const { error, message, fields = {}, level = 'warn' } = fault
  const coded = AppError.is(error) ? error : undefined
  if (coded) told.add(coded)
  const hint = fault.hint ?? coded?.hint
  const line = { ...(coded && { code: coded.code }), ...fields, ...(hint && { hint }) }
  logger[level]({ ...line, err: traceOf(coded?.cause ?? error) }, message)
  const said = wordsOf(error)
  if (said !== '') logger.debug({ ...fields, said }, `${message}: what it said`)
}

const told = new WeakSet<AppError>()

/** The same of what a failure leads to: where that came from is said only where `logFault` did not say it before. */
export function logOutcome(logger: Logger, fault: Fault): void {
  const { error, message, fields = {}, level = 'warn' } = fault
  if (AppError.is(error) && told.has(error)) logger[level]({ code: error.code, ...fields }, message)
  else logFault(logger, fault)
}

const maxSaidChars = 2048

/** Of an error and of those behind it. */
function wordsOf(error: unknown): string {
  const said: string[] = []
  try {
    let one = error
    for (let depth = 0; depth < 4 && one instanceof Error; depth++) {
      const { message, cause } = one
      // What a code says is said by the code.
      if (message !== '' && !(AppError.is(one) && message === `${errorCodes[one.code].title}.`))
        said.push(message)
      one = cause
    }
    if (said.length === 0 && typeof error === 'string') said.push(error)
  } catch {
    // An error of somebody else's class, which may throw where it is read.
  }
  return said.join(' ← ').slice(0, maxSaidChars)
}

/** The same log, without what is secret in what others said: a provider may repeat a key, a driver a password. */
export function withoutSecrets(logger: Logger, secrets: readonly string[]): Logger {
  const debug = (fields: Record<string, unknown>, message: string) => {
    const { said } = fields
    logger.debug(typeof said === 'string' ? { ...fields, said: redact(said, secrets) } : fields, message)
  }
  return {
    debug,
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: (fields) => withoutSecrets(logger.child(fields), secrets),
  }
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** Writes to standard error, so that standard output stays free for what a person reads. Errors belong in field `err`. */
export function createLogger(level: LogLevel): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ dest: 2, sync: true }),
  )
}

export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
}
