/**
 * Where a text stops being JSON (RFC 8259), and why. Engines word this differently and often leave the place out, or
 * quote the body; so it is found here, after the engine has refused the text. Never called for valid JSON.
 */
export interface JsonFault {
  /** UTF-16 units from 0. */
  position: number
  reason: string
}

/** A text that is valid gives the end of the text. Nesting must be bounded by the caller: this recurses. */
export function findJsonFault(text: string): JsonFault {
  const scan: Scan = { text, at: 0 }
  try {
    scanValue(scan)
    skipSpace(scan)
    if (scan.at < text.length) fail(scan, 'Extra data')
    return { position: text.length, reason: 'Expecting value' }
  } catch (fault) {
    if (fault instanceof Fault) return { position: fault.position, reason: fault.reason }
    throw fault
  }
}

interface Scan {
  text: string
  at: number
}

class Fault extends Error {
  readonly position: number
  readonly reason: string

  constructor(position: number, reason: string) {
    super(reason)
    this.position = position
    this.reason = reason
  }
}

function fail(scan: Scan, reason: string, position = scan.at): never {
  throw new Fault(position, reason)
}

function skipSpace(scan: Scan): void {
  for (;;) {
    const code = scan.text.charCodeAt(scan.at)
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
    scan.at++
  }
}

const literal = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y

function scanValue(scan: Scan): void {
  skipSpace(scan)
  const first = scan.text.charAt(scan.at)
  if (first === '{') return scanObject(scan)
  if (first === '[') return scanArray(scan)
  if (first === '"') return scanString(scan)
  literal.lastIndex = scan.at
  const match = literal.exec(scan.text)
  if (!match) fail(scan, 'Expecting value')
  scan.at += match[0].length
}

function scanObject(scan: Scan): void {
  scan.at++
  skipSpace(scan)
  if (takes(scan, '}')) return
  for (;;) {
    skipSpace(scan)
    if (scan.text.charAt(scan.at) !== '"') fail(scan, 'Expecting property name enclosed in double quotes')
    scanString(scan)
    skipSpace(scan)
    if (!takes(scan, ':')) fail(scan, "Expecting ':' delimiter")
    scanValue(scan)
    skipSpace(scan)
    if (takes(scan, '}')) return
    if (!takes(scan, ',')) fail(scan, "Expecting ',' delimiter")
  }
}

function scanArray(scan: Scan): void {
  scan.at++
  skipSpace(scan)
  if (takes(scan, ']')) return
  for (;;) {
    scanValue(scan)
    skipSpace(scan)
    if (takes(scan, ']')) return
    if (!takes(scan, ',')) fail(scan, "Expecting ',' delimiter")
  }
}

function scanString(scan: Scan): void {
  const start = scan.at++
  for (; scan.at < scan.text.length; scan.at++) {
    const code = scan.text.charCodeAt(scan.at)
    if (code === 0x22) {
      scan.at++
      return
    }
    if (code < 0x20) fail(scan, 'Invalid control character')
    if (code === 0x5c) scanEscape(scan)
  }
  fail(scan, 'Unterminated string', start)
}

const hexDigits = /[0-9a-fA-F]{4}/y

/** Ends at the last character of the escape. */
function scanEscape(scan: Scan): void {
  const escaped = scan.text.charAt(scan.at + 1)
  hexDigits.lastIndex = scan.at + 2
  if (escaped === 'u' && hexDigits.test(scan.text)) scan.at += 5
  else if (escaped !== '' && '"\\/bfnrt'.includes(escaped)) scan.at++
  else fail(scan, 'Invalid escape')
}

function takes(scan: Scan, character: string): boolean {
  if (scan.text.charAt(scan.at) !== character) return false
  scan.at++
  return true
}
