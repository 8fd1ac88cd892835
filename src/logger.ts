import { pino } from 'pino'

/** The log of the server: one JSON line per entry. Never takes prompts, answers, arguments, keys or a provider's text. */
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
  stack?: string
} {
  try {
    if (!(error instanceof Error)) return { type: typeof error }
    const { name: type, stack } = error
    const frames = stack?.split('\n').filter((line) => frame.test(line))
    return {
      type,
      ...('code' in error && typeof error.code === 'string' ? { code: error.code } : {}),
      // Of a provider's answer.
      ...('status' in error && typeof error.status === 'number' ? { status: error.status } : {}),
      ...(frames ? { stack: frames.join('\n') } : {}),
    }
  } catch {
    // An error of somebody else's class, which may throw where it is read.
    return { type: 'Error' }
  }
}

const frame = /^ {4}at .*(?::\d+:\d+|<anonymous>|native)\)?$/

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
