import { z } from 'zod'
import type { Hooks } from '../agent/hooks.ts'
import type { MessageItem, ModelItem, Part } from '../items.ts'
import type { ModelRequest } from '../models/model.ts'
import { functionSchema, parseDefinition } from '../parse-definition.ts'
import { cardStarts, matchCard } from './card.ts'
import { emailStarts, matchEmail } from './email.ts'
import { ibanStarts, matchIban } from './iban.ts'
import { matchPhone, phoneStarts } from './phone.ts'
import { createTextCache } from './text-cache.ts'
import {
  createPace,
  createTextScanner,
  replaceMatches,
  replaceMatchesPaced,
  type Pace,
  type Search,
  type TextScannerOptions,
} from './text-scanner.ts'

const kindNames = ['email', 'iban', 'card', 'phone'] as const

export type PiiKind = (typeof kindNames)[number]

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

const optionsSchema = z.strictObject({
  kinds: z.array(z.enum(kindNames)).min(1, 'name at least one kind').optional(),
  input: z.boolean().optional(),
  output: z.boolean().optional(),
  replacement: functionSchema.optional(),
})
const textOptionsSchema = optionsSchema.pick({ kinds: true, replacement: true })

/** In the order that decides where several begin at the same place: an address may begin with a number. */
const allSearches: readonly Search<PiiKind>[] = [
  { kind: 'email', starts: emailStarts, match: matchEmail },
  { kind: 'iban', starts: ibanStarts, match: matchIban },
  { kind: 'card', starts: cardStarts, match: matchCard },
  { kind: 'phone', starts: phoneStarts, match: matchPhone },
]

/** A text is redacted, in slices where it is long. */
type Redact = (text: string) => string | Promise<string>

/**
 * Hooks that keep personal data from the model, from clients and from the store.
 *
 * Input: before each model call, in messages, tool results and the arguments of earlier tool calls; what is stored stays as it
 * came. Output: in text and reasoning while they are streamed, so that what is shown, stored and replayed is the same; held
 * back is only a word or number that may still become a match, at most some 320 characters. A tool gets its arguments as the
 * model wrote them.
 *
 * Throws a `DefinitionError` on what is not one of its options.
 */
export function redactPii(options: RedactPiiOptions = {}): Hooks {
  parseDefinition({ what: 'redactPii', schema: optionsSchema, options })
  const hooks: Hooks = {}
  if (options.input ?? true) {
    const redactItem = createItemRedaction(toScannerOptions(options))
    hooks.beforeModel = (request, { signal }) => {
      const pace = createPace(signal)
      return redactRequest(request, (item) => redactItem(item, pace))
    }
  }
  if (options.output ?? true) hooks.filterText = () => createTextScanner(toScannerOptions(options))
  return hooks
}

/** A text as `redactPii` would have it. Throws a `DefinitionError` as it does. */
export function redactText(
  text: string,
  options: Pick<RedactPiiOptions, 'kinds' | 'replacement'> = {},
): string {
  parseDefinition({ what: 'redactText', schema: textOptionsSchema, options })
  return replaceMatches(text, toScannerOptions(options))
}

function toScannerOptions({
  kinds,
  replacement = (kind) => `[${kind}]`,
}: RedactPiiOptions): TextScannerOptions<PiiKind> {
  const searches = allSearches.filter(({ kind }) => kinds === undefined || kinds.includes(kind))
  return { searches, onMatch: replacement }
}

async function redactRequest(
  request: ModelRequest,
  redactItem: (item: ModelItem) => Promise<ModelItem>,
): Promise<ModelRequest | undefined> {
  const items: ModelItem[] = []
  for (const item of request.items) items.push(await redactItem(item))
  return items.some((item, i) => item !== request.items[i]) ? { ...request, items } : undefined
}

/**
 * Gives the same item where nothing changes. The items of a run come again with each step, long texts of the conversation with
 * each turn: each is redacted once.
 */
function createItemRedaction(
  options: TextScannerOptions<PiiKind>,
): (item: ModelItem, pace: Pace) => Promise<ModelItem> {
  const known = new WeakMap<ModelItem, ModelItem>()
  const texts = createTextCache()
  return async (item, pace) => {
    const before = known.get(item)
    if (before) return before
    const redacted = await redactItem(item, (text) => {
      const result = texts.get(text)
      if (result !== undefined) return result
      return replaceMatchesPaced(text, { ...options, pace }).then((made) => texts.add(text, made))
    })
    known.set(item, redacted)
    return redacted
  }
}

async function redactItem(item: ModelItem, redact: Redact): Promise<ModelItem> {
  switch (item.type) {
    case 'message':
      return redactMessage(item, redact)
    case 'tool_call': {
      const text = await redactArguments(item.arguments, redact)
      return text === item.arguments ? item : withoutProvider({ ...item, arguments: text })
    }
    case 'tool_result': {
      const output = await redact(item.output)
      if (output === item.output) return item
      const { error } = item
      if (!error) return { ...item, output }
      return { ...item, output, error: { ...error, message: await redact(error.message) } }
    }
    case 'reasoning':
      // The model wrote it, from what was redacted; changed, the provider that sealed it would refuse it.
      return item
    default:
      return item satisfies never
  }
}

async function redactMessage(item: MessageItem, redact: Redact): Promise<MessageItem> {
  let changed = false
  const content: Part[] = []
  for (const part of item.content) {
    const text = part.type === 'text' ? await redact(part.text) : ''
    const isSame = part.type !== 'text' || text === part.text
    changed ||= !isSame
    content.push(isSame ? part : { ...part, text })
  }
  return changed ? withoutProvider({ ...item, content }) : item
}

/** What the provider knows an item by may stand for the text it had. */
function withoutProvider<T extends { provider?: unknown }>(item: T): T {
  const { provider: _provider, ...rest } = item
  // Only an optional field is gone.
  return rest as T
}

/** Arguments stay JSON where they are JSON: a number that is redacted becomes a string. */
async function redactArguments(text: string, redact: Redact): Promise<string> {
  const redacted = await redact(text)
  if (redacted === text) return text
  try {
    const value: unknown = JSON.parse(text)
    return JSON.stringify(await redactValue(value, redact))
  } catch {
    // Not JSON, or too deep to walk: text like any other.
    return redacted
  }
}

async function redactValue(value: unknown, redact: Redact): Promise<unknown> {
  if (typeof value === 'string') return redact(value)
  if (typeof value === 'number') {
    const text = String(value)
    const redacted = await redact(text)
    return redacted === text ? value : redacted
  }
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    const values: unknown[] = []
    for (const one of value) values.push(await redactValue(one, redact))
    return values
  }
  const fields: [string, unknown][] = []
  for (const [name, one] of Object.entries(value))
    fields.push([await redact(name), await redactValue(one, redact)])
  return Object.fromEntries(fields)
}
