import type { RecordedCall } from './model-fixture.ts'

/**
 * Where a recorded call holds what looks like a key, or the value of a variable of this process that is named like one. A
 * net, not a proof: requests hold no keys of ours, but a tool may have answered with one. The places, never the values.
 */
export function findSecrets(
  call: RecordedCall,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string[] {
  const known = Object.entries(environment).flatMap(([name, value]) =>
    secretName.test(name) && value !== undefined && isLikeAKey(value) ? [{ name, value }] : [],
  )
  return textsOf(call).flatMap(({ path, text }) => {
    const variable = known.find(({ value }) => text.includes(value))
    if (variable) return [`${path} holds the value of ${variable.name}`]
    const form = forms.find(({ pattern }) => pattern.test(text))
    return form ? [`${path} holds what looks like ${form.name}`] : []
  })
}

const secretName = /(?:KEY|TOKEN|SECRET|PASSWORD)$/i

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
