import { AppError } from '../errors.ts'
import { isValidHeader } from '../headers.ts'
import { redact, redactWithin, secretsIn } from '../secrets.ts'

interface Access {
  apiKey?: string
  headers?: Record<string, string>
}

/** What must not be seen in any error, even where a provider repeats it. */
export function secretsOf({ apiKey = '', headers = {} }: Access): readonly string[] {
  return secretsIn([apiKey, ...Object.values(headers)])
}

/** Providers repeat the key they refuse; what they said is kept as the cause, without it. */
export function blotSecrets(error: unknown, secrets: readonly string[]): void {
  if (!AppError.is(error) || !(error.cause instanceof Error)) return
  const { cause } = error
  cause.message = redact(cause.message, secrets)
  if (cause.stack !== undefined) cause.stack = redact(cause.stack, secrets)
  if ('provider' in cause) cause.provider = redactWithin(cause.provider, secrets)
}

/** Throws `model_not_configured` where HTTP cannot carry the header. The message holds nothing of it. */
export function checkHeader(name: string, value: string): void {
  if (isValidHeader(name, value)) return
  const message = 'The key or a header of a model provider holds characters that cannot be sent.'
  throw new AppError('model_not_configured', { message })
}
