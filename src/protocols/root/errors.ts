import { z } from 'zod'
import { AppError } from '../../errors.ts'
import type { RenderError } from '../../http/problem.ts'
import { errorHeaders, sendJson } from '../../http/respond.ts'
import { maxLocations } from '../../http/validation.ts'

/** One fault of an input, as FastAPI (pydantic 2) words it. */
export interface Fault {
  type: string
  loc: (string | number)[]
  msg: string
  input: unknown
  ctx?: Record<string, unknown>
}

/** Faults of the caller's input: answered 422 with the list. */
export function invalidFields(faults: Fault[]): AppError {
  return new AppError('invalid_request', { message: faults[0]?.msg, details: { faults } })
}

/** Parses what a caller sent, or throws `invalidFields`. */
export function parseFields<S extends z.ZodType>(
  schema: S,
  value: unknown,
  root: 'body' | 'query',
): z.output<S> {
  const result = schema.safeParse(value, { reportInput: true })
  if (result.success) return result.data
  throw invalidFields(result.error.issues.slice(0, maxLocations).map((issue) => toFault(issue, root, value)))
}

/** `{"detail": …}`: the error shape of the quick routes. The status is that of the error; faults of the input are 422. */
export const renderDetail: RenderError = (error, context) => {
  const faults = faultsOf(error)
  return sendJson(context, {
    status: faults ? 422 : error.status,
    headers: errorHeaders(error),
    body: faults
      ? { detail: faults }
      : {
          ...error.details,
          detail: error.message,
          code: error.code,
          request_id: context.get('request').id,
          ...(error.locations && { errors: error.locations }),
        },
  })
}

function faultsOf(error: AppError): unknown {
  if (error.code === 'invalid_json') {
    const { position = 0, reason = error.message } = error.details ?? {}
    const fault = { type: 'json_invalid', loc: ['body', position], msg: 'JSON decode error', input: {} }
    return [{ ...fault, ctx: { error: reason } }]
  }
  if (error.code !== 'invalid_request') return undefined
  if (error.details?.faults) return error.details.faults
  // What the run refuses of the body, such as more steps than the agent allows.
  const places = error.locations?.filter(({ path }) => path[0] === 'body' || path[0] === 'query')
  return places?.length ? places.map(({ path, message }) => toValueFault(path, message)) : undefined
}

function toValueFault(loc: (string | number)[], msg: string): Fault {
  return { type: 'value_error', loc, msg, input: null }
}

function toFault(issue: z.core.$ZodIssue, root: string, value: unknown): Fault {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)))
  const loc = [root, ...path]
  if (issue.code === 'invalid_type' && issue.input === undefined && path.length > 0) {
    return { type: 'missing', loc, msg: 'Field required', input: root === 'query' ? null : shown(value) }
  }
  return { loc, input: shown(issue.input), ...wordingOf(issue) }
}

/** What was wrong, as FastAPI repeats it; nothing where that would be long. */
function shown(input: unknown): unknown {
  return JSON.stringify(input ?? null).length > maxShownInput ? null : (input ?? null)
}

const maxShownInput = 1000

function wordingOf(issue: z.core.$ZodIssue): Pick<Fault, 'type' | 'msg' | 'ctx'> {
  switch (issue.code) {
    case 'invalid_type':
      return typeWordings[issue.expected] ?? { type: 'value_error', msg: issue.message }
    case 'too_big': {
      if (issue.origin === 'string') return longWording(issue.maximum)
      const le = Number(issue.maximum)
      return { type: 'less_than_equal', msg: `Input should be less than or equal to ${le}`, ctx: { le } }
    }
    case 'too_small': {
      if (issue.origin === 'string') return shortWording(issue.minimum)
      const ge = Number(issue.minimum)
      return {
        type: 'greater_than_equal',
        msg: `Input should be greater than or equal to ${ge}`,
        ctx: { ge },
      }
    }
    case 'invalid_format':
      return { type: 'int_parsing', msg: issue.message }
    case 'invalid_value':
      return { type: 'bool_parsing', msg: issue.message }
    default:
      return { type: 'value_error', msg: issue.message }
  }
}

const typeWordings: Record<string, { type: string; msg: string }> = {
  string: { type: 'string_type', msg: 'Input should be a valid string' },
  number: { type: 'float_type', msg: 'Input should be a valid number' },
  int: { type: 'int_type', msg: 'Input should be a valid integer' },
  boolean: { type: 'bool_type', msg: 'Input should be a valid boolean' },
  object: {
    type: 'model_attributes_type',
    msg: 'Input should be a valid dictionary or object to extract fields from',
  },
}

function longWording(maximum: number | bigint) {
  const msg = `String should have at most ${maximum} characters`
  return { type: 'string_too_long', msg, ctx: { max_length: Number(maximum) } }
}

function shortWording(minimum: number | bigint) {
  const plural = Number(minimum) === 1 ? '' : 's'
  const msg = `String should have at least ${minimum} character${plural}`
  return { type: 'string_too_short', msg, ctx: { min_length: Number(minimum) } }
}
