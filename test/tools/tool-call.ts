import type { AnyTool, ToolContext } from '../../src/agent/definitions.ts'
import { anonymous } from '../../src/identity/principal.ts'

const context: ToolContext = {
  signal: new AbortController().signal,
  idempotencyKey: 'run_1-call_1',
  principal: anonymous,
  namespace: '',
  runId: 'run_1',
  conversationId: null,
  callId: 'call_1',
  runContext: {},
  progress() {},
  ask: () => Promise.resolve({ action: 'cancel' }),
  log() {},
}

/** As the loop does it: the arguments are checked, then the tool runs. Rejects with what is wrong with either. */
export async function callTool(
  tool: AnyTool,
  input: unknown,
  changes: Partial<ToolContext> = {},
): Promise<unknown> {
  const parsed = tool.parse(input)
  if (!parsed.ok) throw new Error(`bad arguments: ${parsed.message}`)
  return tool.execute(parsed.value, { ...context, ...changes })
}
