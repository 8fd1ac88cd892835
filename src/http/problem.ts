import { errorCodes, type AppError } from '../errors.ts'
import type { HttpContext } from './request.ts'
import { errorHeaders, sendJson } from './respond.ts'

/** How a surface words an error that is its answer. */
export type RenderError = (error: AppError, context: HttpContext) => Response

/** RFC 9457 `application/problem+json`: the error shape of the native API and of all that belongs to no protocol. */
export const renderProblem: RenderError = (error, context) =>
  sendJson(context, {
    status: error.status,
    type: 'application/problem+json',
    headers: errorHeaders(error),
    body: {
      ...error.details,
      type: 'about:blank',
      title: errorCodes[error.code].title,
      status: error.status,
      detail: error.message,
      code: error.code,
      request_id: context.get('request').id,
      retryable: error.retryable,
      ...(error.locations && { errors: error.locations }),
    },
  })
