import { z } from 'zod'
import type { Tool as ListedTool } from '@modelcontextprotocol/client'
import type { AnyTool, JsonSchema, ToolContext, ToolEffect } from '../../agent/definitions.ts'
import { tool } from '../../agent/tool.ts'
import type { Clock } from '../../clock.ts'
import { AppError } from '../../errors.ts'
import { redact, redactWithin } from '../../secrets.ts'
import { ActiveCall, type ActiveCallOptions } from './active-call.ts'
import type { ArgumentCheck } from './argument-check.ts'
import { CallCut, CallTimeout, ServerAway, UnreadableAnswer } from './call-faults.ts'
import { shownSecretsOf, type McpSettings } from './options.ts'
import { toOutput } from './result.ts'
import type { ServerLink } from './server-link.ts'

export interface FoundToolOptions {
  listed: ListedTool
  /** As the model calls it. */
  name: string
  /** Of its arguments, beyond that they are an object. */
  check: ArgumentCheck
  settings: McpSettings
  link: ServerLink
  clock: Clock
}

/** How often a call may be silent for `timeoutMs` before progress does not help any more. */
const totalFactor = 10

const anyObject = z.record(z.string(), z.unknown())

/**
 * A tool of the server as one of ours. Inert until it is called. The server gets the arguments as the model wrote them: its own
 * defaults are its own affair.
 */
export function foundTool(found: FoundToolOptions): AnyTool {
  const { listed, settings, name, check } = found
  const { timeoutMs, connectTimeoutMs, approval } = settings
  const unchecked = tool({
    name,
    description: listed.description ?? listed.title ?? listed.annotations?.title ?? '',
    input: anyObject,
    effect: effectOf(found),
    // Our own limits end a call first, and know more about how it ended.
    timeoutMs: totalFactor * timeoutMs + 2 * connectTimeoutMs,
    execute: (input, context) => execute(found, { input, context }),
    ...(typeof approval === 'function'
      ? { approval: (input: Record<string, unknown>) => approval(listed.name, input) }
      : { approval: approval ?? 'never' }),
  })
  const parse: AnyTool['parse'] = (input) => {
    const checked = check(input)
    return checked.ok ? unchecked.parse(input) : checked
  }
  return Object.freeze({ ...unchecked, parameters: listed.inputSchema as JsonSchema, parse })
}

function effectOf({ listed, settings }: FoundToolOptions): ToolEffect {
  const chosen =
    settings.effect && Object.hasOwn(settings.effect, listed.name) ? settings.effect[listed.name] : undefined
  if (chosen) return chosen
  if (listed.annotations?.readOnlyHint) return 'read'
  return listed.annotations?.idempotentHint ? 'idempotent' : 'write'
}

interface Execution {
  input: Record<string, unknown>
  context: ToolContext
}

async function execute(found: FoundToolOptions, { input, context }: Execution): Promise<unknown> {
  const { listed, settings, link, clock } = found
  const secrets = shownSecretsOf(settings)
  const shown = withoutSecrets(context, secrets)
  const deadline = clock.monotonic() + totalFactor * settings.timeoutMs
  for (let isAgain = false; ; isAgain = true) {
    const connection = await link.connection(context.signal)
    const totalMs = Math.max(1, deadline - clock.monotonic())
    const call = new ActiveCall({ toolName: listed.name, context: shown, clock, totalMs })
    try {
      return redactWithin(toOutput(await connection.call({ call, tool: listed, input })), secrets)
    } catch (error) {
      context.signal.throwIfAborted()
      if (!(error instanceof CallCut)) throw forModel(found, error)
      const mayRepeat = error.untouched || effectOf(found) !== 'write'
      if (isAgain || !mayRepeat) throw forModel(found, error)
    }
  }
}

/** Of a run what a call needs. What it is told has no secrets. */
function withoutSecrets(context: ToolContext, secrets: readonly string[]): ActiveCallOptions['context'] {
  const { signal } = context
  return {
    signal,
    ask: (question) => context.ask(redactWithin(question, secrets) as typeof question),
    progress: (progress) => context.progress(redactWithin(progress, secrets) as typeof progress),
  }
}

/** A fault in words the model can act on. A write whose end nobody saw must not be repeated by it. */
function forModel(found: FoundToolOptions, fault: unknown): unknown {
  const isWrite = effectOf(found) === 'write'
  if (fault instanceof CallCut) {
    if (fault.untouched) return new ServerAway(found.settings.name)
    return isWrite ? unknownOutcome('The connection to the server was lost.', fault) : lost(fault)
  }
  if (fault instanceof CallTimeout) {
    const message = `No answer within ${fault.seconds} s.`
    return isWrite ? unknownOutcome(message, fault) : new AppError('tool_timeout', { message, cause: fault })
  }
  if (fault instanceof UnreadableAnswer && isWrite) return unknownOutcome(fault.message, fault)
  if (!(fault instanceof Error)) return fault
  const message = redact(fault.message, shownSecretsOf(found.settings))
  return message === fault.message ? fault : new Error(message, { cause: fault })
}

function lost(cause: CallCut): Error {
  return new Error('The connection to the server was lost twice. Try again later.', { cause })
}

function unknownOutcome(what: string, cause: Error): AppError {
  const message = `${what} Whether the call took effect is not known: do not repeat it before you have checked.`
  return new AppError('outcome_unknown', { message, cause })
}
