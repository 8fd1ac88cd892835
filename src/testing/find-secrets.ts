import { readVariables } from '../config.ts'
import { keysAmong } from '../secrets.ts'
import type { RecordedCall } from './model-fixture.ts'

/**
 * Where a recorded call holds what looks like a key, or a secret of the environment or of `.env`: the value of a variable that
 * is named like one, also of a list with commas, or the password of a URL. A net, not a proof: requests hold no keys of ours,
 * but a tool may have answered with one. The places, never the values.
 */
export function findSecrets(
  call: RecordedCall,
  variables: Iterable<readonly [name: string, value: string]> = readVariables(),
): string[] {
  const known = [...variables].flatMap(([name, value]) =>
    keysAmong([[name, value]])
      .flatMap((secret) => [secret, ...secret.split(',')])
      .map((secret) => ({ name, secret: secret.trim() }))
      .filter(({ secret }) => isLikeAKey(secret)),
  )
  return textsOf(call).flatMap(({ path, text }) => {
    const variable = known.find(({ secret }) => text.includes(secret))
    if (variable) return [`${path} holds the secret of ${variable.name}`]
    const form = forms.find(({ pattern }) => pattern.test(text))
    return form ? [`${path} holds what looks like ${form.name}`] : []
  })
}

/** What is shorter or without digits may be a word that stands anywhere. */
function isLikeAKey(value: string): boolean {
  return value.length >= 12 && /\d/.test(value)
}

const forms = [
  { name: 'a key of a model provider', pattern: /\bsk-[\w-]{20,}|\bAIza[\w-]{35}/ },
  { name: 'a token of GitHub', pattern: /\bgh[pousr]_\w{36}|\bgithub_pat_\w{30,}/ },
  { name: 'a key of AWS', pattern: /\bAKIA[A-Z0-9]{16}\b/ },
  { name: 'a signed token', pattern: /\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}/ },
  { name: 'a private key', pattern: /-----BEGIN [A-Z ]*PRIVATE KEY-----/ },
]

interface PlacedText {
  path: string
  text: string
}

/** Every text of the call; those of a reply that came in pieces put together again. */
function textsOf({ request, parts, end }: RecordedCall): PlacedText[] {
  const streams = new Map<string, string>()
  for (const part of parts) {
    if (!('delta' in part)) continue
    const path =
      part.type === 'tool_input' ? `arguments of tool call ${part.index}` : `the reply's ${part.type}`
    streams.set(path, (streams.get(path) ?? '') + part.delta)
  }
  const whole = parts.filter((part) => !('delta' in part))
  const rest = textsWithin({ ...request, parts: whole, end }, '')
  return [...rest, ...[...streams].map(([path, text]) => ({ path, text }))]
}

function textsWithin(value: unknown, path: string): PlacedText[] {
  if (typeof value === 'string') return [{ path, text: value }]
  if (Array.isArray(value)) return value.flatMap((one, i) => textsWithin(one, `${path}[${i}]`))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, one]) => textsWithin(one, path === '' ? key : `${path}.${key}`))
}
