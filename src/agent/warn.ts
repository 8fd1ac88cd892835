import type { RunContext } from './context.ts'

/** Adds a `warning` to the run, with whatever is committed next. */
export function warn({ log }: Pick<RunContext, 'log'>, code: string, message: string): void {
  log.defer({ events: [{ type: 'warning', code, message }] })
}
