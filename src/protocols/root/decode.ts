import type { z } from 'zod'
import { createId } from '../../ids.ts'
import type { RunOptions } from '../../run-state.ts'
import type { CreateRunInput } from '../../runs/runs.ts'
import { invalidFields, parseFields } from './errors.ts'
import { chatSchema, postStreamSchema, type ChatBody, type getStreamSchema } from './schema.ts'

/** What all quick routes ask for. */
export interface QuickRequest {
  text: string
  /** The name its client chose, or null for a session of its own. */
  session: string | null
  options: RunOptions
  onDisconnect: 'cancel' | 'continue' | undefined
}

export function decodeChat(value: unknown): QuickRequest {
  const body = parseFields(chatSchema, value, 'body')
  const options: RunOptions = {
    ...limitsOf(body),
    instructions: body.system_prompt ?? undefined,
    temperature: body.temperature ?? undefined,
    max_output_tokens: body.max_tokens ?? undefined,
  }
  return { ...policyOf(body), text: textOf(body, value, 'message'), session: sessionOf(body), options }
}

export function decodePostStream(value: unknown): QuickRequest {
  const body = parseFields(postStreamSchema, value, 'body')
  const text = textOf(body, value, 'input')
  return { ...policyOf(body), text, session: body.session_id ?? null, options: limitsOf(body) }
}

export function decodeGetStream(query: z.infer<typeof getStreamSchema>): QuickRequest {
  const options = limitsOf(query)
  return { ...policyOf(query), text: query.message, session: query.session_id ?? null, options }
}

function policyOf(body: {
  on_disconnect?: 'cancel' | 'continue' | null
}): Pick<QuickRequest, 'onDisconnect'> {
  return { onDisconnect: body.on_disconnect ?? undefined }
}

export function toCreateRun(
  request: QuickRequest,
  rest: Pick<CreateRunInput, 'principal' | 'agent' | 'idempotency'>,
): CreateRunInput {
  const { text, session, options, onDisconnect } = request
  return {
    ...rest,
    onDisconnect,
    input: [{ type: 'message', id: createId('item'), role: 'user', content: [{ type: 'text', text }] }],
    conversation: session === null ? { session: null } : { session },
    options,
  }
}

/** Limits of a run. An answer at the last step is forced unless the request says otherwise. */
function limitsOf(body: { max_steps?: number | null; force_provide_answer?: boolean | null }): RunOptions {
  return { max_steps: body.max_steps ?? undefined, force_answer: body.force_provide_answer ?? true }
}

type Prompt = Pick<z.infer<typeof postStreamSchema>, 'input' | 'message'>

/** One of two names for the same thing; with neither, the route's usual one is asked for. */
function textOf(body: Prompt, input: unknown, usual: 'message' | 'input'): string {
  const { message, input: prompt } = body
  if (typeof message === 'string' && typeof prompt === 'string') {
    const msg = 'Give message or input, not both'
    throw invalidFields([{ type: 'value_error', loc: ['body', 'input'], msg, input: prompt }])
  }
  const text = message ?? prompt
  if (typeof text === 'string') return text
  throw invalidFields([{ type: 'missing', loc: ['body', usual], msg: 'Field required', input }])
}

/** A session has two names on this wire; both mean the same. */
function sessionOf({ session_id, conversation_id }: ChatBody): string | null {
  if (session_id && conversation_id && session_id !== conversation_id) {
    const msg = 'session_id and conversation_id name the same thing: give one, or the same'
    throw invalidFields([
      { type: 'value_error', loc: ['body', 'conversation_id'], msg, input: conversation_id },
    ])
  }
  return session_id ?? conversation_id ?? null
}

/** A position of `GET /stream`: `run_id:seq`. Undefined where the text is none of ours. */
export function decodeResume(header: string | undefined): { runId: string; after: number } | undefined {
  const match = /^(run_\w+):(\d{1,15})$/.exec(header ?? '')
  return match?.[1] === undefined ? undefined : { runId: match[1], after: Number(match[2]) }
}
