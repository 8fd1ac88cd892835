import type { Logger } from '../../src/logger.ts'

export interface LogLine {
  level: string
  message: string
  fields: Record<string, unknown>
}

export interface LogCapture {
  logger: Logger
  lines(): LogLine[]
  /** Everything that was logged, as text: messages, fields, errors with their causes. */
  text(): string
}

/** A logger that keeps what it is given. */
export function createLogCapture(): LogCapture {
  const lines: LogLine[] = []
  const create = (bound: Record<string, unknown>): Logger => {
    const level = (name: string) => (fields: Record<string, unknown>, message: string) =>
      void lines.push({ level: name, message, fields: { ...bound, ...fields } })
    return {
      debug: level('debug'),
      info: level('info'),
      warn: level('warn'),
      error: level('error'),
      child: (fields) => create({ ...bound, ...fields }),
    }
  }
  return {
    logger: create({}),
    lines: () => lines,
    text: () => lines.map((line) => JSON.stringify(line, showErrors)).join('\n'),
  }
}

export function showErrors(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value
  const { name, message, stack, cause } = value
  return { name, message, stack, cause, own: Object.entries(value) }
}
