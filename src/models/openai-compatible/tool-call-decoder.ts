import { AppError } from '../../errors.ts'
import type { ModelPart } from '../model.ts'
import { maxReplyCalls } from '../reply-limits.ts'
import { toJson } from '../to-json.ts'
import { WholeCharacters } from '../whole-characters.ts'

/**
 * Puts the tool calls of one reply together from what servers send: one call over many deltas, several interleaved by
 * `index`, whole calls in one delta, calls without an index or an id, one index for all calls, ids and names repeated in
 * every delta, arguments as an object, and a last chunk that says everything once more.
 */
export class ToolCallDecoder {
  readonly #emit: (part: ModelPart) => void
  readonly #calls: PendingCall[] = []
  readonly #byIndex = new Map<number, PendingCall>()
  /** The latest call of each id. */
  readonly #byId = new Map<string, PendingCall>()

  constructor(emit: (part: ModelPart) => void) {
    this.#emit = emit
  }

  get count(): number {
    return this.#calls.length
  }

  /** The `tool_calls` of a delta or of a whole message. */
  push(entries: readonly unknown[]): void {
    if (entries.length > maxReplyCalls) throw tooMany()
    for (let i = 0; i < entries.length; i++) {
      const entry = readEntry(entries[i])
      if (entry) this.#add(this.#callOf(entry, i, entries.length), entry)
    }
  }

  /** The `function_call` of servers that know no `tool_calls`: there is one at most. */
  pushLegacy(functionCall: unknown): void {
    const entry = readEntry({ index: 0, function: functionCall })
    if (entry) this.#add(this.#byIndex.get(0) ?? this.#open(0), entry)
  }

  /** The reply is whole. Throws `model_bad_response` where a call has no name. */
  end(): void {
    for (const call of this.#calls) {
      if (call.name === '') {
        throw new AppError('model_bad_response', { cause: new Error('a tool call has no name') })
      }
      this.#emitInput(call, call.characters.flush())
    }
  }

  #callOf(entry: Entry, position: number, count: number): PendingCall {
    const { index, id } = entry
    if (index !== undefined) {
      const call = this.#byIndex.get(index)
      return call && !isAnother(call, entry) ? call : this.#open(index)
    }
    const call = id === '' ? this.#unnumbered(entry, position, count) : this.#byId.get(id)
    return call && !isAnother(call, entry) ? call : this.#open(undefined)
  }

  /** Without index and id: bare arguments go on with the call at their place, a name may begin the next call. */
  #unnumbered(entry: Entry, position: number, count: number): PendingCall | undefined {
    if (entry.name === '') return count > 1 ? this.#calls[position] : this.#calls.at(-1)
    const last = this.#calls.at(-1)
    return position > 0 || last?.name !== entry.name ? undefined : last
  }

  #open(index: number | undefined): PendingCall {
    if (this.#calls.length === maxReplyCalls) throw tooMany()
    const call: PendingCall = {
      index: this.#calls.length,
      id: '',
      name: '',
      text: '',
      early: '',
      end: new ObjectEnd(),
      characters: new WholeCharacters(),
    }
    this.#calls.push(call)
    if (index !== undefined) this.#byIndex.set(index, call)
    return call
  }

  #add(call: PendingCall, entry: Entry): void {
    if (call.id === '' && entry.id !== '') {
      call.id = entry.id
      this.#byId.set(entry.id, call)
    }
    if (call.name === '' && entry.name !== '') {
      call.name = entry.name
      this.#emit({ type: 'tool_call', index: call.index, name: call.name })
      const { early } = call
      call.early = ''
      this.#emitInput(call, early)
    }
    const { text } = entry
    if (text === '' || (call.end.reached && repeats(call, text))) return
    call.text += text
    call.end.scan(text)
    this.#emitInput(call, call.characters.take(text))
  }

  #emitInput(call: PendingCall, delta: string): void {
    if (delta === '') return
    if (call.name === '') call.early += delta
    else this.#emit({ type: 'tool_input', index: call.index, delta })
  }
}

function tooMany(): AppError {
  return new AppError('model_bad_response', {
    cause: new Error(`more than ${maxReplyCalls} tool calls in a reply`),
  })
}

interface PendingCall {
  /** Ours: the place among the calls of the reply. */
  readonly index: number
  /** The provider's, empty while it gave none. */
  id: string
  name: string
  /** All arguments so far. */
  text: string
  /** Arguments that came before the name. */
  early: string
  readonly end: ObjectEnd
  readonly characters: WholeCharacters
}

interface Entry {
  index: number | undefined
  id: string
  name: string
  text: string
}

function readEntry(value: unknown): Entry | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { index, id, function: fn } = value as { index?: unknown; id?: unknown; function?: unknown }
  const body = typeof fn === 'object' && fn !== null ? (fn as { name?: unknown; arguments?: unknown }) : {}
  return {
    index: typeof index === 'number' ? index : undefined,
    id: typeof id === 'string' ? id : '',
    name: typeof body.name === 'string' ? body.name : '',
    text: toText(body.arguments),
  }
}

function toText(value: unknown): string {
  if (typeof value === 'string') return value
  if (value === undefined || value === null) return ''
  const text = toJson(value)
  if (text !== undefined) return text
  throw new AppError('model_bad_response', { cause: new Error('the arguments of a tool call nest too deep') })
}

/** Whether a delta that points at this call begins another: many servers number every call 0, or give all one id. */
function isAnother(call: PendingCall, entry: Entry): boolean {
  if (entry.id !== '' && call.id !== '' && entry.id !== call.id) return entry.name !== '' || call.end.reached
  return entry.name !== '' && call.end.reached && !repeats(call, entry.text)
}

/** Whether the text says nothing more of a call that is whole. */
function repeats(call: PendingCall, text: string): boolean {
  return text === call.text || text.trim() === ''
}

/** Finds where a JSON object ends, reading each character once. */
class ObjectEnd {
  #depth = 0
  #inString = false
  #escaped = false
  /** The object is closed. */
  reached = false

  scan(text: string): void {
    for (let i = 0; i < text.length && !this.reached; i++) this.#next(text.charCodeAt(i))
  }

  #next(code: number): void {
    if (this.#escaped) this.#escaped = false
    else if (this.#inString) {
      if (code === 0x5c) this.#escaped = true
      else if (code === 0x22) this.#inString = false
    } else if (code === 0x22) this.#inString = true
    else if (code === 0x7b || code === 0x5b) this.#depth += 1
    else if (code === 0x7d || code === 0x5d) {
      this.#depth -= 1
      this.reached = this.#depth === 0
    }
  }
}
