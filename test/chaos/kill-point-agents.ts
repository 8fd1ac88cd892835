import { z } from 'zod'
import { agent } from '../../src/agent/agent.ts'
import type { ToolEffect } from '../../src/agent/definitions.ts'
import { tool } from '../../src/agent/tool.ts'
import type { Item } from '../../src/items.ts'
import type { ModelRequest } from '../../src/models/model.ts'
import { scriptedModel, type ScriptedReply } from '../../src/models/scripted.ts'
import { appendCall, appendLine, hold } from './fixture-link.ts'

/** One model call, as it stands in `models.jsonl`. */
export interface ModelLine {
  model: string
  call: string
}

/*
 * Agents that stand still wherever their test lets them: each model call and each tool waits at a place of its own, named
 * after it (`planner`, `search 0`), once it is written down. A place that is released before the start is no stop.
 */

/** A model whose calls have names, which are the places where it waits. */
function model(name: string, reply: (request: ModelRequest) => { call: string; turn: ScriptedReply }) {
  return scriptedModel(
    async (request) => {
      const { call, turn } = reply(request)
      appendLine('models.jsonl', { model: name, call } satisfies ModelLine)
      await hold(call)
      return turn
    },
    { id: `scripted/${name}`, record: false },
  )
}

/** A tool that asks what it is told to ask, is written down, and waits. */
function heldTool(name: string, options: { effect: ToolEffect; question?: string }) {
  const { effect, question } = options
  return tool({
    name,
    description: name,
    effect,
    input: z.object({}),
    timeoutMs: 600_000,
    async execute(_input, context) {
      const answer = question === undefined ? undefined : await context.ask({ message: question })
      appendCall({
        run: context.runId,
        call: context.callId,
        key: context.idempotencyKey,
        tool: name,
        at: Date.now(),
      })
      await hold(name)
      return answer?.action === 'accept' ? `${name}: ${String(answer.content)}` : `${name} did it`
    },
  })
}

const call = (name: string, args: Record<string, unknown> = {}) => ({ name, arguments: args })
const callsOf = (items: readonly Item[], name: string) =>
  items.filter((item) => item.type === 'tool_call' && item.name === name).length
const hasText = (items: readonly Item[], part: string) => JSON.stringify(items).includes(part)

/** Calls its tool once, then says what came of it. */
function once(name: string, { tool: toolName, args }: { tool: string; args?: Record<string, unknown> }) {
  return model(name, ({ items }) =>
    callsOf(items, toolName) === 0
      ? { call: `${name} calls`, turn: { toolCalls: [call(toolName, args)] } }
      : { call: `${name} answers`, turn: `${name} is done.` },
  )
}

const billing = agent({
  name: 'billing',
  model: model('billing', () => ({ call: 'billing answers', turn: 'It is paid.' })),
})

const router = agent({
  name: 'router',
  model: model('router', () => ({
    call: 'router chooses',
    turn: {
      text: '{"agent":"billing"}',
      usage: { input_tokens: 1000, output_tokens: 0, total_tokens: 1000 },
    },
  })),
  specialists: [billing],
})

const planner = agent({
  name: 'planner',
  planning: {
    every: 5,
    model: model('plan', () => ({ call: 'planner plans', turn: 'First this, then that.' })),
  },
  model: model('planner', () => ({ call: 'planner answers', turn: 'Done as planned.' })),
})

const second = agent({
  name: 'second',
  model: model('second', () => ({ call: 'second answers', turn: 'I am second.' })),
})

/** Its transfer is committed only after its tool: the tool stands between the reply and the transfer. */
const first = agent({
  name: 'first',
  model: model('first', () => ({
    call: 'first calls',
    turn: { toolCalls: [call('note'), call('transfer_to_second', { reason: 'it knows' })] },
  })),
  tools: [heldTool('note', { effect: 'idempotent' })],
  handoffs: [second],
})

const researcher = agent({
  name: 'researcher',
  model: once('researcher', { tool: 'search' }),
  tools: [heldTool('search', { effect: 'read' })],
})

const writer = agent({
  name: 'writer',
  model: once('writer', { tool: 'researcher', args: { task: 'find out' } }),
  tools: [researcher.asTool()],
  hooks: {
    // The agent has said its last word; the call has no result yet.
    async afterTool() {
      await hold('researcher is done')
      return undefined
    },
  },
})

const counter = agent({
  name: 'counter',
  output: z.object({ count: z.number() }),
  model: model('counter', ({ items }) =>
    hasText(items, 'Your answer does not satisfy')
      ? { call: 'counter corrects', turn: '{"count":3}' }
      : { call: 'counter answers', turn: 'three' },
  ),
})

const booker = agent({
  name: 'booker',
  model: once('booker', { tool: 'book' }),
  tools: [heldTool('book', { effect: 'idempotent', question: 'Which day?' })],
})

const payer = agent({
  name: 'payer',
  model: once('payer', { tool: 'pay' }),
  tools: [heldTool('pay', { effect: 'write', question: 'How much?' })],
})

const chatter = agent({
  name: 'chatter',
  history: {
    maxTurns: 1,
    summarise: {
      keepTurns: 1,
      model: model('summary', () => ({ call: 'chatter summarises', turn: 'They greeted.' })),
    },
  },
  model: model('chatter', ({ items }) => ({
    call: hasText(items, 'They greeted.') ? 'chatter answers behind a summary' : 'chatter answers',
    turn: 'Hello again.',
  })),
})

const faller = agent({
  name: 'faller',
  modelTries: 1,
  model: [
    model('poor', () => ({
      call: 'poor answers',
      turn: { text: 'I sta', error: { code: 'model_refused' } },
    })),
    model('good', () => ({ call: 'good answers', turn: 'I answer.' })),
  ],
})

export const killPointAgents = [router, planner, first, writer, counter, booker, payer, chatter, faller]
