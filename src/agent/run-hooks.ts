import type { Item, ToolCallItem, ToolResultItem } from '../items.ts'
import type { ModelReply, ModelRequest } from '../models/model.ts'
import { callAuthor } from './author-code.ts'
import type { RunContext } from './context.ts'
import { hookContext } from './hook-context.ts'
import type { Hooks } from './hooks.ts'

/*
 * An agent's hooks, one after the other: each is given what the one before it made, and the first refusal stands. What they
 * throw is `internal`.
 */

/** The request as the hooks would have it, or why it may not be sent. */
export async function runBeforeModel(
  context: RunContext,
  request: ModelRequest,
): Promise<{ request: ModelRequest } | { refused: string }> {
  let changed = request
  for (const hooks of hooksWith(context, 'beforeModel')) {
    const given = changed
    const answer = await callAuthor(context.signal, () => hooks.beforeModel?.(given, hookContext(context)))
    if (answer && 'refuse' in answer) return { refused: answer.refuse.message }
    if (answer) changed = answer
  }
  return { request: changed }
}

/** Why a reply is refused; undefined where it is not. */
export async function runAfterModel(
  context: RunContext,
  reply: { items: readonly Item[]; reply: ModelReply },
): Promise<string | undefined> {
  for (const hooks of hooksWith(context, 'afterModel')) {
    const answer = await callAuthor(context.signal, () => hooks.afterModel?.(reply, hookContext(context)))
    if (answer) return answer.refuse.message
  }
  return undefined
}

/** The input a tool is to run with, or why it may not. */
export async function runBeforeTool(
  context: RunContext,
  call: { item: ToolCallItem; input: unknown },
): Promise<{ input: unknown } | { refused: string }> {
  let { input } = call
  for (const hooks of hooksWith(context, 'beforeTool')) {
    const given = { item: call.item, input }
    const answer = await callAuthor(context.signal, () => hooks.beforeTool?.(given, hookContext(context)))
    if (answer && 'refuse' in answer) return { refused: answer.refuse.message }
    if (answer) input = answer.input
  }
  return { input }
}

/** The result as the model is to read it. */
export async function runAfterTool(
  context: RunContext,
  given: { call: ToolCallItem; result: ToolResultItem },
): Promise<ToolResultItem> {
  let { result } = given
  for (const hooks of hooksWith(context, 'afterTool')) {
    const before = { call: given.call, result }
    const answer = await callAuthor(context.signal, () => hooks.afterTool?.(before, hookContext(context)))
    if (answer) result = { ...result, output: answer.output }
  }
  return result
}

function hooksWith(context: RunContext, name: keyof Hooks): readonly Hooks[] {
  const { hooks } = context.agent
  return hooks.length === 0 ? hooks : hooks.filter((one) => one[name] !== undefined)
}
