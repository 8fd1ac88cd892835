import { redact, redactCut } from '../secrets.ts'
import type { SafeResponse } from './safe-fetch.ts'

const textTypes =
  /^(?:text\/.*|application\/(?:.*\+)?(?:json|xml|yaml|x-yaml|x-ndjson|ndjson|jsonl|javascript|graphql|x-www-form-urlencoded|toml|sql)|image\/svg\+xml|multipart\/.*|message\/.*)$/

/** The body in words, without the secrets, also one that was cut. Undefined: it is nothing that a model could read. */
export function textOf({ headers, body, cut }: SafeResponse, secrets: readonly string[]): string | undefined {
  const [type = '', ...parameters] = (headers['content-type'] ?? '').toLowerCase().split(';')
  const isText = type.trim() === '' ? !body.subarray(0, 1024).includes(0) : textTypes.test(type.trim())
  if (body.length === 0) return ''
  if (!isText) return undefined
  // Where the end is cut off, half a character goes with it.
  const text = decoderFor(parameters).decode(body, { stream: cut })
  return cut ? redactCut(text, secrets) : redact(text, secrets)
}

function decoderFor(parameters: readonly string[]): TextDecoder {
  const charset = parameters
    .map((parameter) => /^\s*charset\s*=\s*"?([^"]*)"?\s*$/.exec(parameter)?.[1])
    .find(Boolean)
  try {
    return new TextDecoder(charset)
  } catch {
    // A name nobody knows: most of what is sent is UTF-8.
    return new TextDecoder()
  }
}
