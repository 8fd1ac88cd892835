import type { FilterContext, HookContext, Hooks, Refusal, TextFilter } from '../agent/hooks.ts'
import { textOf, type Item, type MessageItem, type ModelItem, type Part } from '../items.ts'
import type { ModelRequest } from '../models/model.ts'
import { normalise } from './folded-text.ts'
import { createPatternFilter, someMatch, toSearches } from './pattern-filter.ts'
import { refuseContent } from './refusal.ts'
import { createTextScanner, findMatch, replaceMatches } from './text-scanner.ts'
import { createWordMatcher } from './word-matcher.ts'

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
  isDenied(text: string): boolean
  /** The text with what is denied blacked out. */
  mask(text: string): string
  /** Passes text on until something denied comes. */
  filter(onDenied: () => void): TextFilter[]
  message: string
}

const blackout = '███'

/**
 * Refuses requests and replies that hold one of the words or match one of the patterns. A refused message stays in the
 * conversation; later runs send it to the model with what is denied blacked out; a refused reply is shown as far as it goes before the
 * word. Looks at messages and reasoning, not at tools' arguments and results.
 */
export function denyList(options: DenyListOptions): Hooks {
  const list = toDenyList(options)
  const hooks: Hooks = {}
  if (options.input ?? true) {
    const isDenied = createItemCheck(list)
    hooks.beforeModel = (request, context) => checkRequest({ request, context, isDenied, list })
  }
  if (options.output ?? true) {
    hooks.filterText = (_kind, context) => filterReply(list, context)
    // What a pattern says of more than a filter sees at once: too late not to show it.
    hooks.afterModel = ({ items }) =>
      items.some((item) => list.isDenied(replyText(item))) ? refuseContent(list.message) : undefined
  }
  return hooks
}

function toDenyList(options: DenyListOptions): DenyList {
  const { words = [], patterns = [], maxPatternChars = 64 } = options
  const message = options.message ?? 'This content is not allowed here.'
  if (words.length === 0 && patterns.length === 0)
    throw new TypeError('denyList: there are no words and no patterns')
  if (!(maxPatternChars >= 1)) throw new TypeError('denyList: maxPatternChars must be a number from 1 on')
  const matcher = createWordMatcher(words)
  const searches = toSearches(patterns)
  return {
    message,
    isDenied: (text) => findMatch(text, matcher) !== undefined || someMatch(searches, normalise(text)),
    mask(text) {
      const masked = replaceMatches(text, { matchers: [['word', matcher]], onMatch: () => blackout })
      if (!someMatch(searches, normalise(masked))) return masked
      return searches.reduce((rest, search) => rest.replace(search, blackout), normalise(masked))
    },
    filter(onDenied) {
      const onMatch = () => {
        onDenied()
        return null
      }
      const filters: TextFilter[] = []
      if (words.length > 0) filters.push(createTextScanner({ matchers: [['word', matcher]], onMatch }))
      if (patterns.length > 0)
        filters.push(createPatternFilter({ searches, maxChars: maxPatternChars, onMatch }))
      return filters
    },
  }
}

function checkRequest(input: {
  request: ModelRequest
  context: HookContext
  isDenied: (item: MessageItem) => boolean
  list: DenyList
}): ModelRequest | Refusal | undefined {
  const { request, context, isDenied, list } = input
  const own = new Set(context.input.map(({ id }) => id))
  let changed = false
  const items: ModelItem[] = []
  for (const item of request.items) {
    const denied = item.type === 'message' && item.role !== 'assistant' && isDenied(item)
    if (denied && own.has(item.id)) return refuseContent(list.message)
    changed ||= denied
    items.push(denied ? maskMessage(item, list) : item)
  }
  return changed ? { ...request, items } : undefined
}

function isDeniedMessage(item: MessageItem, list: DenyList): boolean {
  return (
    item.content.some((part) => part.type === 'text' && list.isDenied(part.text)) ||
    list.isDenied(textOf(item))
  )
}

function maskMessage(item: MessageItem, list: DenyList): MessageItem {
  const content = item.content.map((part): Part =>
    part.type === 'text' ? { ...part, text: list.mask(part.text) } : part,
  )
  const masked = { ...item, content }
  if (!list.isDenied(textOf(masked))) return masked
  // A word that goes on from one part to the next.
  const rest = content.filter(({ type }) => type !== 'text')
  return { ...item, content: [{ type: 'text', text: list.mask(textOf(masked)) }, ...rest] }
}

/** The items of a run come again with each step: each is looked at once. */
function createItemCheck(list: DenyList): (item: MessageItem) => boolean {
  const known = new WeakMap<MessageItem, boolean>()
  return (item) => {
    const denied = known.get(item) ?? isDeniedMessage(item, list)
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
