import type { Directory } from '../agent/context.ts'
import type { Agent } from '../agent/definitions.ts'
import { checkAnswer } from '../agent/question.ts'
import { toIsoDate, type Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { ApprovalQuestion, ApprovalRequest } from '../events.ts'
import type { Principal } from '../identity/principal.ts'
import { maxJsonDepth, nestsDeeperThan } from '../json-depth.ts'
import type { PlacedItem } from '../items.ts'
import type { ApprovalRecord, RunRecord, Store } from '../store/store.ts'
import type { Approvals } from './runs.ts'

export interface ApprovalServiceOptions {
  store: Store
  clock: Clock
  directory: Directory
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
      const approval = await get(principal, id)
      const checked = await checkDecision(options, { principal, approval, decision })
      const result = await store.approvals.decide({
        scope: principal,
        approval_id: id,
        by: principal.name,
        ...checked,
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
    ...(approval.question ? { question: approval.question } : {}),
    expires_at: approval.expires_at === null ? null : toIsoDate(approval.expires_at),
  }
}

type Decision = Parameters<Approvals['decide']>[2]

/** The decision as it is kept. A question takes an answer and nothing else does. */
async function checkDecision(
  options: ApprovalServiceOptions,
  input: { principal: Principal; approval: ApprovalRecord; decision: Decision },
): Promise<Decision> {
  const { approval, decision } = input
  const { question } = approval
  if (question && decision.decision === 'approve')
    refuse('decision', 'This is a question: answer or reject it.')
  if (!question && decision.decision === 'answer')
    refuse('decision', 'This is no question: approve or reject it.')
  if (question && decision.arguments !== undefined)
    refuse('arguments', 'A question takes an answer, not other arguments.')
  if (decision.decision !== 'answer' && decision.answer !== undefined)
    refuse('answer', 'Only the decision "answer" takes one.')
  if (question && decision.decision === 'answer')
    return { ...decision, answer: fitAnswer(question, decision.answer) }
  if (decision.arguments !== undefined)
    await checkArguments(options, { ...input, edited: decision.arguments })
  return decision
}

/** The answer as the question wants it. */
function fitAnswer(question: ApprovalQuestion, answer: unknown): unknown {
  if (!isJson(answer)) refuse('answer', `Must be JSON, at most ${maxJsonDepth} levels deep`)
  const checked = checkAnswer(question, answer)
  if (checked.ok) return checked.value
  const message = checked.issues.map(
    ({ path, message: fault }) => `${['answer', ...path].join('.')}: ${fault}`,
  )
  throw new AppError('invalid_request', {
    message: message.join('; '),
    locations: checked.issues.map(({ path, message: fault }) => ({
      path: ['body', 'answer', ...path],
      message: fault,
    })),
  })
}

function isJson(value: unknown): boolean {
  try {
    const text = JSON.stringify(value) as string | undefined
    return text !== undefined && !nestsDeeperThan(text, maxJsonDepth)
  } catch {
    return false
  }
}

/** Edited arguments must fit the tool now: a person can mend them, the model could not. */
async function checkArguments(
  { store, directory }: ApprovalServiceOptions,
  input: { approval: ApprovalRecord; principal: Principal; edited: unknown },
): Promise<void> {
  const { approval, principal, edited } = input
  const run = await store.runs.find(principal, approval.run_id)
  const agent = run && directory.agentNamed(run.active_agent ?? run.agent)
  if (!agent) return
  const items = await store.items.ofRun(run.id)
  const caller = callerOf(approval.call_id, { agent, items })
  // A tool that is gone is told to the model when the run goes on.
  const parsed = caller?.tools.find((tool) => tool.name === approval.tool)?.parse(edited)
  if (parsed && !parsed.ok) refuse('arguments', parsed.message)
}

/** Who made a call: the agent at work, or one that serves it as a tool, or serves that one. */
function callerOf(
  callId: string,
  { agent, items }: { agent: Agent; items: readonly PlacedItem[] },
): Agent | undefined {
  const placed = items.find(({ item }) => item.type === 'tool_call' && item.call_id === callId)
  if (!placed || placed.parent_call_id === null) return agent
  const parentId = placed.parent_call_id
  const parent = items.find(({ item }) => item.type === 'tool_call' && item.call_id === parentId)?.item
  const name = parent?.type === 'tool_call' ? parent.name : undefined
  return callerOf(parentId, { agent, items })?.tools.find((tool) => tool.name === name)?.agent
}

function refuse(field: string, message: string): never {
  throw new AppError('invalid_request', { message, locations: [{ path: ['body', field], message }] })
}

function notFound(): never {
  throw new AppError('approval_not_found')
}
