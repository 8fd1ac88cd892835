import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import type { ToolEffect } from '../../src/agent/definitions.ts'
import { tool } from '../../src/agent/tool.ts'
import type { Item } from '../../src/items.ts'
import type { ModelRequest } from '../../src/models/model.ts'
import { scriptedModel, type ScriptedTurn } from '../../src/models/scripted.ts'
import { appendCall, appendLine } from './fixture-link.ts'
import { pairingFault } from './pairing.ts'
import { createRandom } from './seeded-random.ts'

const input = z.object({
  delayMs: z.int(),
  fails: z.boolean(),
})

/** Writes down that it runs, takes its time, and sometimes throws. */
function slowTool(name: string, options: { effect: ToolEffect; approval?: 'required' }) {
  return tool({
    name,
    description: name,
    input,
    ...options,
    async execute({ delayMs, fails }, context) {
      appendCall({
        run: context.runId,
        call: context.callId,
        key: context.idempotencyKey,
        tool: name,
        at: Date.now(),
      })
      if (delayMs > 0) await sleep(delayMs)
      if (fails) throw new Error('as asked')
      return `${name} ran`
    },
  })
}

export const randomTools = [
  slowTool('read', { effect: 'read' }),
  slowTool('idempotent', { effect: 'idempotent' }),
  slowTool('write', { effect: 'write' }),
  slowTool('gated', { effect: 'write', approval: 'required' }),
]

/** What an agent does is drawn from the number in its input and the step it is at, so that a rescued run goes the same way. */
const model = scriptedModel(
  (request) => {
    const fault = pairingFault(request.items)
    if (fault !== undefined) appendLine('malformed.jsonl', { fault, items: request.items })
    return toTurn(request)
  },
  { id: 'scripted/random', record: false },
)

export const randomAgents = [
  agent({ name: 'talker', model }),
  agent({ name: 'reader', model, tools: randomTools.slice(0, 2) }),
  agent({ name: 'worker', model, tools: randomTools.slice(0, 3) }),
  agent({ name: 'clerk', model, tools: randomTools, maxSteps: 3 }),
]

function toTurn(request: ModelRequest): ScriptedTurn {
  const { number, step } = whereIs(request.items)
  const random = createRandom(number * 31 + step)
  const steps = random.between(0, 3)
  const wantsTools = step < steps && request.tools.length > 0
  const text = Array.from({ length: random.between(1, 20) }, (_, i) => `word${i} `)
  const toolCalls = Array.from({ length: wantsTools ? random.between(1, 4) : 0 }, () => ({
    name: random.pick(request.tools).name,
    arguments: {
      delayMs: random.chance(0.3) ? 0 : random.between(1, 60),
      fails: random.chance(0.08),
    },
    chunks: 3,
  }))
  const turn: ScriptedTurn = {
    ...(random.chance(0.3) ? { reasoning: ['let ', 'me ', 'see'] } : {}),
    text,
    toolCalls,
    interleave: random.chance(0.5),
    ...(random.chance(0.7) ? { delayMs: random.between(1, 4) } : {}),
  }
  // Not drawn from the seed: the next try must not fail for ever.
  if (Math.random() < 0.06) {
    return { ...turn, error: { code: 'model_unavailable', after: random.between(0, 8), retryAfterMs: 5 } }
  }
  return turn
}

function whereIs(items: readonly Item[]): { number: number; step: number } {
  const at = items.findLastIndex((item) => item.type === 'message' && item.role === 'user')
  const message = items[at]
  const text =
    message?.type === 'message' && message.content[0]?.type === 'text' ? message.content[0].text : ''
  const rest = items.slice(at + 1)
  const step = rest.filter(
    (item, i) => item.type === 'tool_result' && rest[i + 1]?.type !== 'tool_result',
  ).length
  return { number: Number(text), step }
}
