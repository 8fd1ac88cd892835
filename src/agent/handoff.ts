import type { EventDraft } from '../events.ts'
import { newResult, toolEnd } from './act.ts'
import type { CallPlan } from './call-plan.ts'
import type { Batch, NewItem, RunContext } from './context.ts'
import { switchTo } from './route.ts'

type HandoffPlan = Extract<CallPlan, { kind: 'handoff' }>

export interface Handoff {
  /** Results of all handoffs of the reply: one commit, lest another attempt finds one made and another open. */
  batch: Batch
  /** Lets the other agent go on, once that is committed. */
  complete(): void
}

/**
 * The first handoff of a reply is made, within the run's limit; the run cannot be in two hands. Undefined: none is asked for.
 */
export function planHandoff(context: RunContext, plans: readonly CallPlan[]): Handoff | undefined {
  const handoffs = plans.filter((one) => one.kind === 'handoff')
  const [first, ...others] = handoffs
  if (!first) return undefined
  if (context.handoffsLeft <= 0) {
    const message = 'The conversation was handed over too often in this run. Answer yourself.'
    const batch = toBatch(handoffs.map((one) => refused(one, { code: 'handoff_limit', message })))
    return { batch, complete: () => undefined }
  }
  const message = 'The conversation was handed over already.'
  const refusals = others.map((one) => refused(one, { code: 'tool_refused', message }))
  const complete = () => {
    context.handoffsLeft--
    switchTo(context, first.to)
  }
  return { batch: { ...toBatch([made(context, first), ...refusals]), agent: first.to.name }, complete }
}

interface Result {
  events: EventDraft[]
  item: NewItem
}

/** The model is told who it is now: the other agent's turn begins with the next step. */
function made({ agent }: RunContext, plan: HandoffPlan): Result {
  const { to, why } = plan
  const output = `You are ${to.name} now. Go on with the conversation.`
  const result = { ...newResult(plan.call, { output }), transferred_to: to.name }
  const event: EventDraft = {
    type: 'agent.switch',
    from: agent.name,
    to: to.name,
    why: why === '' ? 'handoff' : `handoff: ${why}`,
  }
  return { events: [toolEnd(result, 0), event], item: { step: plan.step, void: false, item: result } }
}

function refused(plan: HandoffPlan, error: { code: string; message: string }): Result {
  const result = newResult(plan.call, { output: `Error: ${error.message}`, error })
  return { events: [toolEnd(result, 0)], item: { step: plan.step, void: false, item: result } }
}

function toBatch(results: readonly Result[]): Pick<Batch, 'events' | 'items'> {
  return { events: results.flatMap(({ events }) => events), items: results.map(({ item }) => item) }
}
