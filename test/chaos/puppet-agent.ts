import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import type { ToolContext, ToolEffect } from '../../src/agent/definitions.ts'
import { tool } from '../../src/agent/tool.ts'
import type { Item } from '../../src/items.ts'
import { scriptedModel, type ScriptedTurn } from '../../src/models/scripted.ts'
import { appendCall, hold, tell } from './fixture-link.ts'

/** What a run of the puppet does: the text of its input, as JSON. Holds are names of places where it stands still. */
export interface PuppetPlan {
  steps: PuppetStep[]
}

export interface PuppetStep {
  text?: string[]
  /** Stands still before the delta with this number. */
  holdAt?: { delta: number; name: string }
  calls?: { tool: PuppetTool; id: string; holdBefore?: string; holdAfter?: string }[]
}

export type PuppetTool = 'read' | 'idempotent' | 'write' | 'gated'

const input = z.object({
  id: z.string(),
  /** Before the tool runs, its claim being committed. */
  holdBefore: z.string().optional(),
  /** After the tool did what it does, its result not being committed. */
  holdAfter: z.string().optional(),
})

const model = scriptedModel(
  (request) => {
    tell({ kind: 'request', items: request.items })
    const { plan, step } = whereIs(request.items)
    return toTurn(plan.steps[step] ?? { text: ['Done.'] })
  },
  { id: 'scripted/puppet', record: false },
)

export const puppet = agent({
  name: 'puppet',
  model,
  tools: [
    effectTool('read', 'read'),
    effectTool('idempotent', 'idempotent'),
    effectTool('write'),
    gatedTool(),
  ],
  hooks: {
    async beforeTool(call) {
      const { holdBefore } = input.parse(call.input)
      if (holdBefore !== undefined) await hold(holdBefore)
      return undefined
    },
  },
})

function effectTool(name: PuppetTool, effect?: ToolEffect) {
  const execute = (args: z.output<typeof input>, context: ToolContext) => act(name, { args, context })
  return tool({ name, description: name, input, ...(effect ? { effect } : {}), execute })
}

function gatedTool() {
  const execute = (args: z.output<typeof input>, context: ToolContext) => act('gated', { args, context })
  return tool({ name: 'gated', description: 'Asks first.', input, approval: 'required', execute })
}

async function act(
  name: string,
  { args, context }: { args: z.output<typeof input>; context: ToolContext },
): Promise<string> {
  appendCall({
    run: context.runId,
    call: args.id,
    key: context.idempotencyKey,
    tool: name,
    at: Date.now(),
  })
  if (args.holdAfter !== undefined) await hold(args.holdAfter)
  return `did ${args.id}`
}

/** The plan is the last message of the user; the step is how many replies after it have their results. */
function whereIs(items: readonly Item[]): { plan: PuppetPlan; step: number } {
  const at = items.findLastIndex((item) => item.type === 'message' && item.role === 'user')
  const message = items[at]
  const text =
    message?.type === 'message' && message.content[0]?.type === 'text' ? message.content[0].text : ''
  const rest = items.slice(at + 1)
  const step = rest.filter(
    (item, i) => item.type === 'tool_result' && rest[i + 1]?.type !== 'tool_result',
  ).length
  // The test wrote it.
  return { plan: JSON.parse(text) as PuppetPlan, step }
}

function toTurn({ text = [], holdAt, calls = [] }: PuppetStep): ScriptedTurn {
  return {
    text,
    toolCalls: calls.map(({ tool: name, ...args }) => ({ name, arguments: { ...args } })),
    ...(holdAt ? { gate: (index) => (index === holdAt.delta ? hold(holdAt.name) : undefined) } : {}),
  }
}
