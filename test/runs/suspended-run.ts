import { z } from 'zod'
import { tool } from '../../src/agent/tool.ts'
import { anonymous } from '../../src/identity/principal.ts'
import { scriptedModel, type ScriptedReply, type ScriptedToolCall } from '../../src/models/scripted.ts'
import type { RunRecord } from '../../src/store/store.ts'
import { startEngine, type EngineUnderTest } from '../agent/engine-under-test.ts'

export function sendTool(sent: string[], options: { timeoutMs?: number } = {}) {
  return tool({
    name: 'send',
    description: 'Sends.',
    input: z.object({ to: z.string() }),
    approval: 'required',
    ...options,
    execute: ({ to }) => {
      sent.push(to)
      return `sent to ${to}`
    },
  })
}
export const read = tool({ name: 'read', description: 'Reads.', effect: 'read', execute: () => 'was read' })
export const send = (to: string): ScriptedToolCall => ({ name: 'send', arguments: { to } })
export const call = (name: string): ScriptedToolCall => ({ name, arguments: {} })
export const theirs = { name: 'theirs', description: 'Runs at the caller.', parameters: { type: 'object' } }

export async function suspended(toolCalls: ScriptedToolCall[], ...rest: ScriptedReply[]) {
  const sent: string[] = []
  const model = scriptedModel([{ toolCalls }, ...(rest.length > 0 ? rest : ['Done.'])])
  const engine = await startEngine({ model, agent: { tools: [sendTool(sent), read] } })
  const { run, events } = await engine.finish({
    conversation: { session: 's' },
    options: { tools: [theirs], on_caller_tool: 'suspend' },
  })
  return { engine, model, run, events, sent, approvals: await engine.runs.pendingApprovals(run) }
}

/** Reads on from where the run was suspended to where it settles again. */
export async function goesOn(engine: EngineUnderTest, run: RunRecord) {
  const events = await engine.events(await engine.load(run), run.last_seq)
  return { events, run: await engine.load(run) }
}

export const decide = (
  engine: EngineUnderTest,
  id: string | undefined,
  decision: Parameters<EngineUnderTest['approvals']['decide']>[2],
) => engine.approvals.decide(anonymous, id ?? '', decision)
