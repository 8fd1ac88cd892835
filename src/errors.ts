/**
 * The one table of error codes. `status` is the HTTP status where the error reaches a caller directly; `retryable` says
 * whether the same request may succeed later; `title` is the short, fixed description (RFC 9457 `title`).
 * `docs/errors.md` holds the same table; a test compares them.
 */
export const errorCodes = {
  invalid_request: { status: 400, retryable: false, title: 'The request is not valid' },
  invalid_json: { status: 400, retryable: false, title: 'The body is not valid JSON' },
  host_not_allowed: { status: 403, retryable: false, title: 'This host name is not served here' },
  origin_not_allowed: { status: 403, retryable: false, title: 'Requests from this origin are not allowed' },
  not_found: { status: 404, retryable: false, title: 'There is nothing at this address' },
  agent_not_found: { status: 404, retryable: false, title: 'No such agent' },
  run_not_found: { status: 404, retryable: false, title: 'No such run' },
  conversation_not_found: { status: 404, retryable: false, title: 'No such conversation' },
  approval_not_found: { status: 404, retryable: false, title: 'No such approval' },
  call_not_found: { status: 404, retryable: false, title: 'The run waits for no such tool call' },
  method_not_allowed: { status: 405, retryable: false, title: 'This method is not allowed here' },
  conversation_busy: { status: 409, retryable: true, title: 'Another run holds the conversation' },
  conversation_suspended: { status: 409, retryable: false, title: 'A suspended run holds the conversation' },
  approval_decided: { status: 409, retryable: false, title: 'The approval was decided before' },
  run_not_suspended: { status: 409, retryable: false, title: 'The run does not wait for this' },
  log_pruned: { status: 410, retryable: false, title: 'This part of the log is no longer kept' },
  run_context_missing: { status: 400, retryable: false, title: 'The run context lacks a value' },
  input_not_accepted: { status: 400, retryable: false, title: 'The model does not take this kind of input' },
  file_too_large: { status: 413, retryable: false, title: 'A file in the request is too large' },
  body_too_large: { status: 413, retryable: false, title: 'The body is too large' },
  unsupported_media_type: { status: 415, retryable: false, title: 'This content type is not supported' },
  idempotency_key_reused: {
    status: 422,
    retryable: false,
    title: 'The idempotency key was used for another request',
  },
  queue_full: { status: 429, retryable: true, title: 'Too many runs wait already' },
  internal: { status: 500, retryable: false, title: 'Something went wrong on our side' },
  draining: { status: 503, retryable: true, title: 'This node is shutting down' },
  store_unavailable: { status: 503, retryable: true, title: 'The store does not answer' },

  model_unavailable: { status: 502, retryable: true, title: 'The model provider does not answer or fails' },
  model_rate_limited: { status: 429, retryable: true, title: 'The model provider limits the rate' },
  model_timeout: { status: 504, retryable: true, title: 'The model provider went silent' },
  model_auth_failed: { status: 502, retryable: false, title: 'The model provider refuses our credentials' },
  model_refused: { status: 502, retryable: false, title: 'The model provider refuses the request' },
  model_bad_response: {
    status: 502,
    retryable: true,
    title: 'The model provider answered with something unreadable',
  },
  model_not_configured: { status: 503, retryable: false, title: 'The model of this agent is not configured' },
  context_length_exceeded: {
    status: 400,
    retryable: false,
    title: 'The conversation is too long for the model',
  },
  content_filter: { status: 400, retryable: false, title: 'The content was refused by a filter' },
  output_invalid: {
    status: 502,
    retryable: true,
    title: 'The answer does not satisfy the schema',
  },
  run_timeout: { status: 504, retryable: true, title: 'The run took too long' },
  run_cancelled: { status: 409, retryable: false, title: 'The run was cancelled' },
  crash_loop: {
    status: 500,
    retryable: false,
    title: 'The run ended its process five times without progress',
  },
  agent_gone: { status: 410, retryable: false, title: 'The agent of this run is no longer served' },

  tool_failed: { status: 500, retryable: false, title: 'The tool failed' },
  tool_timeout: { status: 504, retryable: true, title: 'The tool took too long' },
  tool_unknown: { status: 404, retryable: false, title: 'No such tool' },
  tool_bad_arguments: { status: 400, retryable: false, title: 'The arguments do not fit the tool' },
  tool_rejected: { status: 403, retryable: false, title: 'A person rejected the tool call' },
  tool_expired: { status: 403, retryable: false, title: 'Nobody answered for the tool call in time' },
  tool_refused: { status: 403, retryable: false, title: 'A policy refused the tool call' },
  handoff_limit: { status: 409, retryable: false, title: 'The run was handed over too often' },
  outcome_unknown: { status: 500, retryable: false, title: 'Whether the tool took effect is not known' },
} as const satisfies Record<string, { status: number; retryable: boolean; title: string }>

export type ErrorCode = keyof typeof errorCodes

/** Where in the caller's input a fault lies: a JSON path such as `['body', 'input', 0, 'type']`, and what is wrong. */
export interface ErrorLocation {
  path: (string | number)[]
  message: string
}

export interface AppErrorOptions {
  /** Safe to show to the caller. Default: the code's title. */
  message?: string
  locations?: ErrorLocation[]
  /** Further public fields, such as `{ run_id }`. Snake case; they reach the wire as they are. */
  details?: Record<string, unknown>
  retryable?: boolean
  retryAfterMs?: number
  /** What really happened. For the log only. */
  cause?: unknown
  /** What the operator may look at or do, in our own words. For the log only. */
  hint?: string
}

const mark = Symbol.for('parley.AppError')

/** A coded error whose message may be shown to the caller. Recognise it with `AppError.is`, never with `instanceof`. */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly status: number
  readonly retryable: boolean
  readonly retryAfterMs: number | undefined
  readonly locations: ErrorLocation[] | undefined
  readonly details: Record<string, unknown> | undefined
  readonly hint: string | undefined
  readonly [mark] = true

  constructor(code: ErrorCode, options: AppErrorOptions = {}) {
    super(options.message ?? `${errorCodes[code].title}.`, { cause: options.cause })
    this.name = 'AppError'
    this.code = code
    this.status = errorCodes[code].status
    this.retryable = options.retryable ?? errorCodes[code].retryable
    this.retryAfterMs = options.retryAfterMs
    this.locations = options.locations
    this.details = options.details
    this.hint = options.hint
  }

  static is(error: unknown): error is AppError {
    return typeof error === 'object' && error !== null && mark in error
  }

  /** An AppError as it is; anything else as `internal`, with the original as its cause. */
  static from(error: unknown): AppError {
    return AppError.is(error) ? error : new AppError('internal', { cause: error })
  }
}
