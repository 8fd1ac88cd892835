import type { Agent } from '../agent/agent.ts'
import { toIsoDate, type Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { ApprovalRequest } from '../events.ts'
import type { Principal } from '../identity/principal.ts'
import type { ApprovalRecord, RunRecord, Store } from '../store/store.ts'
import type { Approvals } from './runs.ts'

export interface ApprovalServiceOptions {
  store: Store
  clock: Clock
  agents: ReadonlyMap<string, Agent>
  /** Something was committed to this run by somebody who does not hold it. */
  onChange: (run: RunRecord) => void
}

export function createApprovalService(options: ApprovalServiceOptions): Approvals {
  const { store, clock } = options
  const get = async (principal: Principal, id: string) =>
    (await store.approvals.find(principal, id)) ?? notFound()
  return {
    get,
    list: (principal, input) => store.approvals.list(principal, input),
    async decide(principal, id, decision) {
      if (decision.arguments !== undefined) {
        await checkArguments(options, {
          approval: await get(principal, id),
          principal,
          edited: decision.arguments,
        })
      }
      const result = await store.approvals.decide({
        scope: principal,
        approval_id: id,
        by: principal.name,
        ...decision,
        now: clock.now(),
      })
      if (result.outcome === 'not_found') return notFound()
      if (result.outcome === 'decided_before') {
        const { status, decision: before } = result.approval
        throw new AppError('approval_decided', { details: { status, by: before?.by ?? null } })
      }
      options.onChange(result.run)
      return result.approval
    },
  }
}

/** An approval as clients see it. */
export function toApprovalRequest(approval: ApprovalRecord): ApprovalRequest {
  return {
    id: approval.id,
    call_id: approval.call_id,
    tool: approval.tool,
    arguments: approval.arguments,
    reason: approval.reason,
    expires_at: approval.expires_at === null ? null : toIsoDate(approval.expires_at),
  }
}

/** Edited arguments must fit the tool now: a person can mend them, the model could not. */
async function checkArguments(
  options: ApprovalServiceOptions,
  input: { approval: ApprovalRecord; principal: Principal; edited: unknown },
): Promise<void> {
  const run = await options.store.runs.find(input.principal, input.approval.run_id)
  const agent = run && options.agents.get(run.agent)
  const tool = agent?.tools.find(({ name }) => name === input.approval.tool)
  // A tool that is gone is told to the model when the run goes on.
  const parsed = tool?.parse(input.edited)
  if (parsed && !parsed.ok) {
    const { message } = parsed
    throw new AppError('invalid_request', { message, locations: [{ path: ['body', 'arguments'], message }] })
  }
}

function notFound(): never {
  throw new AppError('approval_not_found')
}
