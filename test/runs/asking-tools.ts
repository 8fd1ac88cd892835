import type { Answer, AnyTool, ToolContext } from '../../src/agent/definitions.ts'
import { tool, type ToolOptions } from '../../src/agent/tool.ts'
import { scriptedModel, type ScriptedReply, type ScriptedToolCall } from '../../src/models/scripted.ts'
import type { RunRecord } from '../../src/store/store.ts'
import {
  eventsOfType,
  startEngine,
  transcript,
  type EngineUnderTest,
  type EngineUnderTestOptions,
} from '../agent/engine-under-test.ts'
import { decide, goesOn } from './suspended-run.ts'

/** A tool named `it` that notes the context of each time it runs. */
export function asking(
  execute: (context: ToolContext, input: Record<string, unknown>) => unknown,
  options: Partial<ToolOptions<Record<string, unknown>>> = {},
): { it: AnyTool; contexts: ToolContext[] } {
  const contexts: ToolContext[] = []
  const it = tool({
    name: 'it',
    description: 'Asks.',
    input: { type: 'object', properties: {} },
    ...options,
    execute: (input: Record<string, unknown>, context) => {
      contexts.push(context)
      return execute(context, input)
    },
  })
  return { it, contexts }
}

/** What a tool was told, as short text. */
export function shortly(answer: Answer): string {
  return answer.action === 'accept' ? JSON.stringify(answer.content) : JSON.stringify(answer)
}

export interface Asked {
  engine: EngineUnderTest
  model: ReturnType<typeof scriptedModel>
  /** As it was when it was suspended last. */
  run: RunRecord
  /** Answers the oldest question that is pending, and waits until the run settles again. */
  answer: (answer: unknown) => Promise<Settled>
  decide: (decision: Parameters<EngineUnderTest['approvals']['decide']>[2]) => Promise<Settled>
  pending: () => ReturnType<EngineUnderTest['runs']['pendingApprovals']>
}

export interface Settled {
  run: RunRecord
  events: Awaited<ReturnType<typeof goesOn>>['events']
  /** Of the call that ended last. */
  output: string | undefined
  error: string | undefined
}

/** A run that calls these tools in its first step, as far as its first suspension. */
export async function ask(
  tools: AnyTool | readonly AnyTool[],
  options: Partial<EngineUnderTestOptions> & { calls?: ScriptedToolCall[]; rest?: ScriptedReply[] } = {},
): Promise<Asked> {
  const list = Array.isArray(tools) ? (tools as readonly AnyTool[]) : [tools as AnyTool]
  const { calls = list.map(({ name }) => ({ name, arguments: {} })), rest = ['Done.'], ...given } = options
  const model = scriptedModel([{ toolCalls: calls }, ...rest])
  const engine = await startEngine({ model, ...given, agent: { tools: list, ...given.agent } })
  const { run } = await engine.finish()
  const asked: Asked = {
    engine,
    model,
    run,
    pending: () => engine.runs.pendingApprovals(run),
    answer: (answer) => asked.decide({ decision: 'answer', answer }),
    async decide(decision) {
      const before = await engine.load(run)
      const [first] = await engine.runs.pendingApprovals(before)
      await decide(engine, first?.id, decision)
      const after = await goesOn(engine, before)
      const end = eventsOfType(after.events, 'tool.end').at(-1)
      return { ...after, output: end?.output, error: end?.error?.code }
    },
  }
  return asked
}

/** What the model read as results, in its last call. */
export function resultsRead({ model }: Pick<Asked, 'model'>): string[] {
  return transcript(model.calls.at(-1)).filter((line) => line.startsWith('result '))
}
