import type { RunContext } from './context.ts'

/** How long a tool, and the hooks that look at its result, may go on after the run was interrupted. */
export const graceMs = 1_000

export interface Grace {
  /** Fires when the time is over, with the interruption as its reason. */
  readonly signal: AbortSignal
  close(): void
}

/** Counts from the moment at which the run is interrupted. Null where no hook looks at results: nobody needs it. */
export function openGrace({ agent, signal, clock }: RunContext): Grace | null {
  if (!agent.hooks.some((hooks) => hooks.afterTool !== undefined)) return null
  const controller = new AbortController()
  let forget = () => {}
  const interrupt = () => {
    forget = clock.after(graceMs, () => controller.abort(signal.reason))
  }
  signal.addEventListener('abort', interrupt)
  if (signal.aborted) interrupt()
  const close = () => {
    forget()
    signal.removeEventListener('abort', interrupt)
  }
  return { signal: controller.signal, close }
}
