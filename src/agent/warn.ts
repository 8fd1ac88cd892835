import type { RunWarning } from '../run-state.ts'
import type { RunContext } from './context.ts'

/** Adds a `warning` to the run, with whatever is committed next. */
export function warn({ log }: Pick<RunContext, 'log'>, code: string, message: string): void {
  log.defer({ events: [{ type: 'warning', code, message }] })
}

/**
 * The same of what is true for the whole run: said once, or once for each `message`, whichever of its agents finds it first.
 * False: it was said before.
 */
export function warnOnce(
  { warned, runLog }: Pick<RunContext, 'warned' | 'runLog'>,
  warning: RunWarning,
  by: keyof RunWarning = 'code',
): boolean {
  if (warned.some((one) => one[by] === warning[by])) return false
  warned.push(warning)
  warn({ log: runLog }, warning.code, warning.message)
  return true
}
