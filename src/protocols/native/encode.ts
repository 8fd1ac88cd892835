import { handoffNames } from '../../agent/agent.ts'
import type { Agent } from '../../agent/definitions.ts'
import { toIsoDate } from '../../clock.ts'
import { errorCodes, type AppError } from '../../errors.ts'
import type { ApprovalRequest, EventOf, RunEvent } from '../../events.ts'
import type { Encoder } from '../../http/encoder.ts'
import type { PlacedItem } from '../../items.ts'
import type { ConversationRecord, RunRecord } from '../../store/store.ts'
import type { KnownTools } from '../protocol.ts'

/**
 * Events as they are: `id:` is the seq, `data:` the event as one line of JSON. No `event:` line, so that a browser's
 * `onmessage` sees them all. Progress has no place in the log, and so no id.
 */
export function createNativeEncoder(): Encoder {
  const prefixes = { itemId: '', type: '', text: '' }

  /** The hot path: what is the same for every delta of an item is made once. Gives what `JSON.stringify` would. */
  function delta(event: EventOf<'text.delta' | 'reasoning.delta' | 'tool.input'>): string {
    if (event.item_id !== prefixes.itemId || event.type !== prefixes.type) {
      prefixes.itemId = event.item_id
      prefixes.type = event.type
      prefixes.text = `,"type":"${event.type}","item_id":${JSON.stringify(event.item_id)},"delta":`
    }
    const { seq } = event
    return `id: ${seq}\ndata: {"seq":${seq}${prefixes.text}${JSON.stringify(event.delta)}}\n\n`
  }

  return {
    push(event: RunEvent): string {
      switch (event.type) {
        case 'text.delta':
        case 'reasoning.delta':
        case 'tool.input':
          return delta(event)
        case 'tool.progress':
          return `data: ${JSON.stringify(event)}\n\n`
        default:
          return `id: ${event.seq}\ndata: ${JSON.stringify(event)}\n\n`
      }
    },
    end: () => '',
    // Named, because it is no event of the run: the client may come back with its last id.
    fail: (error) => `event: error\ndata: ${JSON.stringify(encodeStreamError(error))}\n\n`,
  }
}

function encodeStreamError(error: AppError) {
  return {
    type: 'error',
    title: errorCodes[error.code].title,
    detail: error.message,
    code: error.code,
    retryable: error.retryable,
    ...error.details,
  }
}

export interface RunView {
  run: RunRecord
  /** The answer's text; null where there is none. */
  text: string | null
  approvals: readonly ApprovalRequest[]
}

export function encodeRun({ run, text, approvals }: RunView) {
  return {
    id: run.id,
    object: 'run',
    status: run.status,
    agent: run.agent,
    active_agent: run.active_agent ?? run.agent,
    conversation_id: run.conversation_id,
    parent_run_id: run.parent_run_id,
    output: text,
    output_parsed: run.output_parsed,
    stop_reason: run.stop_reason,
    ...(run.forced && { forced: true }),
    steps: run.steps,
    usage: run.usage,
    cost: run.spent?.cost ?? null,
    error: run.error,
    warnings: run.warnings,
    cancel: run.cancel && { ...run.cancel, at: toIsoDate(run.cancel.at) },
    approvals,
    tool_calls: run.status === 'suspended' ? run.pending_calls : [],
    plan: run.plan,
    metadata: run.options.metadata ?? {},
    created_at: toIsoDate(run.created_at),
    started_at: dateOrNull(run.started_at),
    ended_at: dateOrNull(run.ended_at),
  }
}

/** OpenAI's conversation, with our fields after theirs. */
export function encodeConversation(conversation: ConversationRecord) {
  const { id, created_at, metadata, key, head_run_id, used_at, ttl_ms } = conversation
  return {
    id,
    object: 'conversation',
    created_at: Math.floor(created_at / 1000),
    metadata,
    key,
    head_run_id,
    last_used_at: toIsoDate(used_at),
    expires_at: ttl_ms === null ? null : toIsoDate(used_at + ttl_ms),
  }
}

/** An item with the run it belongs to; what only its provider or the loop understands is left out. */
export function encodeItem({ run_id, item }: PlacedItem) {
  if ('provider' in item) {
    const { provider: _provider, ...shown } = item
    return { ...shown, run_id }
  }
  if ('transferred_to' in item) {
    const { transferred_to: _agent, ...shown } = item
    return { ...shown, run_id }
  }
  return { ...item, run_id }
}

export function encodeAgent(agent: Agent, { model, known }: { model: string; known: KnownTools }) {
  const { tokens, cost, seconds, toolCalls } = agent.budget
  return {
    id: agent.name,
    object: 'agent',
    name: agent.name,
    description: agent.description,
    model,
    max_steps: agent.maxSteps,
    tools: known.tools.map(({ name, description, effect, parameters }) => ({
      name,
      description,
      effect,
      parameters,
    })),
    tool_sources: known.sources,
    output_schema: agent.output?.schema ?? null,
    budget: {
      tokens: tokens ?? null,
      cost: cost ?? null,
      seconds: seconds ?? null,
      tool_calls: toolCalls ?? null,
    },
    specialists: agent.specialists.map(({ agent: { name, description } }) => ({ name, description })),
    handoffs: handoffNames(agent),
  }
}

export function encodeList<T extends { id: string }>(page: { data: T[]; has_more: boolean }) {
  const { data, has_more } = page
  return {
    object: 'list',
    data,
    has_more,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
  }
}

function dateOrNull(ms: number | null): string | null {
  return ms === null ? null : toIsoDate(ms)
}
