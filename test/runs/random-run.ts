import fc from 'fast-check'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import type { Agent } from '../../src/agent/definitions.ts'
import { tool } from '../../src/agent/tool.ts'
import type { ModelPart, ModelRequest } from '../../src/models/model.ts'
import { scriptedModel, type ScriptedTurn } from '../../src/models/scripted.ts'

interface PlannedCall {
  name: 'look' | 'fail' | 'gated' | 'slow' | 'callers_own' | 'nowhere'
  /** The argument text, as the model writes it. */
  text: string
  /** Where it is cut into deltas, as lengths that are used in turn. */
  pieces: number[]
}

interface PlannedStep {
  prose: { type: 'text' | 'reasoning'; delta: string }[]
  calls: PlannedCall[]
  /** Whose turn it is to say its next part: prose or one of the calls. */
  order: number[]
  /** Tries that fail before the one that does not, each after so many parts. */
  failures: number[]
  finish: 'stop' | 'length'
}

export interface RunPlan {
  steps: PlannedStep[]
  maxSteps: number
  forceAnswer: boolean
  /** Cancelled once so many events were seen. */
  cancelAfter: number | undefined
  /** What is decided about the first, second… approval, in turn. */
  decisions: ('approve' | 'reject')[]
  /** Turns of the event loop before each part, in turn. */
  yields: number[]
}

const awkward = [
  '',
  '😀',
  '👩‍👩‍👧',
  'a\r\nb',
  '\n\n',
  'id: 7\ndata: {}\n\n',
  '\u0000',
  '\ud83d',
  '\ude00',
  '\u2028',
  'é'.repeat(40),
]
const anyText = fc.oneof(
  fc.constantFrom(...awkward),
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.string({ maxLength: 20 }),
)

const plannedCall = fc.record<PlannedCall>({
  name: fc.constantFrom('look', 'look', 'fail', 'gated', 'slow', 'callers_own', 'nowhere'),
  text: fc.oneof(
    { weight: 4, arbitrary: anyText.map((value) => JSON.stringify({ value })) },
    { weight: 1, arbitrary: fc.constantFrom('', '{"value":', '{"value":7}', '[]') },
  ),
  pieces: fc.array(fc.integer({ min: 0, max: 7 }), { minLength: 1, maxLength: 4 }),
})

const plannedStep = fc.record<PlannedStep>({
  prose: fc.array(fc.record({ type: fc.constantFrom('text', 'reasoning'), delta: anyText }), {
    maxLength: 12,
  }),
  calls: fc.oneof(
    { weight: 1, arbitrary: fc.constant<PlannedCall[]>([]) },
    { weight: 2, arbitrary: fc.array(plannedCall, { maxLength: 4 }) },
  ),
  order: fc.array(fc.nat(4), { minLength: 1, maxLength: 12 }),
  failures: fc.oneof(
    { weight: 4, arbitrary: fc.constant<number[]>([]) },
    { weight: 1, arbitrary: fc.array(fc.nat(12), { minLength: 1, maxLength: 3 }) },
  ),
  finish: fc.constantFrom('stop', 'length'),
})

export const anyRunPlan: fc.Arbitrary<RunPlan> = fc.record({
  steps: fc.array(plannedStep, { minLength: 1, maxLength: 4 }),
  maxSteps: fc.integer({ min: 1, max: 5 }),
  forceAnswer: fc.boolean(),
  cancelAfter: fc.option(fc.nat(40), { nil: undefined, freq: 4 }),
  decisions: fc.array(fc.constantFrom<'approve' | 'reject'>('approve', 'reject'), {
    minLength: 1,
    maxLength: 3,
  }),
  yields: fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 5 }),
})

const input = z.object({ value: z.string() })

/**
 * An agent whose runs follow the plan that is named by the first words of their input. Which step of its plan a run is at
 * is counted here: one agent for one life of a server.
 */
export function plannedAgent(plans: ReadonlyMap<string, RunPlan>): Agent {
  const progress = new Map<string, { step: number; tries: number }>()
  const model = scriptedModel(
    (request) => {
      const key = inputOf(request)
      const plan = plans.get(key)
      if (!plan) throw new Error(`no plan for ${JSON.stringify(key)}`)
      const at = progress.get(key) ?? { step: 0, tries: 0 }
      progress.set(key, at)
      return nextTurn(plan, at, request.tools.length > 0 && request.toolChoice !== 'none')
    },
    { record: false },
  )
  const say = (name: PlannedCall['name'], turns: number) =>
    tool({
      name,
      description: name,
      input,
      effect: 'read',
      async execute({ value }, context) {
        for (let i = 0; i < turns; i++) {
          context.progress({ progress: i, message: value })
          await nextTurnOfLoop()
        }
        return `${name}: ${value}`
      },
    })
  const fail = tool({
    name: 'fail',
    description: 'Throws.',
    input,
    effect: 'read',
    execute: ({ value }) => {
      throw new Error(`no: ${value}`)
    },
  })
  const gated = tool({
    name: 'gated',
    description: 'Asks first.',
    input,
    approval: 'required',
    execute: ({ value }) => value,
  })
  return agent({ name: 'planned', model, tools: [say('look', 1), say('slow', 9), fail, gated] })
}

function nextTurn(
  plan: RunPlan,
  at: { step: number; tries: number },
  mayCall: boolean,
): string | ScriptedTurn {
  const step = plan.steps[at.step]
  if (!step) return 'Nothing more is planned.'
  const parts = toParts(mayCall ? step : { ...step, calls: [] })
  const gate = async (index: number) => {
    for (let i = plan.yields[index % plan.yields.length] ?? 0; i > 0; i--) await nextTurnOfLoop()
  }
  const after = step.failures[at.tries]
  if (after !== undefined) {
    at.tries++
    return { parts, gate, error: { code: 'model_unavailable', after, retryAfterMs: 1 } }
  }
  at.step++
  at.tries = 0
  return { parts, gate, ...(step.calls.length === 0 ? { finishReason: step.finish } : {}) }
}

/** The step's parts in its order: the prose and each call keep their own. */
function toParts(step: PlannedStep): ModelPart[] {
  const lanes: ModelPart[][] = [
    [...step.prose],
    ...step.calls.map(({ name, text, pieces }, index): ModelPart[] => [
      { type: 'tool_call', index, name },
      ...cut(text, pieces).map((delta): ModelPart => ({ type: 'tool_input', index, delta })),
    ]),
  ]
  const parts: ModelPart[] = []
  for (let i = 0; lanes.some((lane) => lane.length > 0); i++) {
    const wanted = step.order[i % step.order.length] ?? 0
    const lane = lanes[wanted % lanes.length]?.length
      ? lanes[wanted % lanes.length]
      : lanes.find((one) => one.length > 0)
    const part = lane?.shift()
    if (part) parts.push(part)
  }
  return parts
}

function cut(text: string, pieces: number[]): string[] {
  const cuts: string[] = []
  for (let from = 0, i = 0; from < text.length; i++) {
    // At least something now and then, so that a plan of empty pieces ends.
    const length = i < pieces.length ? (pieces[i] ?? 1) : Math.max(1, pieces[i % pieces.length] ?? 1)
    cuts.push(text.slice(from, from + length))
    from += length
  }
  return cuts
}

function inputOf(request: ModelRequest): string {
  const first = request.items.find((item) => item.type === 'message' && item.role === 'user')
  return first?.type === 'message' && first.content[0]?.type === 'text' ? first.content[0].text : ''
}

function nextTurnOfLoop(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
