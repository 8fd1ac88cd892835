import { toIsoDate } from '../../clock.ts'
import { errorCodes, type AppError } from '../../errors.ts'
import type { ApprovalRequest, RunEvent } from '../../events.ts'
import type { Encoder } from '../../http/encoder.ts'
import type { RunRecord } from '../../store/store.ts'

export interface ChatView {
  run: RunRecord
  text: string | null
  session: string | null
  approvals: readonly ApprovalRequest[]
  now: number
}

/** What a run that went well, or waits, answers `POST /chat` with: the fields of three systems in one body. */
export function encodeChat({ run, text, session, approvals, now }: ChatView) {
  const suspended = run.status === 'suspended'
  const stopped = run.status === 'completed' && run.stop_reason !== 'final'
  return {
    output: suspended ? '' : (text ?? ''),
    response: suspended ? '' : (text ?? ''),
    conversation_id: session,
    tokens_used: run.usage.total_tokens,
    timestamp: toIsoDate(now),
    answer: suspended ? null : text,
    session_id: session,
    steps: run.steps,
    completed: run.status === 'completed' && run.stop_reason === 'final',
    plan: run.plan,
    run_id: run.id,
    // Why the answer is not whole.
    ...(stopped && { stop_reason: run.stop_reason }),
    ...(run.warnings.length > 0 && { warnings: run.warnings }),
    ...(suspended && { status: run.status, approvals, tool_calls: run.pending_calls }),
  }
}

/** What a run that failed or was cancelled answers with, and the status of its code. */
export function encodeChatFailure(run: RunRecord, requestId: string) {
  const { code, message } = failureOf(run)
  return {
    status: Object.hasOwn(errorCodes, code) ? errorCodes[code as keyof typeof errorCodes].status : 500,
    body: { output: '', error: message, detail: message, code, run_id: run.id, request_id: requestId },
  }
}

function failureOf({ status, error }: Pick<RunRecord, 'status' | 'error'>): {
  code: string
  message: string
} {
  if (error) return error
  const code = status === 'cancelled' ? 'run_cancelled' : 'internal'
  return { code, message: `${errorCodes[code].title}.` }
}

/*
 * Raw text (`POST /stream`): each delta is the data of an unnamed event. What text contains can never end its event or start
 * another: each of its lines is a `data:` line of its own.
 */
export function createRawTextEncoder(): Encoder {
  let held = ''
  let step = 0
  let failed = false
  let suspended = false
  const warnings: Partial<Record<string, string>> = {}

  /** A CR at the end may be the first half of a CRLF: it waits for what follows. */
  function delta(text: string): string {
    const whole = held + text
    held = whole.endsWith('\r') ? '\r' : ''
    return dataFrame(held ? whole.slice(0, -1) : whole)
  }

  function release(): string {
    const frame = dataFrame(held)
    held = ''
    return frame
  }

  /** Why the answer is not whole, in the words of the warning that tells of it. */
  function stoppedFrame(stop_reason: string): string {
    return `event: stopped\ndata: ${JSON.stringify({ stop_reason, message: warnings[stop_reason] ?? null })}\n\n`
  }

  /** Named, so that a client that does not know it sees text go on; what came since the step began is void. */
  function retry(): string {
    return `${release()}event: retry\ndata: ${JSON.stringify({ step })}\n\n`
  }

  return {
    push(event: RunEvent): string {
      switch (event.type) {
        case 'step.start':
          step = event.step
          return ''
        case 'text.delta':
          return delta(event.delta)
        case 'text.end':
          return release()
        case 'step.retry':
          return retry()
        case 'warning':
          warnings[event.code] = event.message
          // The answer was wrong: the model gives another one.
          return event.code === 'output_invalid' ? retry() : ''
        case 'run.suspend': {
          suspended = true
          const { approvals, tool_calls } = event
          const data = JSON.stringify({ status: 'suspended', approvals, tool_calls })
          return `${release()}event: suspended\ndata: ${data}\n\n`
        }
        case 'run.end':
          if (event.status === 'completed') {
            return event.stop_reason === 'final' ? release() : release() + stoppedFrame(event.stop_reason)
          }
          failed = true
          return release() + errorFrame(failureOf(event).message)
        default:
          return ''
      }
    },
    // Done means: the answer is whole. A failure and a suspension say so themselves.
    end: () => (failed || suspended ? '' : 'event: done\ndata: [DONE]\n\n'),
    fail: (error) => release() + errorFrame(error.message),
  }
}

function dataFrame(text: string): string {
  return text === '' ? '' : `${dataLines(text)}\n\n`
}

function errorFrame(message: string): string {
  return `event: error\n${dataLines(message)}\n\n`
}

function dataLines(text: string): string {
  return `data: ${text.replace(/\r\n|\r|\n/g, '\ndata: ')}`
}

/** What Kawai's frames need that events do not hold. */
export interface TypedFrameOptions {
  prompt: string
  session: string | null
  runId: string
  /** Frames up to here are known to the client: they are left out, though their text counts. */
  after: number
  /** Whether frames carry `id: run_id:seq`. */
  ids: boolean
  now(): number
}

type Data = Record<string, unknown>

/**
 * Typed frames (`GET /stream`): one JSON object `{ type, data, timestamp }` per event, no token deltas, the whole answer in
 * `run_end`. Read the log from its start, also for a client that comes back: the answer is put together from its deltas.
 */
export function createTypedFrameEncoder(options: TypedFrameOptions): Encoder {
  const names = new Map<string, string>()
  const texts = new Map<string, string>()

  function frame(seq: number | undefined, type: string, data: Data): string {
    if (seq !== undefined && seq <= options.after) return ''
    const id = options.ids && seq !== undefined ? `id: ${options.runId}:${seq}\n` : ''
    const json = JSON.stringify({ type, data, timestamp: toIsoDate(options.now()) })
    return `${id}data: ${json}\n\n`
  }

  const encoders: { [T in RunEvent['type']]?: (event: Extract<RunEvent, { type: T }>) => string } = {
    'run.start': ({ seq, attempt, model }) =>
      attempt > 1
        ? ''
        : frame(seq, 'run_start', {
            prompt: options.prompt,
            model,
            session_id: options.session,
            run_id: options.runId,
          }),
    'step.start': ({ seq, step }) => frame(seq, 'step_start', { step_index: step }),
    'plan.update': ({ seq, plan, updated }) => frame(seq, 'planning', { plan, updated_plan: updated }),
    'reasoning.delta': keep,
    'text.delta': keep,
    'reasoning.end': ({ seq, item_id, partial }) =>
      partial ? '' : frame(seq, 'reasoning', { reasoning: texts.get(item_id) ?? '' }),
    'tool.call': ({ seq, call_id, name, partial, ...call }) => {
      names.set(call_id, name)
      return partial ? '' : frame(seq, 'tool_call', { tool_name: name, tool_arguments: call.arguments })
    },
    'tool.end': ({ seq, call_id, output, error }) =>
      frame(seq, 'tool_result', {
        tool_name: names.get(call_id) ?? null,
        tool_result: error ? { error: error.message } : parsedOr(output),
      }),
    'step.retry': ({ seq, step }) => frame(seq, 'warning', { message: `Step ${step} starts again.` }),
    warning: ({ seq, message }) => frame(seq, 'warning', { message }),
    'run.suspend': ({ seq, approvals, tool_calls }) =>
      frame(seq, 'run_end', {
        answer: null,
        status: 'suspended',
        run_id: options.runId,
        approvals,
        tool_calls,
      }),
    'run.end': (event) =>
      event.status === 'completed'
        ? frame(event.seq, 'run_end', { answer: answerOf(event.output) })
        : frame(event.seq, 'error', { error: failureOf(event).message }),
  }

  function keep({ item_id, delta }: { item_id: string; delta: string }): string {
    texts.set(item_id, (texts.get(item_id) ?? '') + delta)
    return ''
  }

  function answerOf(ids: readonly string[]): string | null {
    return ids.length === 0 ? null : ids.map((id) => texts.get(id) ?? '').join('')
  }

  return {
    push(event) {
      // The table gives each type the function for it; TypeScript cannot follow that through the index.
      const encode = encoders[event.type] as ((event: RunEvent) => string) | undefined
      return encode ? encode(event) : ''
    },
    end: () => '',
    fail: (error: AppError) => frame(undefined, 'error', { error: error.message }),
  }
}

/** A tool's text as a value, where it is JSON. */
function parsedOr(output: string | undefined): unknown {
  if (output === undefined) return null
  try {
    return JSON.parse(output)
  } catch {
    return output
  }
}
