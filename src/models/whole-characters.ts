/**
 * Holds back the first half of a surrogate pair until its second half is there. JSON escapes let a provider cut a
 * character in two; a half alone cannot be written as UTF-8.
 */
export class WholeCharacters {
  #held = ''

  /** What can be passed on now. Empty: nothing yet. A half that found no partner becomes U+FFFD. */
  take(delta: string): string {
    if (delta === '') return ''
    let text = delta
    if (this.#held !== '') {
      text = (isSecondHalf(delta.charCodeAt(0)) ? this.#held : '\ufffd') + delta
      this.#held = ''
    }
    if (!isFirstHalf(text.charCodeAt(text.length - 1))) return text
    this.#held = text.slice(-1)
    return text.slice(0, -1)
  }

  /** The block ended: what is still held. */
  flush(): string {
    if (this.#held === '') return ''
    this.#held = ''
    return '\ufffd'
  }
}

function isFirstHalf(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff
}

function isSecondHalf(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff
}
