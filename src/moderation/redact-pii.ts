import type { Hooks } from '../agent/hooks.ts'
import type { MessageItem, ModelItem, Part } from '../items.ts'
import type { ModelRequest } from '../models/model.ts'
import { matchCard } from './card.ts'
import { matchEmail } from './email.ts'
import { matchIban } from './iban.ts'
import { matchPhone } from './phone.ts'
import { createTextScanner, replaceMatches, type Matcher, type TextScannerOptions } from './text-scanner.ts'

export type PiiKind = 'email' | 'iban' | 'card' | 'phone'

export interface RedactPiiOptions {
  /** Default: all. */
  kinds?: readonly PiiKind[]
  /** Redact what the model reads. Default true. */
  input?: boolean
  /** Redact what the model writes, before anybody sees it. Default true. */
  output?: boolean
  /** What stands instead; `match` itself lets it stand. Default: `[email]`, `[iban]`, `[card]`, `[phone]`. */
  replacement?: (kind: PiiKind, match: string) => string
}

/** In the order that decides where several begin at the same place: an address may begin with a number. */
const matchersByKind: readonly (readonly [PiiKind, Matcher])[] = [
  ['email', matchEmail],
  ['iban', matchIban],
  ['card', matchCard],
  ['phone', matchPhone],
]

/**
 * Hooks that keep personal data from the model, from clients and from the store.
 *
 * Input: before each model call, in messages, tool results and the arguments of earlier tool calls; what is stored stays as it
 * came. Output: in text and reasoning while they are streamed, so that what is shown, stored and replayed is the same; held
 * back is only a word or number that may still become a match, at most some 320 characters. A tool gets its arguments as the
 * model wrote them.
 */
export function redactPii(options: RedactPiiOptions = {}): Hooks {
  const hooks: Hooks = {}
  if (options.input ?? true) {
    const redactItem = createItemRedaction((text) => redactText(text, options))
    hooks.beforeModel = (request) => redactRequest(request, redactItem)
  }
  if (options.output ?? true) hooks.filterText = () => createTextScanner(toScannerOptions(options))
  return hooks
}

/** A text as `redactPii` would have it. */
export function redactText(
  text: string,
  options: Pick<RedactPiiOptions, 'kinds' | 'replacement'> = {},
): string {
  return replaceMatches(text, toScannerOptions(options))
}

function toScannerOptions({
  kinds,
  replacement = (kind) => `[${kind}]`,
}: RedactPiiOptions): TextScannerOptions<PiiKind> {
  const matchers = matchersByKind.filter(([kind]) => kinds === undefined || kinds.includes(kind))
  return { matchers, onMatch: replacement }
}

function redactRequest(
  request: ModelRequest,
  redactItem: (item: ModelItem) => ModelItem,
): ModelRequest | undefined {
  const items = request.items.map(redactItem)
  return items.some((item, i) => item !== request.items[i]) ? { ...request, items } : undefined
}

/** Gives the same item where nothing changes. The items of a run come again with each step: each is redacted once. */
function createItemRedaction(redact: (text: string) => string): (item: ModelItem) => ModelItem {
  const known = new WeakMap<ModelItem, ModelItem>()
  return (item) => {
    const redacted = known.get(item) ?? redactItem(item, redact)
    known.set(item, redacted)
    return redacted
  }
}

function redactItem(item: ModelItem, redact: (text: string) => string): ModelItem {
  switch (item.type) {
    case 'message':
      return redactMessage(item, redact)
    case 'tool_call': {
      const text = redactArguments(item.arguments, redact)
      return text === item.arguments ? item : withoutProvider({ ...item, arguments: text })
    }
    case 'tool_result': {
      const output = redact(item.output)
      if (output === item.output) return item
      const { error } = item
      return { ...item, output, ...(error ? { error: { ...error, message: redact(error.message) } } : {}) }
    }
    case 'reasoning':
      // The model wrote it, from what was redacted; changed, the provider that sealed it would refuse it.
      return item
    default:
      return item satisfies never
  }
}

function redactMessage(item: MessageItem, redact: (text: string) => string): MessageItem {
  let changed = false
  const content = item.content.map((part): Part => {
    if (part.type !== 'text') return part
    const text = redact(part.text)
    changed ||= text !== part.text
    return text === part.text ? part : { ...part, text }
  })
  return changed ? withoutProvider({ ...item, content }) : item
}

/** What the provider knows an item by may stand for the text it had. */
function withoutProvider<T extends { provider?: unknown }>(item: T): T {
  const { provider: _provider, ...rest } = item
  // Only an optional field is gone.
  return rest as T
}

/** Arguments stay JSON where they are JSON: a number that is redacted becomes a string. */
function redactArguments(text: string, redact: (text: string) => string): string {
  if (redact(text) === text) return text
  try {
    const value: unknown = JSON.parse(text)
    return JSON.stringify(redactValue(value, redact))
  } catch {
    // Not JSON, or too deep to walk: text like any other.
    return redact(text)
  }
}

function redactValue(value: unknown, redact: (text: string) => string): unknown {
  if (typeof value === 'string') return redact(value)
  if (typeof value === 'number') {
    const text = String(value)
    const redacted = redact(text)
    return redacted === text ? value : redacted
  }
  if (Array.isArray(value)) return value.map((one) => redactValue(one, redact))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [redact(name), redactValue(one, redact)]),
  )
}
