import { collect, textOfItems } from '../http/collect.ts'
import type { HttpContext } from '../http/request.ts'
import type { ApprovalRequest } from '../events.ts'
import { isTerminal } from '../run-state.ts'
import { toApprovalRequest } from '../runs/approvals.ts'
import type { RunRecord } from '../store/store.ts'
import type { ProtocolDeps } from './protocol.ts'

export type RunAnswer =
  /** It ended, or waits for somebody. `text`: the answer so far, null where there is none. */
  | {
      outcome: 'settled'
      run: RunRecord
      text: string | null
      /** What is still to be decided. */
      approvals: ApprovalRequest[]
    }
  /** The wait was over first. */
  | { outcome: 'waiting'; run: RunRecord }
  /** The client left. Whatever is answered now, nobody reads it. */
  | { outcome: 'gone'; run: RunRecord }

export interface AwaitOptions {
  deps: ProtocolDeps
  context: HttpContext
  run: RunRecord
  /** Read from here; 0 where the text shall be collected on the way. */
  after: number
  waitMs: number
}

/**
 * Waits until a run ends or is suspended: every answer that is not streamed. A suspension that was resolved meanwhile is
 * passed over.
 */
export async function awaitRun(options: AwaitOptions): Promise<RunAnswer> {
  const { deps, context } = options
  const { runs, clock } = deps
  const until = clock.monotonic() + options.waitMs
  let { run, after } = options
  let texts: ReadonlyMap<string, string> | undefined
  for (;;) {
    if (isSettled(run)) {
      const text = await answerText(deps, run, texts)
      const approvals = run.status === 'suspended' ? await openApprovals(deps, run) : []
      return { outcome: 'settled', run, text, approvals }
    }
    const reader = runs.read({ run, after })
    const waitMs = Math.max(0, until - clock.monotonic())
    const collected = await collect({ context, reader, clock, waitMs, streams: deps.streams })
    run = await runs.get(context.get('principal'), run.id)
    if (collected.outcome === 'gone') return { outcome: 'gone', run }
    if (collected.outcome === 'ended') {
      const { last } = collected
      if (last && 'seq' in last) after = last.seq
      texts = collected.texts
    } else if (!isSettled(run)) return { outcome: 'waiting', run }
  }
}

/** The answer of a run: from what was streamed, else from the store; null where the run has none. */
export async function answerText(
  { runs }: ProtocolDeps,
  run: RunRecord,
  texts: ReadonlyMap<string, string> = new Map(),
): Promise<string | null> {
  if (run.output.length === 0) return null
  return textOfItems(texts, run.output) ?? runs.outputText(run)
}

/** What a suspended run waits for people to decide, as clients see it. */
export async function openApprovals({ runs }: ProtocolDeps, run: RunRecord): Promise<ApprovalRequest[]> {
  if (run.status !== 'suspended') return []
  return (await runs.pendingApprovals(run)).map(toApprovalRequest)
}

/** Whether nothing more happens to a run unless somebody acts. */
export function isSettled(run: RunRecord): boolean {
  return isTerminal(run.status) || run.status === 'suspended'
}
