import { z } from 'zod'
import type { FilterContext, HookContext, Hooks, Refusal, TextFilter } from '../agent/hooks.ts'
import { textOf, type Item, type MessageItem, type ModelItem, type Part } from '../items.ts'
import type { ModelRequest } from '../models/model.ts'
import { parseDefinition } from '../parse-definition.ts'
import { normalise } from './folded-text.ts'
import { createPatternFilter, someMatch, toSearches } from './pattern-filter.ts'
import { refuseContent } from './refusal.ts'
import { createPace, createTextScanner, hasMatch, replaceMatchesPaced, type Pace } from './text-scanner.ts'
import { createWordSearch, squeeze } from './word-matcher.ts'

export interface DenyListOptions {
  /** Words and phrases: matched as a whole, in any case and Unicode spelling. */
  words?: readonly string[]
  /**
   * For what is not a word. They are matched against text in NFKC without invisible characters, on the thread that serves
   * everybody, against what strangers write: one with nested or overlapping repetitions (`(a+)+`) lets a single message stop
   * the server. Keep them linear.
   */
  patterns?: readonly RegExp[]
  /** The longest text a pattern matches: so much of a reply is held back while it is streamed. Default 64. */
  maxPatternChars?: number
  /** Refuse requests. Default true. */
  input?: boolean
  /** Refuse replies. Default true. */
  output?: boolean
  /** What the caller is told. Never names what was found. */
  message?: string
}

interface DenyList {
  isDenied(text: string, pace: Pace): Promise<boolean>
  /** The text with what is denied blacked out. */
  mask(text: string, pace: Pace): Promise<string>
  /** Passes text on until something denied comes. */
  filter(onDenied: () => void): TextFilter[]
  message: string
}

const optionsSchema = z
  .strictObject({
    words: z.array(z.string()).optional(),
    patterns: z.array(z.instanceof(RegExp, { error: 'must be a regular expression' })).optional(),
    maxPatternChars: z.int().min(1).optional(),
    input: z.boolean().optional(),
    output: z.boolean().optional(),
    message: z.string().optional(),
  })
  .refine(
    ({ words = [], patterns = [] }) => words.length + patterns.length > 0,
    'there are no words and no patterns',
  )

const blackout = '███'

/**
 * Refuses requests and replies that hold one of the words or match one of the patterns. A refused message stays in the
 * conversation; later runs send it to the model with what is denied blacked out; a refused reply is shown as far as it goes before the
 * word. Looks at messages, at the request's own instructions and at reasoning, not at tools' arguments and results.
 * Throws a `DefinitionError` on what is not one of its options.
 */
export function denyList(options: DenyListOptions): Hooks {
  parseDefinition({ what: 'denyList', schema: optionsSchema, options })
  const list = toDenyList(options)
  const hooks: Hooks = {}
  if (options.input ?? true) {
    const isDenied = createItemCheck(list)
    hooks.beforeModel = (request, context) => checkRequest({ request, context, isDenied, list })
  }
  if (options.output ?? true) {
    hooks.filterText = (_kind, context) => filterReply(list, context)
    // What a pattern says of more than a filter sees at once: too late not to show it.
    hooks.afterModel = async ({ items }, { signal }) => {
      const pace = createPace(signal)
      for (const item of items)
        if (await list.isDenied(replyText(item), pace)) return refuseContent(list.message)
      return undefined
    }
  }
  return hooks
}

function toDenyList(options: DenyListOptions): DenyList {
  const { words = [], patterns = [], maxPatternChars = 64 } = options
  const message = options.message ?? 'This content is not allowed here.'
  const search = createWordSearch(words)
  const searches = toSearches(patterns)
  const hasWord = async (text: string, pace: Pace) =>
    words.length > 0 && hasMatch(text, { search, pace, prepare: squeeze })
  return {
    message,
    async isDenied(text, pace) {
      if (await hasWord(text, pace)) return true
      return searches.length > 0 && someMatch(searches, normalise(text))
    },
    async mask(text, pace) {
      const options = { searches: [search], onMatch: () => blackout, pace }
      let masked = await replaceMatchesPaced(text, options)
      if (await hasWord(masked, pace))
        masked = await replaceMatchesPaced(text, { ...options, prepare: squeeze })
      if (!someMatch(searches, normalise(masked))) return masked
      return searches.reduce((rest, pattern) => rest.replace(pattern, blackout), normalise(masked))
    },
    filter(onDenied) {
      const onMatch = () => {
        onDenied()
        return null
      }
      const filters: TextFilter[] = []
      if (words.length > 0) filters.push(createTextScanner({ searches: [search], onMatch }))
      if (patterns.length > 0)
        filters.push(createPatternFilter({ searches, maxChars: maxPatternChars, onMatch }))
      return filters
    },
  }
}

async function checkRequest(input: {
  request: ModelRequest
  context: HookContext
  isDenied: (item: MessageItem, pace: Pace) => Promise<boolean>
  list: DenyList
}): Promise<ModelRequest | Refusal | undefined> {
  const { request, context, isDenied, list } = input
  const pace = createPace(context.signal)
  if (await list.isDenied(context.instructions ?? '', pace)) return refuseContent(list.message)
  const own = new Set(context.input.map(({ id }) => id))
  let earlier: ReadonlySet<string> | undefined
  let changed = false
  const items: ModelItem[] = []
  for (const item of request.items) {
    if (item.type !== 'message' || !(await isDenied(item, pace))) {
      items.push(item)
      continue
    }
    if (own.has(item.id)) return refuseContent(list.message)
    // What a model said is no input; a caller may have made up that it did.
    const isInput = item.role !== 'assistant' || (earlier ??= await idsOfEarlier(context)).has(item.id)
    changed ||= isInput
    items.push(isInput ? await maskMessage(item, list, pace) : item)
  }
  return changed ? { ...request, items } : undefined
}

async function idsOfEarlier({ earlierInput }: HookContext): Promise<ReadonlySet<string>> {
  return new Set((await earlierInput()).flat().map(({ id }) => id))
}

async function isDeniedMessage(item: MessageItem, list: DenyList, pace: Pace): Promise<boolean> {
  const texts = item.content.flatMap((part) => (part.type === 'text' ? [part.text] : []))
  for (const text of texts) if (await list.isDenied(text, pace)) return true
  return texts.length > 1 && list.isDenied(textOf(item), pace)
}

async function maskMessage(item: MessageItem, list: DenyList, pace: Pace): Promise<MessageItem> {
  const content: Part[] = []
  for (const part of item.content)
    content.push(part.type === 'text' ? { ...part, text: await list.mask(part.text, pace) } : part)
  const masked = { ...item, content }
  if (!(await list.isDenied(textOf(masked), pace))) return masked
  // A word that goes on from one part to the next.
  const rest = content.filter(({ type }) => type !== 'text')
  return { ...item, content: [{ type: 'text', text: await list.mask(textOf(masked), pace) }, ...rest] }
}

/** The items of a run come again with each step: each is looked at once. */
function createItemCheck(list: DenyList): (item: MessageItem, pace: Pace) => Promise<boolean> {
  const known = new WeakMap<MessageItem, boolean>()
  return async (item, pace) => {
    const denied = known.get(item) ?? (await isDeniedMessage(item, list, pace))
    known.set(item, denied)
    return denied
  }
}

/** Words first, then patterns. */
function filterReply(list: DenyList, context: FilterContext): TextFilter {
  const filters = list.filter(() => context.refuse(list.message))
  return {
    push: (delta) => filters.reduce((text, filter) => filter.push(text), delta),
    end: () => filters.reduce((tail, filter) => filter.push(tail) + filter.end(), ''),
  }
}

function replyText(item: Item): string {
  if (item.type === 'message') return textOf(item)
  return item.type === 'reasoning' ? item.text : ''
}
