import { StringDecoder } from 'node:string_decoder'
import { AppError } from '../../errors.ts'

export interface SseParserOptions {
  /** Called synchronously from `push`, once per event. `name` is the `event:` field, `message` where there is none. */
  onEvent: (data: string, name: string) => void
  /** Characters of one event, its unfinished line included. Default 4 Mi. Beyond it `push` throws `model_bad_response`. */
  maxEventLength?: number
}

/**
 * Reads a stream of server-sent events (HTML Living Standard, 9.2.6), cut anywhere, also within a character or between CR
 * and LF. `id` and `retry` are skipped: nobody reconnects to a model. Unlike the standard, `end` gives out what an
 * unfinished event holds, because servers forget the last blank line.
 */
export class SseParser {
  readonly #onEvent: (data: string, name: string) => void
  readonly #maxEventLength: number
  /** Made when a character was cut in two for the first time: with many servers that never happens. */
  #decoder: StringDecoder | undefined
  /** The decoder may hold the first bytes of a character. */
  #midCharacter = false
  #started = false
  #skipLineFeed = false
  #stopped = false
  /** The line that is not yet complete. */
  #partial = ''
  #data = ''
  #hasData = false
  #name = 'message'

  constructor(options: SseParserOptions) {
    this.#onEvent = options.onEvent
    this.#maxEventLength = options.maxEventLength ?? 4 * 1024 * 1024
  }

  push(chunk: Buffer | string): void {
    let text = typeof chunk === 'string' ? chunk : this.#decode(chunk)
    if (text === '' || this.#stopped) return
    if (!this.#started) {
      this.#started = true
      if (text.charCodeAt(0) === 0xfeff) text = text.slice(1)
    }
    if (this.#skipLineFeed || text.includes('\r')) text = this.#withLineFeeds(text)
    this.#lines(text)
  }

  /** The body ended. */
  end(): void {
    if (this.#partial !== '' && !this.#stopped) {
      const line = this.#partial
      this.#partial = ''
      this.#line(line, 0, line.length)
    }
    this.#dispatch()
  }

  /** No event after this, also when called from within `onEvent`. */
  stop(): void {
    this.#stopped = true
  }

  /** Most chunks end with a whole character, and need no decoder that remembers. */
  #decode(chunk: Buffer): string {
    const last = chunk[chunk.length - 1]
    const whole = last !== undefined && last < 0x80
    if (whole && !this.#midCharacter) return chunk.toString('utf8')
    this.#midCharacter = !whole
    this.#decoder ??= new StringDecoder('utf8')
    return this.#decoder.write(chunk)
  }

  #withLineFeeds(text: string): string {
    const rest = this.#skipLineFeed && text.charCodeAt(0) === 0x0a ? text.slice(1) : text
    this.#skipLineFeed = rest.endsWith('\r')
    return rest.replace(/\r\n?/g, '\n')
  }

  #lines(text: string): void {
    let start = 0
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
      if (this.#partial !== '') {
        const line = this.#partial + text.slice(start, end)
        this.#partial = ''
        this.#line(line, 0, line.length)
      } else if (end === start) this.#dispatch()
      else this.#line(text, start, end)
      if (this.#stopped) return
      start = end + 1
    }
    if (start < text.length) {
      this.#partial += start === 0 ? text : text.slice(start)
      this.#checkLength(this.#partial.length + this.#data.length)
    }
  }

  #line(text: string, start: number, end: number): void {
    if (text.startsWith('data:', start)) {
      const valueStart = start + (text.charCodeAt(start + 5) === 0x20 && start + 5 < end ? 6 : 5)
      const value = text.slice(valueStart, end)
      this.#data = this.#hasData ? `${this.#data}\n${value}` : value
      this.#hasData = true
      this.#checkLength(this.#data.length)
    } else if (text.startsWith('event:', start)) {
      this.#name = text.slice(start + 6, end).trimStart()
    } else if (end - start === 4 && text.startsWith('data', start)) {
      this.#data = this.#hasData ? `${this.#data}\n` : ''
      this.#hasData = true
    }
  }

  #dispatch(): void {
    const name = this.#name
    this.#name = 'message'
    if (!this.#hasData || this.#stopped) return
    const data = this.#data
    this.#data = ''
    this.#hasData = false
    this.#onEvent(data, name)
  }

  #checkLength(length: number): void {
    if (length <= this.#maxEventLength) return
    this.#stopped = true
    const cause = new Error(`an event is longer than ${this.#maxEventLength} characters`)
    throw new AppError('model_bad_response', { cause })
  }
}
