import { AppError } from '../../errors.ts'
import { invalidInput } from '../../http/validation.ts'
import type { Principal } from '../../identity/principal.ts'
import { createId } from '../../ids.ts'
import type { Item } from '../../items.ts'
import type { RunOptions } from '../../run-state.ts'
import type { ConversationRef, CreateRunInput, ToolResultInput } from '../../runs/runs.ts'
import type { z } from 'zod'
import type { CreateRunBody, InputItem, toolResultsSchema } from './schema.ts'
import type { RunRecord } from '../../store/store.ts'

export function decodeCreateRun(input: {
  principal: Principal
  agent: string
  body: CreateRunBody
  idempotency: CreateRunInput['idempotency']
}): CreateRunInput {
  const { principal, agent, body, idempotency } = input
  return {
    principal,
    agent,
    input: decodeInput(body.input),
    conversation: conversationOf(body),
    parentRunId: body.parent_run_id,
    options: optionsOf(body),
    background: body.background,
    onConflict: body.on_conflict,
    onDisconnect: body.on_disconnect,
    idempotency,
  }
}

/** A text is one message of the user. Ids are given here. */
export function decodeInput(input: string | InputItem[]): Item[] {
  if (typeof input === 'string') return [userMessage(input)]
  return input.map(({ role, content }) => ({
    type: 'message',
    id: createId('item'),
    role,
    content: typeof content === 'string' ? [{ type: 'text', text: content }] : content,
  }))
}

export function userMessage(text: string): Item {
  return { type: 'message', id: createId('item'), role: 'user', content: [{ type: 'text', text }] }
}

function conversationOf(body: CreateRunBody): ConversationRef | undefined {
  if (body.conversation_id !== undefined) return { id: body.conversation_id }
  return body.session_id === undefined ? undefined : { session: body.session_id }
}

function optionsOf(body: CreateRunBody): RunOptions {
  const { instructions, model, temperature, max_output_tokens, max_steps, force_answer } = body
  const { output_schema, budget, run_context, metadata, tools } = body
  const options: RunOptions = {
    instructions,
    model,
    temperature,
    max_output_tokens,
    max_steps,
    force_answer,
    output_schema,
    budget,
    run_context,
    metadata,
  }
  return tools ? { ...options, tools, on_caller_tool: 'suspend' } : options
}

export function decodeToolResults(body: z.infer<typeof toolResultsSchema>): ToolResultInput[] {
  return body.results.map(({ call_id, output, is_error }) => ({
    call_id,
    output: typeof output === 'string' ? output : JSON.stringify(output),
    ...(is_error && { is_error }),
  }))
}

/** Where a reader of events starts: `Last-Event-ID`, else `after`; each a seq or `run_id:seq`. */
export function decodePosition(input: {
  run: RunRecord
  header: string | undefined
  query: string | undefined
}): number {
  const { run, header, query } = input
  const [text, path] = header ? [header, ['header', 'last-event-id']] : [query, ['query', 'after']]
  if (!text) return 0
  const match = /^(?:(run_\w+):)?(\d{1,15})$/.exec(text)
  if (!match) throw invalidInput([{ path, message: 'Must be a seq, or a run id and a seq as run_id:seq' }])
  if (match[1] !== undefined && match[1] !== run.id) {
    throw invalidInput([{ path, message: 'Belongs to another run' }])
  }
  const after = Number(match[2])
  // What an attempt shows and has not committed yet is below where the next one would start.
  if (after >= run.next_seq) throw invalidInput([{ path, message: 'Is beyond the end of the log' }])
  return after
}

/** The agent of a path. Throws `agent_not_found`. */
export function knownAgent<T>(agents: ReadonlyMap<string, T>, name: string): T {
  const agent = agents.get(name)
  if (agent !== undefined) return agent
  const asked = JSON.stringify(name.length > shownChars ? `${name.slice(0, shownChars)}…` : name)
  const served = [...agents.keys()]
  const rest = served.length > shownNames ? `, and ${served.length - shownNames} more` : ''
  throw new AppError('agent_not_found', {
    message: `No agent ${asked}; served: ${served.slice(0, shownNames).join(', ')}${rest}.`,
  })
}

/** Names of agents are no longer. */
const shownChars = 64
const shownNames = 10
